"""Accuracy and IoU from counts of pixels. `Figure` is a score with its 95 % interval, from a bootstrap: each of D draws
scores I images that are chosen at random, with repetitions, among the set's I images.

Shape letters: I images, C classes, D draws of the bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

AT_ONCE = 100  # draws held in memory together
LEVEL = 0.95
Interval = tuple[float, float]
"""(low, high), the ends of an interval."""


@dataclass(frozen=True)
class Tally:
    """Counts of each class's pixels. Arrays are (C,) for one image or a whole set, (I, C) for each image of a set."""

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
        """(…): the share of the labelled pixels that have the right class."""
        return self.tp.sum(-1) / self.pixels

    def total(self) -> Tally:
        """The counts (C,) of all images together, from counts (I, C) of each."""
        return Tally(self.tp.sum(0), self.fp.sum(0), self.fn.sum(0), int(np.sum(self.pixels)))


class Figure(NamedTuple):
    """A score: an IoU, a mean of IoUs, or an accuracy."""

    name: str
    value: float
    """In [0, 1]; NaN if no class counts."""
    drawn: np.ndarray
    """(D,): the score of each draw of the bootstrap."""

    @property
    def ci95(self) -> Interval:
        """The 95 % interval of the draws."""
        return interval(self.drawn)

    def minus(self, other: Figure) -> Figure:
        """The difference from the same score of other predictions for the same images, over the same draws."""
        return Figure(self.name, self.value - other.value, self.drawn - other.drawn)

    def keyed(self, key: str) -> dict[str, Any]:
        """The value and its interval under the keys of JSON files: for "miou", `miou` and `miou_ci95`."""
        return {key: self.value, f"{key}_ci95": self.ci95}


def stack(tallies: Iterable[Tally]) -> Tally:
    """The counts (I, C) of I images. tallies: (C,) each, at least one."""
    rows = [(t.tp, t.fp, t.fn, t.pixels) for t in tallies]
    tp, fp, fn, pixels = zip(*rows, strict=True)
    return Tally(np.stack(tp), np.stack(fp), np.stack(fn), np.array(pixels, np.int64))


def class_iou(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    """(…, C): tp / (tp + fp + fn); NaN for a class that is neither labelled nor predicted. tp, fp, fn: (…, C)."""
    union = np.asarray(tp + fp + fn, np.float64)
    return np.divide(tp, union, out=np.full(union.shape, np.nan), where=union > 0)


def mean_iou(iou: np.ndarray) -> np.ndarray:
    """(…): the mean of IoUs (…, C) over the classes that are not NaN; NaN if all are."""
    present = ~np.isnan(iou)
    classes = np.asarray(present.sum(-1))
    return np.divide(np.where(present, iou, 0).sum(-1), classes, out=np.full(classes.shape, np.nan), where=classes > 0)


def class_figures(names: Iterable[str], images: Tally, *, seed: int, draws: int) -> tuple[dict[str, Figure], Figure]:
    """(name → IoU of the class, pixel accuracy) of a set of images.

    names: the classes in the order of their columns. images: counts (I, C). seed, draws: seed and number of the
    bootstrap's draws. If segments were matched with classes, this matching stays the same in all draws.
    """
    whole, drawn = images.total(), resample(images, seed=seed, draws=draws)
    columns = zip(names, whole.iou.tolist(), drawn.iou.T, strict=True)
    ious = {name: Figure(name, value, draws_of_class) for name, value, draws_of_class in columns}
    return ious, Figure("pixel accuracy", float(whole.accuracy), drawn.accuracy)


def mean_figure(name: str, ious: Iterable[Figure]) -> Figure:
    """The mean IoU of some classes; classes that are neither labelled nor predicted are left out. name: the mean's."""
    _, values, drawn = zip(*ious, strict=True)
    return Figure(name, float(mean_iou(np.array(values))), mean_iou(np.stack(drawn, -1)))


def resample(images: Tally, *, seed: int = 0, draws: int = 2000) -> Tally:
    """The counts (D, C) float64 of D draws. Each draw takes I of the images, with replacement, and sums their counts.

    images: counts (I, C). seed, draws: seed and number of the draws. Draws without a labelled pixel are left out.
    """
    sums = [
        (times @ images.tp, times @ images.fp, times @ images.fn, times @ images.pixels)
        for times in draw_counts(len(images.tp), seed=seed, draws=draws)
    ]
    tp, fp, fn, pixels = map(np.concatenate, zip(*sums, strict=True))
    valid = pixels > 0  # a draw may hold only images without labels
    return Tally(tp[valid], fp[valid], fn[valid], pixels[valid])


def draw_counts(images: int, *, seed: int = 0, draws: int = 2000) -> Iterator[np.ndarray]:
    """How often each of I images occurs in each draw, as arrays (≤ AT_ONCE, I) float64. A single array for all draws of
    100,000 images would take gigabytes. images: I. seed, draws: seed and number of the draws."""
    rng = np.random.default_rng(seed)
    for first in range(0, draws, AT_ONCE):
        times = rng.multinomial(images, np.full(images, 1 / images), min(AT_ONCE, draws - first))
        yield times.astype(np.float64)


def interval(values: np.ndarray) -> Interval:
    """(low, high): the 2.5 % and 97.5 % quantiles of the values (D,) that are not NaN; NaN if all are NaN."""
    present = values[~np.isnan(values)]
    if not present.size:
        return (float("nan"), float("nan"))
    low, high = np.quantile(present, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
