"""Work after drawing, for one photograph: aggregation, DiffSeg, K-Means, PAMR."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

import torch
from builders.region_maps import region_maps  # pyright: ignore[reportMissingImports]

from on_gpu.device import seconds
from seediff.masks.pamr import affinity, pamr, scaled_dilations
from seediff.segments.aggregate import aggregate
from seediff.segments.diffseg import diffseg
from seediff.segments.kmeans import kmeans

THRESHOLDS = (0.5,) * 3
"""Lower than 1.1, because these regions differ less clearly than those of a photograph."""


@torch.no_grad()
def works(device: str, latent_side: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """(name, function) of pieces of work on synthetic attention with so many positions per side, or on a picture of 8
    times the side.
    """
    size = (latent_side, latent_side)
    maps = {grid: one.to(device) for grid, one in region_maps(latent_side).items()}
    rows = aggregate(maps, size)
    side = 8 * latent_side
    image = torch.rand(side, side, 3, generator=torch.Generator().manual_seed(0)).to(device)
    masks = torch.rand(1, side, side, generator=torch.Generator().manual_seed(1)).to(device)
    yield "aggregation", lambda: aggregate(maps, size)
    yield "DiffSeg", lambda: diffseg(rows, size, kl_thresholds=THRESHOLDS)
    for k in (6, 20):
        yield f"K-Means, k = {k}", lambda k=k: kmeans(rows, k, seed=1)
    dilations = scaled_dilations((side, side))
    yield "PAMR, 10 iterations", lambda: pamr(masks, affinity(image.permute(2, 0, 1), dilations), 10, dilations)


@torch.no_grad()
def measure_work(device: str, work: Callable[[], object], rounds: int) -> dict[str, float]:
    work()  # warms up
    return {"seconds": statistics.median(seconds(device, work) for _ in range(rounds))}
