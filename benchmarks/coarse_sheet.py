"""Draws with the inner levels alone, of a training that has not come to the whole UNet: a picture of every class, to look at.

    python benchmarks/coarse_sheet.py runs/mini-long --config recipe.toml --out sheet.png
    python benchmarks/coarse_sheet.py runs/mini-long --config recipe.toml --classes dog,horse --each 3 --out sheet.png

A row per class. Latents have half the side, so pictures are blurred; shapes are what there is to see.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image

from seediff.mini.training.coarse import pooled, predict_coarse
from seediff.mini.training.denoiser import Denoiser, build_scheduler
from seediff.mini.training.loop import load_student
from seediff.mini.training.recipe import Recipe
from seediff.mini.world.scene import CLASSES, caption

STEPS, GUIDANCE = 40, 4.0


def draw(student: Denoiser, side: int, name: str, count: int, seed: int) -> torch.Tensor:
    """(count, 4, L/2, L/2): latents of unit variance, of one class; the same noise for every class."""

    def read(text: str) -> torch.Tensor:
        return torch.tensor(student.tokenizer([text] * count, padding="max_length")["input_ids"])

    words = student.text_encoder(torch.cat([read(""), read(caption((name,), None))])).last_hidden_state
    scheduler = build_scheduler()
    scheduler.set_timesteps(STEPS)
    latents = pooled(torch.randn(count, 4, side, side, generator=torch.Generator().manual_seed(seed)))
    for timestep in scheduler.timesteps:
        timesteps = torch.full((2 * count,), int(timestep))
        without, told = predict_coarse(student.unet, student.coarse, latents.repeat(2, 1, 1, 1), timesteps, words).chunk(2)
        latents = scheduler.step(without + GUIDANCE * (told - without), int(timestep), latents).prev_sample  # type: ignore[union-attr]
    return latents


def read_training(folder: Path, config: Path) -> tuple[Recipe, Denoiser, AutoencoderKL]:
    """A training's recipe, its averaged weights, and the autoencoder of the pipeline that was last made of it."""
    recipe = Recipe.from_toml(config)
    student = Denoiser(recipe)
    print(f"{load_student(student, folder)} samples")
    return recipe, student, AutoencoderKL.from_pretrained(folder / "pipeline", subfolder="vae").eval()


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of the training; it must have been assembled once (pipeline/)")
    parser.add_argument("--config", type=Path, required=True, help="the training's recipe")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--classes", default=",".join(CLASSES))
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    recipe, student, vae = read_training(options.folder, options.config)
    rows = []
    for name in options.classes.split(","):
        latents = draw(student, recipe.side // 4, name, options.each, options.seed) / vae.config["scaling_factor"]
        pictures = vae.decode(F.interpolate(latents, scale_factor=2, mode="bicubic")).sample  # type: ignore[union-attr]
        pixels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        rows.append(np.concatenate(list(pixels), 1))
    Image.fromarray(np.concatenate(rows, 0)).save(options.out)


if __name__ == "__main__":
    main()
