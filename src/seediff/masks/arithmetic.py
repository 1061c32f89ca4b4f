"""Arithmetic for the steps of the methods: min-max, resizing, sums in a fixed order, Otsu's threshold.

Results depend on the values alone, to the last bit: BLAS's matrix–vector product would round differently with memory
alignment and the number of threads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from ..attention.maps import AttentionMaps
from ..errors import UserError

ROUNDING = 8 * torch.finfo(torch.float32).eps
"""A range up to this share of the largest value is float32 rounding and not a signal."""
TINY = torch.finfo(torch.float32).tiny


def min_max(values: torch.Tensor) -> tuple[torch.Tensor, tuple[str, ...]]:
    """(map, flags): `(x − min) / (max − min)` over a whole map, in [0, 1]. A constant map becomes zeros, with the flag
    `constant_map`. Raises UserError if a value is NaN or infinite."""
    low, high = values.aminmax()
    span = high - low
    if not torch.isfinite(span):
        raise UserError("attention holds NaN or infinite values; capture it again in float32")
    if span <= ROUNDING * torch.maximum(low.abs(), high.abs()):
        return torch.zeros_like(values), ("constant_map",)
    return (values - low) / span, ()


def resize(maps: torch.Tensor, size: Sequence[int], mode: Literal["bilinear", "bicubic"] = "bilinear") -> torch.Tensor:
    """Maps (…, h, w) at another size (height, width), align_corners=False (eq. 8). A side is reduced by averaging.
    Bicubic results may slightly leave [0, 1]."""
    before, after = tuple(maps.shape[-2:]), tuple(size)
    if before == after:
        return maps
    resized = maps.reshape(1, -1, *before)
    reduced = min(before[0], after[0]), min(before[1], after[1])
    if reduced != before:
        resized = F.interpolate(resized, reduced, mode="area")
    if reduced != after:
        resized = F.interpolate(resized, after, mode=mode, align_corners=False)
    return resized.reshape(*maps.shape[:-2], *after)


def highest(maps: Iterable[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(values, numbers): the highest of maps (H, W) at each pixel, and the number of the map that has it, int32; the
    first of equals. maps: at least one; each is used before the next is taken, because all of them at the size of a
    large picture would take gigabytes."""
    waiting = iter(maps)
    values = next(waiting).clone()
    numbers = torch.zeros_like(values, dtype=torch.int32)
    for number, each in enumerate(waiting, 1):
        numbers.masked_fill_(each > values, number)
        torch.maximum(values, each, out=values)
    return values, numbers


BLOCK = 128
"""Rows summed at a time: short sums round less than one long sum."""
CHUNK = 2**19
"""Elements multiplied at a time (2 MiB), so that products stay in the cache."""


def sum_of_rows(matrix: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """`Σ_{i ∈ rows} w_i · matrix[i]`, (M,), of matrix (N, M). weights: in the order of rows; None: all 1."""
    if rows.device.type == "mps":  # `embedding_bag` exists there from torch 2.10 on
        gathered = matrix[rows]
        if weights is not None:
            gathered = gathered * weights[:, None]
        return gathered.sum(0)
    blocks = torch.arange(0, len(rows), BLOCK, device=rows.device)
    return F.embedding_bag(rows, matrix, blocks, mode="sum", per_sample_weights=weights).sum(0)


def times_vector(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """`matrix · v`, (N,), of matrix (N, M) and v (M,)."""
    rows = max(1, CHUNK // matrix.shape[1])
    return torch.cat([(band * vector).sum(1) for band in matrix.split(rows)])


def random_walk(self_attention: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """`SA · v` (h, w): each position gets the mean of v (h, w) over the positions that it attends to. Rows of SA (N, N)
    that were divided by their maxima (eq. 5) do not sum to 1, so the product is divided by the rows' sums."""
    total = self_attention.sum(1).clamp_min(TINY)
    return (times_vector(self_attention, values.flatten()) / total).reshape(values.shape)


BINS = 256


def otsu(values: torch.Tensor) -> float:
    """Otsu's threshold: the value t with the largest variance between `values < t` and `values ≥ t`, by a histogram of
    256 bins; the middle one of several equally good values. For a constant map, its value."""
    samples = values.detach().cpu().double().numpy().ravel()  # to the CPU first, because not every device has float64
    low, high = samples.min(), samples.max()
    if low == high:
        return float(low)
    bins = np.minimum(((samples - low) / (high - low) * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    below = counts.cumsum()[:-1]
    above = samples.size - below
    sums = (counts * np.arange(BINS)).cumsum()
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2  # the end bins are never empty
    best = np.flatnonzero(between == between.max())
    return float(low + (high - low) * (int(best[len(best) // 2]) + 1) / BINS)


def mean_cross_attention(maps: AttentionMaps, class_name: str, levels: Sequence[int]) -> torch.Tensor:
    """The class's cross-attention averaged over levels (divisors of L): (h, w) at the finest level, not normalised."""
    finest = maps.grid(min(levels))
    return torch.stack([resize(maps.cross_at(level, class_name), finest) for level in levels]).mean(0)


SHARPNESS = 2.0
"""How fast a class's value decays, per standard deviation by which another stands out more."""


def compete(soft: torch.Tensor) -> torch.Tensor:
    """Soft maps (C, …, h, w) after competition: each class gets the highest value of any class at a position, times a
    factor that falls the less the class stands out there.

        M_c ← max_k M_k · exp(2 (z_c − max_k z_k)),   z_c = (M_c − mean M_c) / std M_c over the map

    Each map is stretched by itself, so only standard deviations compare classes.
    """
    spread, mean = torch.std_mean(soft, (-2, -1), correction=0, keepdim=True)
    numbers = torch.finfo(soft.dtype)
    ahead = ((soft - mean) / spread.clamp_min(numbers.tiny)).masked_fill(spread <= ROUNDING, numbers.min / 4)
    return soft.amax(0) * (SHARPNESS * (ahead - ahead.amax(0))).exp()


def level_shares(weights: Mapping[int, float], there: Collection[int]) -> dict[int, float]:
    """Level → its share, so that the shares sum to 1. weights: level → a method's weight. there: the captured levels
    (`AttentionMaps.levels`); other levels get no share. If no captured level has a weight, the coarsest gets all.
    Example: weights {4: 0.7, 2: 0.3} of which only 4 was captured → {4: 1.0}."""
    found = {level: weight for level, weight in weights.items() if level in there} or {max(there, default=1): 1.0}
    total = sum(found.values())
    return {level: weight / total for level, weight in found.items()}
