"""Accuracy and IoU from counts of pixels. `Figure` is a score with its 95 % interval, from a bootstrap: each of D draws
scores I images that are chosen at random, with repetitions, among the set's I images.

Shape letters: I images, C classes, D draws of the bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ..files.messages import plural

AT_ONCE = 100  # draws held in memory together
LEVEL = 0.95
FEWEST = 5
"""The fewest pictures from which there is an interval. Draws of fewer pictures are too much alike."""
Interval = tuple[float, float]
"""(low, high), the ends of an interval."""
Mean = Callable[[np.ndarray], np.ndarray]


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
    pictures: int
    """The number of pictures behind it: for a class, those whose truth shows it; for a mean, those of its rarest
    class."""
    parts: Sequence[Figure] = ()
    """For a mean, the figures of which it is the mean."""
    mean: Mean | None = None
    """For a mean, how it is made of its parts."""

    @property
    def ci95(self) -> Interval:
        """The 95 % interval of the draws; NaN from fewer than FEWEST pictures."""
        return interval(self.drawn if self.pictures >= FEWEST else np.empty(0))

    @property
    def classes(self) -> dict[str, Figure]:
        """For a mean, class → its IoU, without NaN."""
        found: dict[str, Figure] = {}
        for part in self.parts:
            found |= part.classes
            if not part.parts and not math.isnan(part.value):
                found[part.name] = part
        return found

    def over(self, names: Container[str]) -> Figure:
        """A mean over those of its classes that are among `names`; other scores as they are."""
        if not self.mean:
            return self
        parts = [part.over(names) for part in self.parts if part.mean or part.name in names]
        if not parts:
            return Figure(self.name, math.nan, np.full_like(self.drawn, math.nan), 0, (), self.mean)
        return mean_figure(self.name, parts, self.mean)

    def often_shown(self) -> list[Figure]:
        """For a mean, [the mean over the classes that at least FEWEST pictures show]; [] if these are all its classes,
        or fewer than two."""
        often = [name for name, iou in self.classes.items() if iou.pictures >= FEWEST]
        if not 1 < len(often) < len(self.classes):
            return []
        name = f"{self.name}: mean of the {plural(len(often), 'class')} that {FEWEST} or more pictures show"
        return [self.over(often)._replace(name=name)]

    def of_same_classes(self, other: Figure) -> tuple[Figure, Figure]:
        """Both scores, means over the classes that both have."""
        shared = self.classes.keys() & other.classes.keys()
        return self.over(shared), other.over(shared)

    def minus(self, other: Figure) -> Figure:
        """The difference from the same score of other predictions for the same images, over the same draws and the same
        classes."""
        one, two = self.of_same_classes(other)
        return Figure(self.name, one.value - two.value, one.drawn - two.drawn, min(one.pictures, two.pictures))

    def keyed(self, key: str) -> dict[str, Any]:
        """The keys of JSON files: for "miou", the value `miou`, its interval `miou_ci95` and `miou_pictures`; and
        `miou_often_shown` with these keys, if there is such a mean."""
        often = {f"{key}_often_shown": mean.keyed(key) for mean in self.often_shown()}
        return {key: self.value, f"{key}_ci95": self.ci95, f"{key}_pictures": self.pictures, **often}


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
    pictures = ((images.tp + images.fn) > 0).sum(0)
    columns = zip(names, whole.iou.tolist(), drawn.iou.T, pictures.tolist(), strict=True)
    labelled = int(np.count_nonzero(images.pixels))
    ious = {name: Figure(name, *column) for name, *column in columns}
    return ious, Figure("pixel accuracy", float(whole.accuracy), drawn.accuracy, labelled)


def mean_figure(name: str, ious: Iterable[Figure], mean: Mean = mean_iou) -> Figure:
    """The mean IoU of some classes; classes that are neither labelled nor predicted are left out. name: the mean's.
    mean: makes (…) of IoUs (…, C)."""
    parts = list(ious)
    value = float(mean(np.array([part.value for part in parts])))
    drawn = mean(np.array([part.drawn for part in parts]).T)
    pictures = min((part.pictures for part in parts if not math.isnan(part.value)), default=0)
    return Figure(name, value, drawn, pictures, parts, mean)


def with_often_shown(figures: Iterable[Figure]) -> list[Figure]:
    """The figures, and behind a mean of classes that too few pictures show the mean of the others."""
    return list(chain.from_iterable((figure, *figure.often_shown()) for figure in figures))


def resample(images: Tally, *, seed: int, draws: int) -> Tally:
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


def draw_counts(images: int, *, seed: int, draws: int) -> Iterator[np.ndarray]:
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
