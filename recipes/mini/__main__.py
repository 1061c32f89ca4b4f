"""`python -m recipes.mini …`: make the embedded model again, from art to weights."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from seediff.cli.commands import main
from seediff.cli.options import HERE, SEED
from seediff.errors import UserError

app = App(
    name="python -m recipes.mini",
    help="Make the embedded model: download its art, train it, render its scenes, train its yardsticks.",
    help_format="markdown",
    result_action="return_value",
)

Art = Annotated[Path, Parameter(help="Folder made by the command `art`.")]


@app.command
def art(out: Annotated[Path, HERE, Parameter(help="Folder for the art.")] = Path("art")) -> None:
    """Download the emoji art with npm and apt (training: Fluent Emoji 3D, MIT; shift scenes: Noto Color Emoji, OFL).

    Example: python -m recipes.mini art --out art
    """
    from .art import fetch_art

    for folder in fetch_art(out):
        print(folder)


@app.command
def train(
    art: Art,
    out: Annotated[Path, HERE, Parameter(help="Folder for checkpoints, losses, samples and the finished pipeline.")],
    config: Annotated[Path | None, Parameter(help="TOML file with recipe values; every key has a default.")] = None,
    minutes: Annotated[float, Parameter(help="Stop after this many minutes; the same command continues.")] = math.inf,
    init: Annotated[
        str | None, Parameter(help="Start from the weights of `mini` or of a pipeline folder, with coarse_samples = 0 in the recipe.")
    ] = None,
    autoencoder: Annotated[
        str | None, Parameter(help="Use the autoencoder of `mini` or of a pipeline folder instead of training one.")
    ] = None,
) -> None:
    """Train the embedded model: scenes, autoencoder, denoiser, pipeline folder. Resumes from its checkpoints.

    Examples:

    - `python -m recipes.mini train --art art --out runs/mini --minutes 60`

    - `python -m recipes.mini train --art art --out runs/more --init mini --config more.toml`

    Losses go to losses.jsonl and sample pictures to samples.png in --out.
    """
    from .recipe import Recipe
    from .train import train_mini

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
    from seediff.models.hub import resolve_name

    if name is None:
        return None
    if isinstance(folder := resolve_name(name), str):
        raise UserError(f"{option} {name}: must be `mini`, or a pipeline folder on this machine")
    return folder


@app.command
def render(art: Art, out: Annotated[Path, HERE, Parameter(help="Folder for the scene files.")]) -> None:
    """Render the scenes that the studies measure on (truth, shift, tune) with their exact masks.

    Example: python -m recipes.mini render --art art --out scenes
    """
    from .world import render_scenes

    for path in render_scenes(art, out):
        print(path)


@app.command
def scenes(
    *,
    art: Art,
    out: Annotated[Path, HERE, Parameter(help="Folder for the new dataset.")],
    scene_set: Annotated[
        Literal["train", "shift-train"],
        Parameter(name="--set", help="train: scenes with the training sprites. shift-train: scenes with another vendor's art."),
    ] = "train",
    count: Annotated[int, Parameter(help="Number of scenes.")] = 1000,
    seed: Annotated[int, SEED, Parameter(help="Random seed of the scenes.")] = 2000,
) -> None:
    """Render scenes to train segmenters on, with their exact masks, as a dataset. `seediff mini scenes` writes the held-out ones.

    Example: python -m recipes.mini scenes --set train --art art --count 1000 --out exact
    """
    from .world import write_scene_set

    print(f"{write_scene_set(out, scene_set, count=count, art=art, seed=seed)} scenes: {out}")


@app.command
def yardsticks(
    art: Art,
    out: Annotated[Path | None, HERE, Parameter(help="Folder for the weights; by default the package's own.")] = None,
    networks: Annotated[bool, Parameter(help="Also train the two networks, not only make templates and moments.")] = True,
) -> None:
    """Make the yardsticks that measure the model, from rendered scenes only, and print their quality: a classifier, a segmenter, the
    templates for drawn objects, and the moments of rendered scenes.

    Example: python -m recipes.mini yardsticks --art art
    """
    from .yardsticks import FOLDER, calibrate_measures, train_yardsticks

    made = train_yardsticks(art, out or FOLDER, report=_report) if networks else {}
    for name, value in (made | calibrate_measures(art, out or FOLDER, report=_report)).items():
        print(f"{name}: {value}")


@app.command
def backbone(
    art: Art,
    work: Annotated[Path, HERE, Parameter(help="Folder for the training scenes.")],
    out: Annotated[Path, HERE, Parameter(help="Folder for the weights, in transformers' format.")],
) -> None:
    """Train the backbone that `seediff train --backbone tiny --weights pretrained` starts from: which classes a captioned scene shows.

    Example: python -m recipes.mini backbone --art art --work runs/mini --out backbone
    """
    from .backbone import train_backbone

    for name, value in train_backbone(art, work, out, report=_report).items():
        print(f"{name}: {value:.4f}")


def _report(row: dict) -> None:
    if row["step"] % 200 == 1 or row["step"] == row["steps"]:
        print(f"{row['stage']} {row['step']}/{row['steps']}: loss {row['loss']:.4f}", flush=True)


if __name__ == "__main__":
    sys.exit(main(program=app))
