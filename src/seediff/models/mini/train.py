"""The whole recipe, in order: render, autoencoder, latents, denoiser, assemble. Continues wherever an earlier run stopped."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ...errors import UserError
from .assemble import assemble
from .autoencoder import train_autoencoder
from .data import rendered_scenes
from .denoiser import encode_scenes, train_denoiser
from .recipe import Recipe
from .world import CLASSES, caption

SHEET_SEEDS = 2


def train_mini(
    recipe: Recipe, art: Path, folder: Path, *, minutes: float = math.inf, say: Callable[[str], None] = print
) -> tuple[Path, bool]:
    """Train in `folder` for at most `minutes` and assemble the pipeline into `folder`/pipeline.

    Every loss goes to `folder`/losses.jsonl; `folder`/samples.png shows two images a class. Returns the pipeline's
    folder and whether the recipe is complete; when not, the same call continues.

    Raises UserError when the folder holds the checkpoints of another recipe.
    """
    started = time.monotonic()
    _check_recipe(recipe, folder)
    cores = os.cpu_count() or 1
    torch.set_num_threads(recipe.threads or cores)
    say(f"Scenes: {recipe.scenes} of {recipe.side}² …")
    images, captions = rendered_scenes(recipe, art, folder, workers=cores)
    with (folder / "losses.jsonl").open("a", encoding="utf-8") as log:

        def report(row: dict) -> None:
            log.write(json.dumps(row) + "\n")
            log.flush()
            if row["step"] % 100 == 0:
                shown = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float))
                say(f"{row['stage']} {row['step']}/{row['steps']}: {shown}")

        vae = train_autoencoder(recipe, images, folder, report, minutes)
        if vae is None:
            raise UserError(f"{minutes:g} minutes ended within the autoencoder's training: run the same command to continue")
        say("Encoding scenes …")
        latents, scaling = encode_scenes(vae, images, folder / "latents.npy")
        spent = (time.monotonic() - started) / 60
        denoiser, complete = train_denoiser(recipe, latents, scaling, captions, folder, report, minutes - spent)
    pipeline = assemble(vae, denoiser, scaling, folder / "pipeline", {"recipe": asdict(recipe)})
    draw_samples(pipeline, folder / "samples.png")
    return pipeline, complete


def _check_recipe(recipe: Recipe, folder: Path) -> None:
    """Refuse to continue another recipe; a longer training of the same one is the same."""
    path = folder / "recipe.json"
    new = json.loads(json.dumps(asdict(recipe)))
    for length in (new["denoiser"], new["autoencoder"], new):
        for key in ("samples", "crops", "threads", "checkpoint_minutes"):
            length.pop(key, None)
    if path.is_file():
        old = json.loads(path.read_text(encoding="utf-8"))
        if old != new:
            raise UserError(f"{folder} holds the training of another recipe ({path}): use another --out")
        return
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(new, indent=2), encoding="utf-8")


def draw_samples(pipeline: Path, path: Path, steps: int = 25, guidance_scale: float = 5.0) -> None:
    """Two images of every class, one row a seed, as one picture."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(pipeline, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    rows = []
    for seed in range(SHEET_SEEDS):
        result = pipe(
            [caption((c,), None) for c in CLASSES],
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=[torch.Generator().manual_seed(1000 * seed + i) for i in range(len(CLASSES))],
            output_type="np",
        )
        rows.append(np.concatenate(list(result.images), axis=1))  # type: ignore[union-attr]
    Image.fromarray((np.concatenate(rows) * 255).round().astype(np.uint8)).save(path)
