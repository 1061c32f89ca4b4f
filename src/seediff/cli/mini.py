"""`seediff mini …`: make the embedded model again, from art to weights to measurements."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ..errors import UserError
from .places import HERE
from .seeds import SEED

app = App(name="mini", help="The embedded model: fetch its art, train it, render its measuring scenes, check its quality.")


@app.command
def art(out: Annotated[Path, HERE, Parameter(help="Folder to fill.")] = Path("art")) -> None:
    """Fetch the emoji art with npm and apt (training: Fluent Emoji 3D, MIT; shift scenes: Noto Color Emoji, OFL).

    Example: seediff mini art --out art
    """
    from ..mini.world.art import fetch_art

    for folder in fetch_art(out):
        print(folder)


@app.command
def train(
    art: Annotated[Path, Parameter(help="Folder that `seediff mini art` filled.")],
    out: Annotated[Path, HERE, Parameter(help="Folder for checkpoints, losses, samples and the finished pipeline.")],
    config: Annotated[Path | None, Parameter(help="TOML file of the recipe; every key has a default.")] = None,
    minutes: Annotated[float, Parameter(help="Stop after this long; the same command continues.")] = math.inf,
    init: Annotated[
        str | None, Parameter(help="Start from the weights of `mini` or of a pipeline folder, with coarse_samples = 0 in the recipe.")
    ] = None,
    autoencoder: Annotated[str | None, Parameter(help="Take the autoencoder of one of those instead of training one.")] = None,
) -> None:
    """Train the embedded model: scenes, autoencoder, denoiser, pipeline folder. Resumes from its checkpoints.

    Examples:

    - `seediff mini train --art art --out runs/mini --minutes 60`

    - `seediff mini train --art art --out runs/more --init mini --config more.toml`

    Losses go to losses.jsonl and sample pictures to samples.png in --out.
    """
    from ..mini.training.recipe import Recipe
    from ..mini.training.train import train_mini

    recipe = Recipe.from_toml(config) if config else Recipe()
    start, vae = _local_folder(init, "--init"), _local_folder(autoencoder, "--autoencoder")
    pipeline, complete = train_mini(
        recipe, art, out, minutes=minutes, init=start, autoencoder=vae, say=lambda text: print(text, flush=True)
    )
    print(f"Losses: {out / 'losses.jsonl'}")
    if pipeline:
        print(f"Pipeline: {pipeline}   Samples: {out / 'samples.png'}")
        print(f"Try it: seediff generate --model {pipeline} --classes dog --per-class 4 --out dogs")
    if not complete:
        print("Training is not finished: the same command continues it.")


def _local_folder(name: str | None, option: str) -> Path | None:
    from ..models.registry import resolve_name

    if name is None:
        return None
    if isinstance(folder := resolve_name(name), str):
        raise UserError(f"{option} {name}: must be `mini`, or a pipeline folder on this machine")
    return folder


@app.command
def render(
    art: Annotated[Path, Parameter(help="Folder that `seediff mini art` filled.")],
    out: Annotated[Path, HERE, Parameter(help="Folder for the scene files.")],
) -> None:
    """Render the scenes that the studies measure on (truth, shift, tune) with their exact masks.

    Example: seediff mini render --art art --out scenes
    """
    from ..mini.world.packaged import render_scenes

    for path in render_scenes(art, out):
        print(path)


@app.command
def scenes(
    *,
    scene_set: Annotated[
        Literal["truth", "shift", "tune", "train", "shift-train"],
        Parameter(name="--set", help="Held-out scenes (truth, shift, tune) from the package, or others to train on, drawn from the art."),
    ] = "truth",
    out: Annotated[Path, HERE, Parameter(help="Folder for the dataset.")],
    count: Annotated[int | None, Parameter(help="Number of scenes; by default all that the package has, or 1000 rendered ones.")] = None,
    art: Annotated[Path | None, Parameter(help="Folder that `seediff mini art` filled, for `train` and `shift-train`.")] = None,
    seed: Annotated[int, SEED, Parameter(help="Seed of rendered scenes.")] = 2000,
) -> None:
    """Write scenes with their exact masks as a dataset: to train and to evaluate segmenters on.

    Examples:

    - `seediff mini scenes --set truth --count 100 --out held-out`

    - `seediff mini scenes --set train --art art --count 1000 --out exact`
    """
    from ..mini.world.datasets import write_scene_set

    print(f"{write_scene_set(out, scene_set, count=count, art=art, seed=seed)} scenes: {out}")


@app.command
def yardsticks(
    art: Annotated[Path, Parameter(help="Folder that `seediff mini art` filled.")],
    out: Annotated[Path | None, HERE, Parameter(help="Folder for the weights; by default the package's own.")] = None,
    networks: Annotated[bool, Parameter(help="Train the two networks too; without, only templates and moments are made anew.")] = True,
) -> None:
    """Make what measures the model, from rendered scenes only, and say how good it is: a classifier, a segmenter, the templates
    that drawn objects are held against, and the moments of rendered scenes.

    Example: seediff mini yardsticks --art art
    """
    from ..mini.yardsticks.calibrate import calibrate_measures, train_yardsticks
    from ..mini.yardsticks.networks import FOLDER

    made = train_yardsticks(art, out or FOLDER, report=_report) if networks else {}
    for name, value in (made | calibrate_measures(art, out or FOLDER, report=_report)).items():
        print(f"{name}: {value}")


def _report(row: dict) -> None:
    if row["step"] % 200 == 1 or row["step"] == row["steps"]:
        print(f"{row['stage']} {row['step']}/{row['steps']}: loss {row['loss']:.4f}", flush=True)


@app.command
def backbone(
    art: Annotated[Path, Parameter(help="Folder that `seediff mini art` filled.")],
    work: Annotated[Path, HERE, Parameter(help="Folder for the scenes that it learns from.")],
    out: Annotated[Path, HERE, Parameter(help="Folder for the weights, as transformers reads them.")],
) -> None:
    """Train the backbone that `seediff train --backbone tiny --weights pretrained` starts from: which classes a captioned scene shows.

    Example: seediff mini backbone --art art --work runs/mini --out backbone
    """
    from ..mini.training.backbone import train_backbone

    for name, value in train_backbone(art, work, out, report=_report).items():
        print(f"{name}: {value:.4f}")


@app.command
def check(
    out: Annotated[Path, HERE, Parameter(help="Folder for the report and the contact sheet.")],
    model: Annotated[str, Parameter(help="`mini`, `mini-dit`, or the pipeline folder that training made.")] = "mini",
    images: Annotated[int, Parameter(help="Images to generate, over all classes: 25 of each by default.")] = 475,
    scenes: Annotated[int, Parameter(help="Held-out scenes for PSNR and attention.")] = 200,
    steps: Annotated[int | None, Parameter(help="Denoising steps; the model's own by default.")] = None,
    guidance_scale: Annotated[float | None, Parameter(help="The model's own by default.")] = None,
    seed: Annotated[int, SEED] = 0,
) -> None:
    """Measure the model: whether what it draws is recognised and of one piece, how far it is from rendered scenes, reconstruction PSNR,
    and how well its attention finds the objects.

    Example: seediff mini check --out quality
    """
    from ..mini.quality import check_quality

    check_quality(model, out, images=images, scenes=scenes, seed=seed, steps=steps, guidance_scale=guidance_scale)
