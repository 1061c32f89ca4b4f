"""`seediff mini …`: the embedded model measured, and its held-out scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from .options import HERE, SEED

app = App(name="mini", help="Check the embedded model's quality, or write its held-out scenes.")


@app.command
def scenes(
    *,
    scene_set: Annotated[
        Literal["truth", "shift", "tune"],
        Parameter(name="--set", help="truth: held-out scenes. shift: scenes with another vendor's art. tune: scenes to tune constants on."),
    ] = "truth",
    out: Annotated[Path, HERE, Parameter(help="Folder for the new dataset.")],
    count: Annotated[int | None, Parameter(help="Number of scenes; by default all.")] = None,
) -> None:
    """Write held-out scenes with their exact masks as a dataset, to evaluate segmenters on.

    Example: seediff mini scenes --set truth --count 100 --out held-out
    """
    from ..mini.scenes import load_scenes, write_scenes_as_dataset

    print(f"{write_scenes_as_dataset(out, load_scenes(scene_set, count), {'scenes': scene_set})} scenes: {out}")


@app.command
def check(
    out: Annotated[Path, HERE, Parameter(help="Folder for the report and the contact sheet.")],
    model: Annotated[str, Parameter(help="`mini`, `mini-dit`, or the folder of a pipeline trained on the embedded world.")] = "mini",
    images: Annotated[int, Parameter(help="Number of images to generate over all 19 classes.")] = 475,
    scenes: Annotated[int, Parameter(help="Number of held-out scenes for PSNR and attention.")] = 200,
    steps: Annotated[int | None, Parameter(help="Denoising steps; by default the model's own.")] = None,
    guidance_scale: Annotated[float | None, Parameter(help="Guidance scale; by default the model's own.")] = None,
    seed: Annotated[int, SEED] = 0,
) -> None:
    """Measure the model: are its drawings recognised and in one piece, how close are they to rendered scenes, reconstruction PSNR,
    and how well its attention finds the objects.

    Example: seediff mini check --out quality
    """
    from ..mini.quality import check_quality

    check_quality(model, out, images=images, scenes=scenes, seed=seed, steps=steps, guidance_scale=guidance_scale)
