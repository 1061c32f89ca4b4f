"""`seediff study …`: how good the masks are, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

app = App(name="study", help="Measure masks on the embedded model: against exact masks, or on generated images.")


@app.command
def truth(
    *,
    scenes: Annotated[int, Parameter(help="Held-out scenes to measure on.")] = 500,
    out: Annotated[Path, Parameter(help="Folder for tables, pictures and results.json.")] = Path("truth"),
    json: Annotated[Path | None, Parameter(help="Also write the JSON here.")] = None,
    scene_set: Annotated[
        Literal["truth", "shift"], Parameter(name="--set", help="Held-out scenes, or the same with another vendor's art.")
    ] = "truth",
    tune_scenes: Annotated[int, Parameter(help="Scenes on which each method's own best constants are sought.")] = 200,
    constants: Annotated[
        Path | None, Parameter(help="results.json of an earlier study: take its constants instead of seeking them.")
    ] = None,
    model: Annotated[str, Parameter(help="`mini`, or a pipeline folder trained on its world.")] = "mini",
    seed: int = 0,
    device: Annotated[str | None, Parameter(help="cuda, mps or cpu; the best there is by default.")] = None,
) -> None:
    """Compare every method's masks with exact ones on held-out scenes.

    Example: seediff study truth --scenes 500 --out truth
    Then with the same constants: seediff study truth --set shift --scenes 300 --constants truth/results.json --out shift
    """
    from .table import summary_table
    from .truth import run_truth

    result = run_truth(
        scenes,
        out,
        model=model,
        scene_set=scene_set,
        tune_scenes=tune_scenes,
        constants=constants,
        json_path=json,
        seed=seed,
        device=device,
    )
    summary_table(result, out)


@app.command
def generated(
    *,
    images: Annotated[int, Parameter(help="Images to generate.")] = 190,
    out: Annotated[Path, Parameter(help="Folder for tables, pictures and results.json.")] = Path("generated"),
    json: Annotated[Path | None, Parameter(help="Also write the JSON here.")] = None,
    tune_scenes: Annotated[int, Parameter(help="Scenes on which each method's own best constants are sought.")] = 200,
    constants: Annotated[
        Path | None, Parameter(help="results.json of an earlier study: take its constants instead of seeking them.")
    ] = None,
    model: Annotated[str, Parameter(help="`mini`, or a pipeline folder trained on its world.")] = "mini",
    steps: Annotated[int, Parameter(help="Denoising steps.")] = 25,
    guidance_scale: float = 5.0,
    seed: int = 0,
    device: Annotated[str | None, Parameter(help="cuda, mps or cpu; the best there is by default.")] = None,
) -> None:
    """Compare every method's masks of generated images with a segmenter trained on exact masks.

    Example: seediff study generated --images 190 --out generated
    """
    from .generated import run_generated
    from .table import summary_table

    result = run_generated(
        images,
        out,
        model=model,
        tune_scenes=tune_scenes,
        constants=constants,
        json_path=json,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        device=device,
    )
    summary_table(result, out)
