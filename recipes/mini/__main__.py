"""`python -m recipes.mini …`: make the embedded model again, from art to weights."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from seediff.cli.main import main
from seediff.errors import UserError

app = App(
    name="python -m recipes.mini",
    help="Make the embedded model: download its art, train it, render its scenes, measure it.",
    help_format="markdown",
    result_action="return_value",
)


@app.command
def art(out: Path = Path("art")) -> None:
    """Download the emoji art with npm and apt (training: Fluent Emoji 3D, MIT; shift scenes: Noto Color Emoji, OFL).

    Example: python -m recipes.mini art --out art

    Parameters
    ----------
    out
        Folder for the art.
    """
    from .art import fetch_art

    for folder in fetch_art(out):
        print(folder)


@app.command
def train(art: Path, out: Path, config: Path | None = None, minutes: float = math.inf, init: str | None = None) -> None:
    """Train the embedded model: scenes, autoencoder, denoiser, pipeline folder. Resumes from its checkpoints.

    Losses go to losses.jsonl in --out.

    Examples:

    - `python -m recipes.mini train --art art --out runs/mini --minutes 60`

    - `python -m recipes.mini train --art art --out runs/more --init mini --config more.toml`

    Parameters
    ----------
    art
        Folder made by the command `art`.
    out
        Folder for checkpoints, losses and the finished pipeline.
    config
        TOML file with recipe values; every key has a default.
    minutes
        Stop after this many minutes; run the same command to continue.
    init
        Start from the weights of `mini` or of a pipeline folder, with coarse_samples = 0 in the recipe.
    """
    from .recipe import Recipe, read_recipe
    from .train import train_mini

    recipe = read_recipe(config) if config else Recipe()
    start = _local_folder(init) if init else None
    pipeline, complete = train_mini(
        recipe, art, out, minutes=minutes, init=start, say=lambda text: print(text, flush=True)
    )
    print(f"Losses: {out / 'losses.jsonl'}")
    if pipeline:
        print(f"Try it: seediff generate --model {pipeline} --classes dog --per-class 4 --out dogs")
    if not complete:
        print("Training is not finished: run the same command to continue it.")


def _local_folder(name: str) -> Path:
    from seediff.models.locate import resolve_name

    if not isinstance(folder := resolve_name(name), Path):
        raise UserError(f"--init {name}: must be `mini`, or a pipeline folder on this machine")
    return folder


@app.command
def render(art: Path, out: Path) -> None:
    """Render the scenes that the studies measure on (truth, shift, tune) with their exact masks.

    Example: python -m recipes.mini render --art art --out scenes

    Parameters
    ----------
    art
        Folder made by the command `art`.
    out
        Folder for the scene files.
    """
    from .world import render_scenes

    for path in render_scenes(art, out):
        print(path)


@app.command
def scenes(
    *,
    art: Path | None = None,
    out: Path,
    scene_set: Annotated[Literal["train", "shift-train", "truth", "shift", "tune"], Parameter(name="--set")] = "train",
    count: int | None = None,
    seed: int = 2000,
) -> None:
    """Write scenes with their exact masks as a dataset, to train or evaluate segmenters on.

    Example: python -m recipes.mini scenes --set train --art art --count 1000 --out exact

    Parameters
    ----------
    art
        Folder made by the command `art`, for scenes to train on.
    out
        Folder for the new dataset.
    scene_set
        train, shift-train: rendered, to train on. truth, shift, tune: the stored scenes of the studies.
    count
        Number of scenes; by default 1000 rendered or all stored ones.
    seed
        Random seed of rendered scenes.
    """
    from .world import write_scene_set

    print(f"{write_scene_set(out, scene_set, count=count, art=art, seed=seed)} scenes: {out}")


@app.command
def yardstick(art: Path, out: Path | None = None) -> None:
    """Train the segmenter that measures masks of drawings, from rendered scenes only, and print its IoU.

    Example: python -m recipes.mini yardstick --art art

    Parameters
    ----------
    art
        Folder made by the command `art`.
    out
        File for the weights; by default the recipes' own.
    """
    from .yardstick import SEGMENTER, train_yardstick

    for name, value in train_yardstick(art, out or SEGMENTER, report=_report).items():
        print(f"{name}: {value:.4f}")


@app.command
def backbone(art: Path, work: Path, out: Path) -> None:
    """Train the backbone that `seediff train --backbone tiny --weights pretrained` starts from: which classes a
    captioned scene shows.

    Example: python -m recipes.mini backbone --art art --work runs/mini --out backbone

    Parameters
    ----------
    art
        Folder made by the command `art`.
    work
        Folder for the training scenes.
    out
        Folder for the weights, in transformers' format.
    """
    from .backbone import train_backbone

    for name, value in train_backbone(art, work, out, report=_report).items():
        print(f"{name}: {value:.4f}")


def _report(row: dict) -> None:
    if row["step"] % 200 == 1 or row["step"] == row["steps"]:
        print(f"{row['stage']} {row['step']}/{row['steps']}: loss {row['loss']:.4f}", flush=True)


if __name__ == "__main__":
    sys.exit(main(program=app))
