"""Stage 2 of the recipe: trains the denoiser on noisy latents of the rendered scenes, with two optimizers and averaged
weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from seediff.devices import default_device, mixed_precision
from seediff.files.outputs import replace_file

from .checkpoint import load_checkpoint, save_checkpoint
from .denoiser import Batch
from .denoiser import Denoiser as Model
from .muon import Muon
from .recipe import Denoiser as Schedule
from .yardstick import to_pixels

CHECKPOINT = "denoiser.safetensors"


@torch.inference_mode()
def encode_scenes(vae: AutoencoderKL, images: np.ndarray, path: Path) -> tuple[np.ndarray, float]:
    """Latents (n, 4, L, L) float16 of all images, and the factor that scales them to unit variance. The latents are
    cached in `path`.
    """
    if not path.is_file():
        device = next(vae.parameters()).device
        chunks = []
        for start in range(0, len(images), 64):
            with mixed_precision(device):
                posterior = vae.encode(to_pixels(images[start : start + 64]).to(device)).latent_dist  # type: ignore[union-attr]
            chunks.append(posterior.mean.half().cpu().numpy())
        with replace_file(path) as part, part.open("xb") as file:
            np.save(file, np.concatenate(chunks))
    latents = np.load(path)
    scaling = 1 / float(latents[:2000].astype(np.float32).std())
    return latents, scaling


def optimizers(model: Model, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
    """Muon for the network's inner matrices and kernels, AdamW for everything else."""
    inner, other = [], []
    for name, weight in model.named_parameters():
        (inner if weight.ndim >= 2 and model.for_muon(name) else other).append(weight)
    return {
        "muon": Muon(inner, lr=learning_rate),
        "adamw": torch.optim.AdamW(other, lr=learning_rate, weight_decay=0.0, betas=(0.9, 0.99)),
    }


def train_denoiser(
    model: Model,
    latents: np.ndarray,
    scaling: float,
    captions: Sequence[str],
    folder: Path,
    report: Callable[[dict], None],
    *,
    features: np.ndarray | None = None,
    seed: int,
    minutes: float = math.inf,
    checkpoint_minutes: float = 5.0,
) -> int:
    """Train from the last checkpoint in `folder` until the schedule's samples are seen or `minutes` have passed.

    Returns the number of samples seen; the model then has the averaged weights.
    """
    config = model.schedule
    device = torch.device(default_device())
    model.to(device)
    both = optimizers(model, config.learning_rate)
    average = {k: v.detach().clone() for k, v in model.named_parameters()}
    step = load_checkpoint(folder / CHECKPOINT, model, both, average)
    model.prepare(captions, latents.shape[-1])
    steps = config.samples // config.batch
    started = saved = time.monotonic()
    curves: dict[str, float] = {}
    mark = (started, step)
    while step < steps:
        since = step - model.began(step)
        _set_rates(both.values(), config, step, steps, since)
        rng = np.random.default_rng((seed, 78, step))
        torch.manual_seed(int(rng.integers(2**31)))
        picks = rng.integers(len(latents), size=config.batch)
        timesteps = torch.from_numpy(draw_timesteps(rng, config.batch, config.middle_share)).to(device)
        noise = torch.randn(config.batch, *latents.shape[1:]).to(device)
        dropped = torch.from_numpy(rng.random(config.batch) < config.caption_dropout).to(device)
        clean = torch.from_numpy(latents[picks].astype(np.float32)).to(device) * scaling
        taught = None if features is None else torch.from_numpy(features[picks].astype(np.float32)).to(device)
        loss, parts = model.losses(Batch(clean, noise, timesteps, picks, dropped, step * config.batch, taught))
        for name, value in parts.items():
            curves[name] = _smooth(curves.get(name), value.item())
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in both.values():
            optimizer.step()
        step += 1
        # The average decays faster at first; otherwise it would remember the first weights for thousands of steps.
        decay = min(config.ema_decay, (1 + since) / (10 + since))
        torch._foreach_lerp_(list(average.values()), [w.detach() for w in model.parameters()], 1 - decay)
        now = time.monotonic()
        if step % 25 == 0 or step == steps:
            rate = config.batch * (step - mark[1]) / (now - mark[0])
            mark = (now, step)
            report({"stage": "denoiser", "step": step, "steps": steps, "samples/s": rate, **curves})
        out_of_time = now - started > 60 * minutes
        if step == steps or out_of_time or now - saved > 60 * checkpoint_minutes:
            save_checkpoint(folder / CHECKPOINT, model, both, step, **average)
            saved = now
        if out_of_time:
            break
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(average[name])
    model.to("cpu").eval()
    return step * config.batch


def draw_timesteps(rng: np.random.Generator, count: int, middle_share: float) -> np.ndarray:
    """(count,) timesteps in 0 … 999: `middle_share` of them 1000 / (1 + exp(-z)) with normal z, the others uniform."""
    uniform, normal = rng.random(count), rng.standard_normal(count)
    at = np.where(rng.random(count) < middle_share, 1 / (1 + np.exp(-normal)), uniform)
    return np.minimum((1000 * at).astype(np.int64), 999)


def _set_rates(
    optimizers_: Iterable[torch.optim.Optimizer], config: Schedule, step: int, steps: int, since: int
) -> None:
    """Set the learning rate: linear warm-up, then constant, then linear to 2 % over `descent`. A run can be prolonged
    until then.

    since: steps since the warm-up began.
    """
    rate = config.learning_rate * min(1.0, (since + 1) / config.warmup, max(0.02, (1 - step / steps) / config.descent))
    for optimizer in optimizers_:
        for group in optimizer.param_groups:
            group["lr"] = rate


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else 0.98 * old + 0.02 * new
