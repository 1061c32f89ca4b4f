"""How well a training's averaged weights know the drawings: the error of the clean latents over single objects not trained on.

    python benchmarks/object_error.py runs/mini-long --config recipe.toml --art art
    python benchmarks/object_error.py runs/mini-long --config recipe.toml --art art --close

Needs no sampling, so that it tells two minutes of training apart. Of the UNet's inner levels alone, on latents of half the side;
unit variance; the mean over objects of the mean square over the object's positions. --close: large objects.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from coarse_sheet import read_training

from seediff.devices import mixed_precision
from seediff.mini.training.coarse import pooled, predict_coarse
from seediff.mini.training.denoiser import build_scheduler
from seediff.mini.world.pixels import to_pixels
from seediff.mini.world.scene import render_scene

TIMESTEPS = (400, 500, 600, 700, 800, 900)
FIRST = 3_000_000  # no training renders so many scenes
BATCH = 38


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of the training; it must have been assembled once (pipeline/)")
    parser.add_argument("--config", type=Path, required=True, help="the training's recipe")
    parser.add_argument("--art", type=Path, required=True)
    parser.add_argument("--close", action="store_true")
    parser.add_argument("--scenes", type=int, default=380)
    options = parser.parse_args()
    recipe, student, vae = read_training(options.folder, options.config)
    indices = range(FIRST, FIRST + options.scenes)
    scenes = [
        render_scene(options.art, i, seed=recipe.seed, side=recipe.side, objects=1, describe=True, close=options.close) for i in indices
    ]
    signal = build_scheduler().alphas_cumprod
    generator = torch.Generator().manual_seed(1)
    errors: dict[int, list[float]] = {t: [] for t in TIMESTEPS}
    for start in range(0, len(scenes), BATCH):
        some = scenes[start : start + BATCH]
        latents = vae.encode(to_pixels(np.stack([s.image for s in some]))).latent_dist.mean  # type: ignore[union-attr]
        clean = pooled(latents * vae.config["scaling_factor"])
        noise = pooled(torch.randn(latents.shape, generator=generator))
        inside = F.adaptive_avg_pool2d(torch.from_numpy(np.stack([s.label_map > 0 for s in some])).float(), clean.shape[-1])
        ids = torch.tensor(student.tokenizer([s.caption for s in some], padding="max_length")["input_ids"])
        for t in TIMESTEPS:
            a, b = signal[t].sqrt(), (1 - signal[t]).sqrt()
            noisy = a * clean + b * noise
            with mixed_precision("cpu"):
                words = student.text_encoder(ids).last_hidden_state
                v = predict_coarse(student.unet, student.coarse, noisy, torch.full((len(some),), t), words).float()
            error = (a * noisy - b * v - clean).square().mean(1)
            errors[t] += ((error * inside).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)).tolist()
    for t, found in errors.items():
        print(f"t = {t}: {np.mean(found):.4f}")
    print(f"mean: {np.mean(list(errors.values())):.4f}")


if __name__ == "__main__":
    main()
