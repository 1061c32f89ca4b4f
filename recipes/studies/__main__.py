"""`python -m recipes.studies …`: measure masks and segments against exact masks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from seediff.cli.main import main
from seediff.errors import UserError

app = App(
    name="python -m recipes.studies",
    help="Measure masks and segments. `--model` is `mini`, `mini-dit`, or a pipeline trained on the embedded world.",
    help_format="markdown",
    result_action="return_value",
)
SceneSet = Annotated[Literal["truth", "shift"], Parameter(name="--set")]


@app.command
def truth(
    *,
    out: Path,
    scenes: int = 500,
    scene_set: SceneSet = "truth",
    tune_scenes: int = 200,
    constants: Path | None = None,
    model: str = "mini",
    device: str | None = None,
) -> None:
    """Compare every method's masks with exact masks on held-out scenes.

    Example: python -m recipes.studies truth --scenes 500 --out truth

    Parameters
    ----------
    out
        Folder for results.json, results.md and pictures.
    scenes
        Number of held-out scenes to measure on.
    scene_set
        truth: held-out scenes. shift: scenes with another vendor's art.
    tune_scenes
        Number of scenes to tune each method's constants on.
    constants
        results.json of an earlier study: use its constants instead of tuning.
    """
    from .truth import run_truth

    tuning = {"tune_scenes": tune_scenes, "constants": constants}
    run_truth(out, scenes=scenes, scene_set=scene_set, **tuning, model=model, device=device)


@app.command
def tune(method: str, *, out: Path, scenes: int = 100, model: str = "mini", device: str | None = None) -> None:
    """Find one method's constants.

    Example: python -m recipes.studies tune daam --out daam, then python recipes/new_weights.py constants
    daam/results.json

    Parameters
    ----------
    method
        One of CONTEST in recipes/studies/settings.py, which says what is tried of it.
    out
        Folder for results.json.
    scenes
        Number of scenes to tune on.
    """
    from .truth import run_tune

    found = run_tune(method, out, scenes=scenes, model=model, device=device)
    print(f"{method}: mean IoU {found['iou']}: {found['preset']['methods'][method]}")


@app.command
def generated(*, out: Path, constants: Path, images: int = 190, model: str = "mini", device: str | None = None) -> None:
    """Compare every method's masks of generated images with a segmenter trained on exact masks.

    Example: python -m recipes.studies generated --constants docs/truth.json --out generated

    Parameters
    ----------
    out
        Folder for results.json, results.md and pictures.
    constants
        results.json of a study of truth, whose constants are used.
    images
        Number of images to generate.
    """
    from .generated import run_generated

    run_generated(out, constants, images=images, model=model, device=device)


@app.command
def segments(
    *,
    out: Path,
    scenes: int = 500,
    scene_set: SceneSet = "truth",
    tune_scenes: int = 200,
    images: Path | None = None,
    labels: Path | None = None,
    count: int | None = None,
    constants: Path | None = None,
    model: str = "mini",
    device: str | None = None,
) -> None:
    """Compare methods that need no class names by DiffSeg's protocol, at the papers' constants and at tuned constants.

    Examples:

    - `python -m recipes.studies segments --out segments`

    - `python -m recipes.studies segments --images photos --labels labels --constants segments/results.json --out own`

    Parameters
    ----------
    out
        Folder for results.json, results.md and pictures.
    scenes
        Number of held-out scenes to measure on.
    scene_set
        truth: held-out scenes. shift: scenes with another vendor's art.
    tune_scenes
        Number of scenes to tune each method's constants on.
    images
        Folder of photographs to use instead of scenes.
    labels
        Folder of the photographs' label maps.
    count
        Use only this many photographs, the first by name.
    constants
        results.json of an earlier study: use its constants instead of tuning.
    """
    from .pairs import folder_pairs, scene_pairs
    from .segments import read_best, run_segments

    if (images is None) != (labels is None):
        raise UserError("--images and --labels: photographs are measured with both")
    pairs = scene_pairs(scene_set, scenes) if images is None or labels is None else folder_pairs(images, labels, count)
    best = read_best(constants) if constants else {}
    tune = scene_pairs("tune", tune_scenes) if images is None and not constants else None
    run_segments(out, pairs, tune=tune, best=best, model=model, device=device)


@app.command
def photographs(
    *,
    out: Path,
    voc: Path,
    model: str,
    count: int = 200,
    device: str | None = None,
    dry_run: bool = False,
) -> None:
    """Measure masks of photographs by a model with real weights, and say first how many hours it takes.

    Example: python -m recipes.studies photographs --model sd1.5 --voc VOCdevkit/VOC2012 --out photographs

    Parameters
    ----------
    out
        Folder for figures.json, photographs.jpg and the masks. The same command continues a stopped study.
    voc
        VOCdevkit/VOC2012, or another labelled set, whose validation part is measured.
    count
        Use only this many photographs, the first by name.
    dry_run
        Say how many hours it takes, and nothing more.
    """
    from .photographs import run_photographs

    run_photographs(out, voc, model=model, count=count, device=device, dry_run=dry_run)


if __name__ == "__main__":
    sys.exit(main(program=app))
