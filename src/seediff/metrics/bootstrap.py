"""The bootstrap over whole images: which are drawn, and percentile intervals of what the draws give. Pure.

Shape letters: I images, D draws, n values (or rows) of all images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

AT_ONCE = 100  # draws held in memory together


def draw_counts(images: int, *, seed: int = 0, draws: int = 2000) -> Iterator[np.ndarray]:
    """How often each of I images is drawn in a draw of as many, with replacement: (≤ AT_ONCE, I) int64 at a time, (D, I) in all."""
    rng = np.random.default_rng(seed)
    for first in range(0, draws, AT_ONCE):
        yield rng.multinomial(images, np.full(images, 1 / images), size=min(AT_ONCE, draws - first))


def draw_images(images: int, *, seed: int = 0, draws: int = 2000) -> Iterator[np.ndarray]:
    """The same draws as `draw_counts`, one at a time: the images drawn (I,), rising, one as often as it is drawn."""
    for times in draw_counts(images, seed=seed, draws=draws):
        for image_counts in times:
            yield np.repeat(np.arange(images), image_counts)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval (low, high) of values (D,), of those that are not NaN; NaN when all are."""
    present = values[~np.isnan(values)]
    if not present.size:
        return (float("nan"), float("nan"))
    low, high = np.quantile(present, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def mean_interval(
    values: np.ndarray, images: np.ndarray | None = None, *, seed: int = 0, draws: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the mean of `values` (n,), drawing whole images with replacement.

    images (n,): which image each value belongs to, so that the values of one image stay together; by default each its own.
    """
    values = np.asarray(values, np.float64)
    _, owner = np.unique(np.arange(len(values)) if images is None else np.asarray(images), return_inverse=True)
    sums, counts = np.bincount(owner, values), np.bincount(owner).astype(np.float64)
    times = np.concatenate(list(draw_counts(len(counts), seed=seed, draws=draws)))
    return interval((times @ sums) / (times @ counts), level)


def figure_interval(
    figure: Callable[[np.ndarray, np.ndarray], float], images: np.ndarray, drawn: Iterable[np.ndarray], level: float = 0.95
) -> tuple[float, float]:
    """Interval of any figure of rows, which is computed anew from the rows of every draw.

    figure: of rows (n,) of a draw, and which of the images drawn each belongs to, from 0: one that is drawn twice is two.
    images (n,): which image each row belongs to. drawn: of each draw the images, as numbers of the different ones in order.
    """
    _, owner = np.unique(images, return_inverse=True)
    order = np.argsort(owner, kind="stable")
    sizes = np.bincount(owner)
    starts = np.cumsum(sizes) - sizes
    values = []
    for chosen in drawn:
        counts = sizes[chosen]
        rows = order[np.repeat(starts[chosen] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())]
        values.append(figure(rows, np.repeat(np.arange(len(chosen)), counts)))
    return interval(np.array(values), level)
