"""What follows drawing, a photograph each: DiffSeg, K-Means, PAMR; and the training of the embedded model."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from builders.region_maps import region_maps  # pyright: ignore[reportMissingImports]

from on_gpu.device import Peak, count, measure_peak, seconds
from recipes.mini.loop import train_student
from recipes.mini.recipe import Recipe
from recipes.mini.warmstart import new_student
from seediff.devices import default_device, mixed_dtype
from seediff.masks.pamr import pamr, scaled_dilations
from seediff.mini.scenes import CLASSES, caption
from seediff.segments.aggregate import aggregate
from seediff.segments.diffseg import diffseg
from seediff.segments.kmeans import kmeans_proposals

THRESHOLDS = (0.5,) * 3
"""Below 1.1: these regions are told apart less clearly than a photograph's."""


@torch.no_grad()
def works(device: str, latent_side: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Pieces of work on synthetic attention of that many positions a side, and on a picture of 8 times as many pixels."""
    size = (latent_side, latent_side)
    maps = {grid: one.to(device) for grid, one in region_maps(latent_side).items()}
    rows = aggregate(maps, size)
    side = 8 * latent_side
    image = torch.rand(side, side, 3, generator=torch.Generator().manual_seed(0)).to(device)
    masks = torch.rand(1, side, side, generator=torch.Generator().manual_seed(1)).to(device)
    yield "aggregation", lambda: aggregate(maps, size)
    yield "DiffSeg", lambda: diffseg(rows, kl_thresholds=THRESHOLDS)
    for k in (6, 20):
        yield f"K-Means, k = {k}", lambda k=k: kmeans_proposals(rows, k, seed=1)
    yield "PAMR, 10 iterations", lambda: pamr(image, masks, iterations=10, dilations=scaled_dilations((side, side)))


@torch.no_grad()
def measure_work(device: str, work: Callable[[], object], peak: Peak, rounds: int) -> dict[str, Any]:
    """Seconds, and the bytes of all operations over those that a copy moves in that time."""
    asked = count(work)  # and warm
    took = statistics.median(seconds(device, work) for _ in range(rounds))
    return {"seconds": took, "bytes": asked.bytes, "flop": asked.flops, "share_of_peak": asked.bytes / took / peak.bytes}


def measure_training(device: str, side: int, tiny: bool) -> dict[str, Any]:
    """Samples a second of the embedded model's denoiser at all levels, on latents of noise; of the last steps, after a warm-up.

    Operations are those of a step, the optimizer's among them; the peak is that of the number format that a training chooses, from products
    of (side, side).
    """
    if device.partition(":")[0] != (chosen := default_device()):
        return {"why": f"a training chooses {chosen}"}
    steps, batch = (2, 1) if tiny else (100, Recipe().denoiser.batch)
    flop = count(lambda: _trained(1, batch)).flops / batch
    rate = _trained(steps, batch)["samples/s"]
    dtype = str(mixed_dtype(device)).removeprefix("torch.")
    peak = measure_peak(device, dtype, side=side)
    return {"samples_per_s": rate, "batch": batch, "dtype": dtype, "sample_flop": flop, "share_of_peak": flop * rate / peak.flops}


def _trained(steps: int, batch: int) -> dict[str, Any]:
    """What a training from random weights told last. Nothing before its first step is an operation that counts."""
    whole = Recipe()
    recipe = replace(whole, denoiser=replace(whole.denoiser, batch=batch, samples=steps * batch, coarse_samples=0))
    captions = [caption((name,), None) for name in CLASSES]
    latents = np.random.default_rng(0).normal(size=(len(captions), 4, whole.side // 4, whole.side // 4)).astype(np.float16)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        train_student(new_student(recipe), latents, 1.0, captions, Path(folder), rows.append, seed=0)
    return rows[-1]
