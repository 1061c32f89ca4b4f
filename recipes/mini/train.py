"""Runs the whole recipe in order: render, autoencoder, latents, denoiser, assemble. Continues wherever an earlier run
stopped.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from msgspec import to_builtins

from seediff.devices import default_device
from seediff.errors import UserError
from seediff.files.outputs import append, check_writable, put, stage_output, write_atomic
from seediff.files.reading import read_json
from seediff.mini import CLASSES

from .autoencoder import train_autoencoder
from .data import rendered_scenes
from .denoiser import PRESET, Denoiser
from .loop import encode_scenes, train_denoiser
from .recipe import Recipe
from .sets import PLACE_WORDS
from .teacher import taught_features
from .warmstart import read_origin, read_start, write_start

RECIPE = "recipe.json"


def train_mini(
    recipe: Recipe,
    art: Path,
    folder: Path,
    *,
    minutes: float = math.inf,
    init: Path | None = None,
    say: Callable[[str], None] = print,
) -> tuple[Path | None, bool]:
    """Train in `folder` for at most `minutes` and assemble the pipeline into `folder`/pipeline.

    Every loss goes to `folder`/losses.jsonl. Returns the pipeline's folder (None while the autoencoder is still in
    training) and whether the recipe is complete; if not, the same call continues it.

    init: a finished pipeline to start from. Raises UserError if the folder holds the training of another recipe.
    """
    started = time.monotonic()
    # Recipe, pipeline and art are checked before anything is written that would bind a later run.
    path = folder / RECIPE
    if path.is_file() and read_json(path, dict[str, Any]) != _lasting(recipe):
        raise UserError(f"{folder} holds the training of another recipe ({path}): use another --out")
    start = read_start(init, recipe, folder) if init else None
    check_writable(folder)
    say(f"Scenes: {recipe.scenes} of {recipe.side}² …")
    images, captions = rendered_scenes(recipe, art, folder, workers=os.cpu_count() or 1)
    write_atomic(path, json.dumps(_lasting(recipe), indent=2).encode("utf-8"))
    if start:
        write_start(*start, recipe, folder)
    report = Reporter(folder / "losses.jsonl", say)
    vae = train_autoencoder(recipe, images, folder, report, minutes)
    if vae is None:
        return None, False
    say("Encoding scenes …")
    latents, scaling = encode_scenes(vae, images, folder / "latents.npy")
    origin = read_origin(folder)
    scaling = origin.scaling or scaling
    features = None
    if recipe.denoiser.alignment_weight:
        say("Features to come close to …")
        features = taught_features(images, folder / "features.npy", default_device())
    torch.manual_seed(recipe.seed)  # for the initial weights
    seen = train_denoiser(
        model := Denoiser(recipe),
        latents,
        scaling,
        captions,
        folder,
        report,
        features=features,
        seed=recipe.seed,
        minutes=minutes - (time.monotonic() - started) / 60,
        checkpoint_minutes=recipe.checkpoint_minutes,
    )
    if seen <= recipe.denoiser.coarse_samples:
        say("The outer level has not been trained yet: it is from coarse_samples on, up to samples.")
    about = {"recipe": to_builtins(recipe), "samples": origin.samples + seen, "preset": origin.preset or PRESET}
    pipeline = assemble(vae, model, scaling, folder / "pipeline", about)
    return pipeline, seen + recipe.denoiser.batch > recipe.denoiser.samples


class Reporter:
    """Appends every row of losses to a JSON-lines file, and says the rows whose step is a multiple of 100."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path, self.say = path, say

    def __call__(self, row: dict) -> None:
        append(self.path, (json.dumps(row) + "\n").encode())
        if row["step"] % 100 == 0:
            shown = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float))
            self.say(f"{row['stage']} {row['step']}/{row['steps']}: {shown}")


def _lasting(recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe that may not change within a training, in JSON's types. Its length may: a training can be
    prolonged, and where its coarse part ends may be decided on the way.
    """
    table = json.loads(json.dumps(to_builtins(recipe)))
    for key in ("samples", "coarse_samples"):
        del table["denoiser"][key]
    del table["checkpoint_minutes"]
    return table


def assemble(vae: AutoencoderKL, model: Denoiser, scaling: float, folder: Path, about: dict) -> Path:
    """Write the pipeline to `folder` (replaced if it exists) as fp16 safetensors, with its classes and words in
    `seediff.json`.

    about: further entries of that file, such as samples seen and the recipe.
    """
    vae.register_to_config(scaling_factor=scaling)
    pipe = model.pipeline(vae)
    known = {"classes": CLASSES, "words": PLACE_WORDS, "licence": "MIT (art: Fluent Emoji, Microsoft)"}
    text = json.dumps({**known, **about}, indent=2)
    shutil.rmtree(folder, ignore_errors=True)
    with stage_output(folder) as part:
        pipe.to(torch.float16).save_pretrained(part, safe_serialization=True)
        put(part / "seediff.json", f"{text}\n".encode())
    return folder
