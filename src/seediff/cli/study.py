"""`seediff study …` and `seediff mini …`: measure masks, segments and the embedded model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ..config.constants import CaptureSteps
from .options import HERE, SEED, numbers

app = App(name="study", help="Measure masks and segments against exact masks.")
mini_app = App(name="mini", help="Check the embedded model's quality, or write its held-out scenes.")

Scenes = Annotated[int, Parameter(help="Number of held-out scenes to measure on.")]
SceneSet = Annotated[
    Literal["truth", "shift"], Parameter(name="--set", help="truth: held-out scenes. shift: scenes with another vendor's art.")
]
TuneScenes = Annotated[int, Parameter(help="Number of scenes to tune each method's constants on.")]
Constants = Annotated[Path | None, Parameter(help="results.json of an earlier study: use its constants instead of tuning.")]
Pictures = Annotated[Path, HERE, Parameter(help="Folder for tables, pictures and results.json.")]
Json = Annotated[Path | None, HERE, Parameter(help="Also write the results to this JSON file.")]
WorldModel = Annotated[str, Parameter(help="`mini`, `mini-dit`, or the folder of a pipeline trained on the embedded world.")]
AnyModel = Annotated[str, Parameter(help="A name from `seediff models`, a local folder or a hub id.")]
Device = Annotated[str | None, Parameter(help="Device: cuda, mps or cpu; by default the fastest available.")]
Images = Annotated[Path | None, Parameter(help="Folder of photographs to use instead of scenes; needs --labels.")]
Labels = Annotated[Path | None, Parameter(help="Label maps of the photographs: a data set's own folder, or PNG files with the same names.")]
Count = Annotated[int | None, Parameter(help="Use only this many photographs, the first by name.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Contest:
    """Options of `run_truth` and `run_generated`."""

    json_path: Annotated[Path | None, HERE, Parameter(name="--json", help="Also write the results to this JSON file.")] = None
    tune_scenes: TuneScenes = 200
    constants: Constants = None
    model: WorldModel = "mini"
    seed: Annotated[int, SEED] = 0
    device: Device = None


@app.command
def truth(
    *,
    scenes: Scenes = 500,
    out: Pictures = Path("truth"),
    scene_set: SceneSet = "truth",
    timesteps: Annotated[
        str, Parameter(help="Noise levels at which attention is captured and averaged, each from 0 to 999.")
    ] = "50,150,250,350,450,550",
    contest: Contest | None = None,
) -> None:
    """Compare every method's masks with exact masks on held-out scenes.

    Example: seediff study truth --scenes 500 --out truth
    Then with the same constants: seediff study truth --set shift --scenes 300 --constants truth/results.json --out shift
    """
    from ..study.masks.results import show
    from ..study.masks.truth import run_truth

    levels = numbers(timesteps, "--timesteps", int)
    show(run_truth(scenes, out, scene_set=scene_set, timesteps=levels, **vars(contest or Contest())), out)


@app.command
def generated(
    *,
    images: Annotated[int, Parameter(help="Number of images to generate.")] = 190,
    out: Pictures = Path("generated"),
    steps: Annotated[int | None, Parameter(help="Denoising steps; by default the model's own.")] = None,
    guidance_scale: Annotated[float | None, Parameter(help="Guidance scale; by default the model's own.")] = None,
    capture_steps: Annotated[
        CaptureSteps | None,
        Parameter(help="Denoising steps to capture: all, second-half, or k for every k-th; by default the model's own."),
    ] = None,
    contest: Contest | None = None,
) -> None:
    """Compare every method's masks of generated images with a segmenter trained on exact masks.

    Example: seediff study generated --images 190 --out generated
    """
    from ..study.masks.generated import run_generated
    from ..study.masks.results import show

    drawing = {"steps": steps, "guidance_scale": guidance_scale, "capture_steps": capture_steps}
    show(run_generated(images, out, **drawing, **vars(contest or Contest())), out)


@app.command
def segments(
    *,
    scenes: Scenes = 500,
    tune_scenes: TuneScenes = 200,
    scene_set: SceneSet = "truth",
    images: Images = None,
    labels: Labels = None,
    count: Count = None,
    constants: Constants = None,
    out: Pictures = Path("segments-study"),
    json: Json = None,
    model: AnyModel = "mini",
    seed: Annotated[int, SEED, Parameter(help="Random seed for K-Means.")] = 0,
    device: Device = None,
) -> None:
    """Compare methods that need no class names by DiffSeg's protocol, at the papers' constants and at tuned constants.

    Constants are tuned on separate scenes of the embedded world, or taken from an earlier study (--constants).

    Examples:

    - `seediff study segments --scenes 500 --out segments-study`

    - `seediff study segments --images photos --labels labels --constants segments-study/results.json --out photos-study`
    """
    from ..study.segments.contest import read_best, run_segment_study
    from ..study.segments.results import show
    from ..study.segments.scores import chosen_pairs, scene_pairs

    pairs = chosen_pairs(images, labels, count, scene_set, scenes)
    best = read_best(constants) if constants else {}
    tune = scene_pairs("tune", tune_scenes) if images is None and not constants else None
    show(run_segment_study(pairs, out, tune=tune, best=best, model_name=model, seed=seed, device=device, json_path=json))
    print(f"Tables: {out / 'results.md'}   Pictures: {out / 'segments.jpg'}   JSON: {out / 'results.json'}")


@mini_app.command(name="scenes")
def mini_scenes(
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

    print(f"{write_scenes_as_dataset(out, load_scenes(scene_set, count, option='count'), {'scenes': scene_set})} scenes: {out}")


@mini_app.command(name="check")
def mini_check(
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
