"""The bootstrap over whole images: draws, and percentile intervals of their results. Pure functions.

Shape letters: I images, D draws, n values (or rows) of all images.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

AT_ONCE = 100  # draws held in memory together
LEVEL = 0.95


def draw_counts(images: int, *, seed: int = 0, draws: int = 2000) -> Iterator[np.ndarray]:
    """How often each of I images occurs in a draw of I images with replacement: (≤ AT_ONCE, I) int64 at a time, (D, I)
    in all.
    """
    rng = np.random.default_rng(seed)
    for first in range(0, draws, AT_ONCE):
        yield rng.multinomial(images, np.full(images, 1 / images), size=min(AT_ONCE, draws - first))


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval (low, high) of the values (D,) that are not NaN; NaN if all are."""
    present = values[~np.isnan(values)]
    if not present.size:
        return (float("nan"), float("nan"))
    low, high = np.quantile(present, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
