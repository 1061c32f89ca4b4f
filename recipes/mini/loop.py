"""Stage 2 of the recipe, the part common to all networks: noisy latents of the rendered scenes, two optimizers,
averaged weights.

A `Student` defines the network, its inputs and its loss: `denoiser.py` for a UNet, `transformer.py` for an MM-DiT.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.distributed as dist
from diffusers import AutoencoderKL

from seediff.devices import default_device, mixed_precision
from seediff.files.outputs import replace_file

from .checkpoint import load_checkpoint, save_checkpoint
from .files import map_array
from .muon import Muon
from .recipe import Schedule
from .yardstick import to_pixels

CHECKPOINT = "denoiser.safetensors"


@dataclass(frozen=True)
class Batch:
    """The samples of one training step.

    clean, noise: (B, 4, L, L), both of unit variance. timesteps: (B,) in 0 … 999. rows: (B,) indices of the scenes.
    dropped: (B,) True where the caption is replaced by the empty prompt. seen: number of samples before this step.
    features: (B, F, L/4, L/4) of the teacher; None without a teacher.
    """

    clean: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    rows: np.ndarray
    dropped: torch.Tensor
    seen: int
    features: torch.Tensor | None = None


class Student(torch.nn.Module):
    """A network and its text encoders, which are trained together."""

    tokenizer: Any
    schedule: Schedule
    preset: ClassVar[Mapping[str, Any]] = {}
    """Preset for drawing with its pipeline, until tuning finds a better one."""

    def prepare(self, captions: Sequence[str], side: int) -> None:
        """Prepare for the first step, from the captions of all scenes. side: L of their latents."""
        raise NotImplementedError

    def losses(self, batch: Batch) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The loss to minimise, and the curves to report: "error", the mean squared error of the network's prediction,
        and others.
        """
        raise NotImplementedError

    def for_muon(self, name: str) -> bool:
        """Whether a weight of this name belongs to the inner part of the network, whose matrices and kernels Muon
        trains.
        """
        raise NotImplementedError

    @property
    def coarse_steps(self) -> int:
        """The number of first steps that use latents of half the side."""
        return self.schedule.coarse_samples // self.schedule.batch

    def is_coarse(self, batch: Batch) -> bool:
        return batch.seen < self.coarse_steps * self.schedule.batch

    def began(self, step: int) -> int:
        """The first step of the part of training (coarse or full) that `step` belongs to; rates and averages restart
        there.
        """
        return 0 if step < self.coarse_steps else self.coarse_steps

    def parts(self) -> Mapping[str, torch.nn.Module]:
        """Name of a pipeline's folder → the module that it holds."""
        raise NotImplementedError

    def pipeline(self, vae: AutoencoderKL) -> Any:
        """The diffusers pipeline that draws with this network."""
        raise NotImplementedError


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
    latents = np.array(map_array(path, np.float16, (len(images), 4, None, None)))
    scaling = 1 / float(latents[:2000].astype(np.float32).std())
    return latents, scaling


def optimizers(model: Student, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
    """Muon for the network's inner matrices and kernels, AdamW for everything else."""
    inner, other = [], []
    for name, weight in model.named_parameters():
        (inner if weight.ndim >= 2 and model.for_muon(name) else other).append(weight)
    return {
        "muon": Muon(inner, lr=learning_rate),
        "adamw": torch.optim.AdamW(other, lr=learning_rate, weight_decay=0.0, betas=(0.9, 0.99)),
    }


def load_student(model: Student, folder: Path) -> int:
    """Load the averaged weights of the last checkpoint in `folder` into the model. Returns the number of samples it has
    seen.
    """
    average = {k: v.detach().clone() for k, v in model.named_parameters()}
    step = load_checkpoint(folder / CHECKPOINT, model, {}, average)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(average[name])
    model.eval()
    return step * model.schedule.batch


def train_student(
    model: Student,
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
) -> bool:
    """Train from the last checkpoint in `folder` until the schedule's samples are seen or `minutes` have passed.

    Within an initialised process group, every process takes a share of each batch, and the first process writes.
    Returns whether training is complete; `load_student` loads the trained model.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    share = slice(rank, None, world)
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
        # Every process draws the whole batch, so that samples do not depend on the number of processes.
        picks = rng.integers(len(latents), size=config.batch)[share]
        timesteps = torch.from_numpy(draw_timesteps(rng, config.batch, config.middle_share)[share]).to(device)
        noise = torch.randn(config.batch, *latents.shape[1:])[share].to(device)
        dropped = torch.from_numpy(rng.random(config.batch) < config.caption_dropout)[share].to(device)
        clean = torch.from_numpy(latents[picks].astype(np.float32)).to(device) * scaling
        taught = None if features is None else torch.from_numpy(features[picks].astype(np.float32)).to(device)
        loss, parts = model.losses(Batch(clean, noise, timesteps, picks, dropped, step * config.batch, taught))
        for name, value in parts.items():
            curves[name] = _smooth(curves.get(name), value.item())
        model.zero_grad(set_to_none=True)
        loss.backward()
        if world > 1:
            _average_gradients(model, world)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in both.values():
            optimizer.step()
        step += 1
        # The average decays faster at first; otherwise it would remember the first weights for thousands of steps.
        decay = min(config.ema_decay, (1 + since) / (10 + since))
        torch._foreach_lerp_(list(average.values()), [w.detach() for w in model.parameters()], 1 - decay)
        now = time.monotonic()
        if rank == 0 and (step % 25 == 0 or step == steps):
            rate = config.batch * (step - mark[1]) / (now - mark[0])
            mark = (now, step)
            report({"stage": "denoiser", "step": step, "steps": steps, "samples/s": rate, **curves})
        out_of_time = now - started > 60 * minutes
        if world > 1:  # every process must stop at the same step
            verdict = torch.tensor(out_of_time)
            dist.broadcast(verdict, 0)
            out_of_time = bool(verdict)
        if rank == 0 and (step == steps or out_of_time or now - saved > 60 * checkpoint_minutes):
            save_checkpoint(folder / CHECKPOINT, model, both, step, **average)
            saved = now
        if out_of_time:
            break
    return step >= steps


def _average_gradients(model: torch.nn.Module, world: int) -> None:
    gradients = [w.grad for w in model.parameters() if w.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= world
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


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
