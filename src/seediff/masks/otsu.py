"""Otsu's threshold: where a map divides itself into dark and bright."""

from __future__ import annotations

import numpy as np
import torch

BINS = 256


def otsu(values: torch.Tensor) -> float:
    """The value t at which `values < t` and `values ≥ t` differ most (largest variance between the two classes).

    A histogram of 256 bins between minimum and maximum, as is usual; of equally good edges (a gap in the
    values) the middle one. Moves and scales with the values. A constant map gives its own value, so that `≥ t` holds everywhere.
    """
    samples = values.detach().cpu().double().numpy().ravel()  # first to the CPU: not every device has float64
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
