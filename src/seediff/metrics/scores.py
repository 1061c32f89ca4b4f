"""Accuracy and IoU from counts of pixels, with bootstrap intervals over images. Pure.

Shape letters: I images, C classes, D draws of the bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

AT_ONCE = 100  # draws held in memory together
LEVEL = 0.95


@dataclass(frozen=True)
class Tally:
    """The pixels of each class, counted: (C,) for one image or for several images together, (I, C) for each of I
    images."""

    tp: np.ndarray
    """(…, C) int64: true positives."""
    fp: np.ndarray
    """(…, C) int64: false positives."""
    fn: np.ndarray
    """(…, C) int64: false negatives."""
    pixels: np.ndarray | int
    """(…): all labelled pixels."""

    @property
    def iou(self) -> np.ndarray:
        """(…, C) float64: IoU of each class; NaN for a class that is neither labelled nor predicted."""
        return class_iou(self.tp, self.fp, self.fn)

    @property
    def accuracy(self) -> np.ndarray:
        """(…): the share of labelled pixels with the right class."""
        return self.tp.sum(-1) / self.pixels

    def total(self) -> Tally:
        """The counts (C,) of all images together, from counts (I, C) of each."""
        return Tally(self.tp.sum(0), self.fp.sum(0), self.fn.sum(0), int(np.sum(self.pixels)))


@dataclass(frozen=True)
class Intervals:
    """The 95 % intervals (low, high) of scores."""

    acc: tuple[float, float]
    miou: tuple[float, float]
    iou: np.ndarray
    """(C, 2): of each class's IoU; NaN for a class without pixels."""


def stack(tallies: Iterable[Tally]) -> Tally:
    """The counts of I images, (C,) each, as one tally (I, C). Needs at least one image."""
    rows = [(t.tp, t.fp, t.fn, t.pixels) for t in tallies]
    tp, fp, fn, pixels = zip(*rows, strict=True)
    return Tally(np.stack(tp), np.stack(fp), np.stack(fn), np.array(pixels, np.int64))


def class_iou(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    """(…, C): tp / (tp + fp + fn), NaN for a class that is neither labelled nor predicted anywhere."""
    union = np.asarray(tp + fp + fn, np.float64)
    return np.divide(tp, union, out=np.full(union.shape, np.nan), where=union > 0)


def mean_iou(iou: np.ndarray) -> np.ndarray:
    """(…): mean of IoUs (…, C) over the classes that are not NaN; NaN if all are NaN."""
    present = ~np.isnan(iou)
    classes = np.asarray(present.sum(-1))
    return np.divide(np.where(present, iou, 0).sum(-1), classes, out=np.full(classes.shape, np.nan), where=classes > 0)


def bootstrap(images: Tally, *, seed: int = 0, draws: int = 2000) -> Intervals:
    """The 95 % intervals of accuracy, mIoU and each class's IoU, by drawing whole images.

    images: counts (I, C). seed, draws: seed and number of the draws. If segments were matched with classes, this
    matching stays the same in all draws.
    """
    drawn = resample(images, seed=seed, draws=draws)
    bounds = np.array([interval(values) for values in drawn.iou.T])
    return Intervals(interval(drawn.accuracy), interval(mean_iou(drawn.iou)), bounds)


def resample(images: Tally, *, seed: int = 0, draws: int = 2000) -> Tally:
    """The counts (D, C) float64 of D draws. Each draw takes I of the images, with replacement, and sums their counts.

    images: counts (I, C). seed, draws: seed and number of the draws; draws without a labelled pixel are left out.
    """
    sums = [
        (times @ images.tp, times @ images.fp, times @ images.fn, times @ images.pixels)
        for times in draw_counts(len(images.tp), seed=seed, draws=draws)
    ]
    tp, fp, fn, pixels = map(np.concatenate, zip(*sums, strict=True))
    valid = pixels > 0  # a draw may hold only images without labels
    return Tally(tp[valid], fp[valid], fn[valid], pixels[valid])


def draw_counts(images: int, *, seed: int = 0, draws: int = 2000) -> Iterator[np.ndarray]:
    """How often each of I images occurs in each draw of I images with replacement: (≤ AT_ONCE, I) float64 at a time,
    because the counts of all draws of 100,000 images would take gigabytes."""
    rng = np.random.default_rng(seed)
    for first in range(0, draws, AT_ONCE):
        times = rng.multinomial(images, np.full(images, 1 / images), min(AT_ONCE, draws - first))
        yield times.astype(np.float64)


def interval(values: np.ndarray) -> tuple[float, float]:
    """(low, high): the 2.5 % and 97.5 % quantiles of the values (D,) that are not NaN; NaN if all are NaN."""
    present = values[~np.isnan(values)]
    if not present.size:
        return (float("nan"), float("nan"))
    low, high = np.quantile(present, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
