"""Arithmetic for the steps of the methods: min-max, resizing, sums in a fixed order, Otsu's threshold.

Results depend on the values alone, to the last bit. Therefore this module adds up by itself: the rounding of BLAS's
matrix–vector product depends on memory alignment and on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from ..attention.maps import AttentionMaps
from ..errors import UserError

ROUNDING = 8 * torch.finfo(torch.float32).eps
"""A map whose range is at most this share of its largest value counts as constant: the differences are float32
rounding."""
TINY = torch.finfo(torch.float32).tiny
"""The least divisor, so that nothing is divided by 0."""


def min_max(values: torch.Tensor) -> tuple[torch.Tensor, tuple[str, ...]]:
    """(map, flags): a map (h, w) stretched to [0, 1], `(x − min) / (max − min)`. A constant map becomes zeros, with the
    flag `constant_map`. Raises UserError if a value is NaN or infinite."""
    low, high = values.aminmax()
    span = high - low
    if not torch.isfinite(span):
        raise UserError("attention", "holds NaN or infinite values", "capture it again in float32")
    if span <= ROUNDING * torch.maximum(low.abs(), high.abs()):
        return torch.zeros_like(values), ("constant_map",)
    return (values - low) / span, ()


def resize(maps: torch.Tensor, size: Sequence[int], mode: Literal["bilinear", "bicubic"] = "bilinear") -> torch.Tensor:
    """Maps (…, h, w) at another size (height, width). A side that grows is interpolated with align_corners=False (eq.
    8), and a side that shrinks is averaged. mode: the interpolation; bicubic results may slightly leave [0, 1]."""
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
    """(values, numbers), (H, W) each: the highest value of several maps at each pixel, and the number of the map with
    this value, int32, the first of equals.

    maps: at least one (H, W). They are taken one after the other, because all maps at the size of a large picture would
    take gigabytes."""
    remaining = iter(maps)
    values = next(remaining).clone()
    numbers = torch.zeros_like(values, dtype=torch.int32)
    for number, candidate in enumerate(remaining, 1):
        numbers.masked_fill_(candidate > values, number)
        torch.maximum(values, candidate, out=values)
    return values, numbers


SUM_LENGTH = 128
"""Number of rows in a partial sum. Short sums round less than one long sum."""
CHUNK = 2**19
"""Number of elements that are multiplied at a time: 2 MiB, so that products stay in the cache."""


def sum_of_rows(matrix: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """The weighted sum of rows of a matrix, `Σ_{i ∈ rows} w_i · matrix[i]`, (M,). matrix: (N, M). rows: indexes of
    rows. weights: in the order of `rows`; None: all 1."""
    if rows.device.type == "mps":  # `embedding_bag` exists there from torch 2.10 on
        gathered = matrix[rows]
        if weights is not None:
            gathered = gathered * weights[:, None]
        return gathered.sum(0)
    blocks = torch.arange(0, len(rows), SUM_LENGTH, device=rows.device)
    return F.embedding_bag(rows, matrix, blocks, mode="sum", per_sample_weights=weights).sum(0)


def times_vector(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """The product of a matrix (N, M) and a vector (M,): (N,)."""
    rows = max(1, CHUNK // matrix.shape[1])
    return torch.cat([(band * vector).sum(1) for band in matrix.split(rows)])


def random_walk(self_attention: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """`SA · v` (h, w): each position gets the mean of v over the positions that it attends to.

    self_attention: SA (N, N). Its rows need not sum to 1 (eq. 5 divides them by their maxima), so the product is
    divided by the rows' sums. values: v (h, w)."""
    total = self_attention.sum(1).clamp_min(TINY)
    return (times_vector(self_attention, values.flatten()) / total).reshape(values.shape)


BINS = 256
"""Number of bins of Otsu's histogram."""


def otsu(values: torch.Tensor) -> float:
    """Otsu's threshold: the value t for which the variance between `values < t` and `values ≥ t` is largest, from a
    histogram of 256 bins. If several values are equally good, the middle one is returned. The threshold of a constant
    map is the map's value."""
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
    """A class's cross-attention, averaged over levels: (h, w) at the finest of them, not normalised. levels: divisors
    of the latent's side L."""
    finest = maps.grid(min(levels))
    return torch.stack([resize(maps.cross_at(level, class_name), finest) for level in levels]).mean(0)


SHARPNESS = 2.0
"""How fast `compete` lowers a class's value, per standard deviation by which another class stands out more."""


def compete(soft: torch.Tensor) -> torch.Tensor:
    """Soft maps (C, …, h, w) after a competition of the classes at each position. The class that stands out most gets
    the highest value of any class there; the others get less, the less they stand out.

        M_c ← max_k M_k · exp(2 (z_c − max_k z_k)),   z_c = (M_c − mean M_c) / std M_c over the map

    Values of two classes cannot be compared, because each map was stretched by itself; standard deviations can.
    """
    spread, mean = torch.std_mean(soft, (-2, -1), correction=0, keepdim=True)
    numbers = torch.finfo(soft.dtype)
    # A constant map stands out least. Its z is finite: differences of −∞ would be NaN if all maps are constant.
    ahead = ((soft - mean) / spread.clamp_min(numbers.tiny)).masked_fill(spread <= ROUNDING, numbers.min / 4)
    return soft.amax(0) * (SHARPNESS * (ahead - ahead.amax(0))).exp()
