"""Stage 1 of the recipe: the autoencoder, trained on random crops of rendered scenes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from seediff.devices import default_device, mixed_precision

from .checkpoint import load_checkpoint, save_checkpoint
from .recipe import AUTOENCODER_GROUPS, CROP, Recipe
from .yardstick import to_pixels

CHECKPOINT = "autoencoder.safetensors"


def build_autoencoder(recipe: Recipe) -> AutoencoderKL:
    """An untrained autoencoder of the recipe's shape: (B, 3, S, S) in [-1, 1] ↔ (B, 4, S/4, S/4)."""
    levels = len(recipe.autoencoder.channels)
    return AutoencoderKL(
        block_out_channels=recipe.autoencoder.channels,  # type: ignore[arg-type]
        down_block_types=("DownEncoderBlock2D",) * levels,  # type: ignore[arg-type]
        up_block_types=("UpDecoderBlock2D",) * levels,  # type: ignore[arg-type]
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=AUTOENCODER_GROUPS,
        mid_block_add_attention=False,
        sample_size=recipe.side,
    )


def train_autoencoder(
    recipe: Recipe, images: np.ndarray, folder: Path, report: Callable[[dict], None], minutes: float = math.inf
) -> AutoencoderKL | None:
    """Train on `images` (n, S, S, 3) uint8, with checkpoints in `folder`. None if `minutes` run out before the end."""
    config = recipe.autoencoder
    torch.manual_seed(recipe.seed)
    device = torch.device(default_device())
    model = build_autoencoder(recipe).to(device)  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.01)
    steps = config.crops // config.batch
    step = load_checkpoint(folder / CHECKPOINT, model, {"adamw": optimizer})
    started = saved = time.monotonic()
    running = None
    while step < steps:
        rate = config.learning_rate * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate + 1e-6
        rng = np.random.default_rng((recipe.seed, 77, step))
        pixels = random_crops(images, config.batch, rng).to(device)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        with mixed_precision(device):
            posterior = model.encode(pixels).latent_dist  # type: ignore[union-attr]
            latents = posterior.mean + config.latent_noise * torch.randn(posterior.mean.shape, generator=generator).to(
                device
            )
            decoded = model.decode(latents).sample.float()  # type: ignore[union-attr]
        difference = decoded - pixels
        mean = posterior.mean.float()
        # A weak pull to unit variance keeps the latents near the scale that the noise schedule expects.
        loss = difference.square().mean() * 2 + difference.abs().mean() * 0.2 + config.kl_weight * mean.square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        mse = difference.detach().square().mean().item() / 4
        running = mse if running is None else 0.99 * running + 0.01 * mse
        if step % 50 == 0 or step == steps:
            report(
                {
                    "stage": "autoencoder",
                    "step": step,
                    "steps": steps,
                    "psnr": -10 * math.log10(running),
                    "std": mean.std().item(),
                }
            )
        now = time.monotonic()
        out_of_time = now - started > 60 * minutes
        if step == steps or out_of_time or now - saved > 60 * recipe.checkpoint_minutes:
            save_checkpoint(folder / CHECKPOINT, model, {"adamw": optimizer}, step)
            saved = now
        if out_of_time and step < steps:
            return None
    return model.eval()


def random_crops(images: np.ndarray, count: int, rng: np.random.Generator) -> torch.Tensor:
    """(count, 3, 64, 64) float in [-1, 1]: crops at random places of random images."""
    side = images.shape[1]
    picks = rng.integers(len(images), size=count)
    ys, xs = rng.integers(0, side - CROP + 1, size=(2, count))
    crops = np.stack([images[i, y : y + CROP, x : x + CROP] for i, y, x in zip(picks, ys, xs, strict=True)])
    return to_pixels(crops)
