"""`python -m recipes.studies …`: measure masks and segments against exact masks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from seediff.cli.main import main
from seediff.cli.options import HERE
from seediff.errors import UserError

app = App(
    name="python -m recipes.studies",
    help="Measure masks and segments.",
    help_format="markdown",
    result_action="return_value",
)

Out = Annotated[Path, HERE, Parameter(help="Folder for results.json, results.md and pictures.")]
Scenes = Annotated[int, Parameter(help="Number of held-out scenes to measure on.")]
TuneScenes = Annotated[int, Parameter(help="Number of scenes to tune each method's constants on.")]
SceneSet = Annotated[
    Literal["truth", "shift"],
    Parameter(name="--set", help="truth: held-out scenes. shift: scenes with another vendor's art."),
]
Constants = Annotated[
    Path | None, Parameter(help="results.json of an earlier study: use its constants instead of tuning.")
]
AnyModel = Annotated[
    str, Parameter(help="`mini`, `mini-dit`, or the folder of a pipeline trained on the embedded world.")
]
Device = Annotated[str | None, Parameter(help="Device: cuda, mps or cpu; by default the fastest available.")]


@app.command
def truth(
    *,
    out: Out,
    scenes: Scenes = 500,
    scene_set: SceneSet = "truth",
    tune_scenes: TuneScenes = 200,
    constants: Constants = None,
    model: AnyModel = "mini",
    device: Device = None,
) -> None:
    """Compare every method's masks with exact masks on held-out scenes.

    Example: python -m recipes.studies truth --scenes 500 --out truth
    """
    from .truth import run_truth

    tuning = {"tune_scenes": tune_scenes, "constants": constants}
    run_truth(out, scenes=scenes, scene_set=scene_set, **tuning, model=model, device=device)
    print(f"Tables: {out / 'results.md'}")


@app.command
def generated(
    *,
    out: Out,
    constants: Annotated[Path, Parameter(help="results.json of a study of truth, whose constants are used.")],
    images: Annotated[int, Parameter(help="Number of images to generate.")] = 190,
    model: AnyModel = "mini",
    device: Device = None,
) -> None:
    """Compare every method's masks of generated images with a segmenter trained on exact masks.

    Example: python -m recipes.studies generated --constants docs/truth.json --out generated
    """
    from .generated import run_generated

    run_generated(out, constants, images=images, model=model, device=device)
    print(f"Tables: {out / 'results.md'}")


@app.command
def segments(
    *,
    out: Out,
    scenes: Scenes = 500,
    scene_set: SceneSet = "truth",
    tune_scenes: TuneScenes = 200,
    images: Annotated[Path | None, Parameter(help="Folder of photographs to use instead of scenes.")] = None,
    labels: Annotated[Path | None, Parameter(help="Folder of the photographs' label maps.")] = None,
    count: Annotated[int | None, Parameter(help="Use only this many photographs, the first by name.")] = None,
    constants: Constants = None,
    model: AnyModel = "mini",
    device: Device = None,
) -> None:
    """Compare methods that need no class names by DiffSeg's protocol, at the papers' constants and at tuned constants.

    Examples:

    - `python -m recipes.studies segments --out segments`

    - `python -m recipes.studies segments --images photos --labels labels --constants segments/results.json --out own`
    """
    from .pairs import folder_pairs, scene_pairs
    from .segments import read_best, run_segments

    if (images is None) != (labels is None):
        raise UserError(f"--{'labels' if labels is None else 'images'} is missing: photographs are measured with both")
    pairs = scene_pairs(scene_set, scenes) if images is None or labels is None else folder_pairs(images, labels, count)
    best = read_best(constants) if constants else {}
    tune = scene_pairs("tune", tune_scenes) if images is None and not constants else None
    run_segments(out, pairs, tune=tune, best=best, model=model, device=device)
    print(f"Tables: {out / 'results.md'}")


@app.command
def doubt(
    drawn: Annotated[Path, Parameter(help="Dataset drawn by mini: two classes per image, with attention.")],
    out: Out,
) -> None:
    """Measure the warning about missing classes, and choose its limit.

    Example: python -m recipes.studies doubt pairs --out doubt
    """
    from .doubt import run_doubt

    run_doubt(out, drawn)


if __name__ == "__main__":
    sys.exit(main(program=app))
