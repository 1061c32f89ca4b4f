"""Accuracy and IoU from counts of pixels. `Estimate` is a score with its 95 % interval, from a bootstrap: each of D
draws scores I images that are chosen at random, with repetitions, among the set's I images.

Counts are arrays (…, 3, C): the true positives, false positives and false negatives of each class, in pixels. They are
(3, C) for an image or a whole set, (I, 3, C) for each image of a set.

`MEASURES` are the scores that each class has. A new one stands in all tables, files, charts and comparisons.

Shape letters: I images, C classes, D draws of the bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

AT_ONCE = 100  # draws held in memory together
LEVEL = 0.95
FEWEST = 5
"""The fewest pictures from which there is an interval. Draws of fewer pictures are too much alike."""
Interval = tuple[float, float]
"""(low, high), the ends of an interval."""
Mean = Callable[[np.ndarray], np.ndarray]
Counted = Literal["all", "outlines"]
"""Which pixels are counted: all, or those near outlines."""


class Estimate(NamedTuple):
    """A score: of a class, a mean of such scores, or an accuracy."""

    name: str
    value: float
    """In [0, 1]; NaN if no class counts."""
    drawn: np.ndarray
    """(D,): the score of each draw of the bootstrap."""
    pictures: int
    """The number of pictures behind it: for a class, those whose truth shows it; for a mean, those of its rarest
    class."""
    parts: Sequence[Estimate] = ()
    """For a mean, the estimates of which it is the mean."""
    mean: Mean | None = None
    """For a mean, how it is made of its parts."""

    @property
    def ci95(self) -> Interval:
        """The 95 % interval: the 2.5 % and 97.5 % quantiles of the draws that are not NaN; NaN if there are none, or
        fewer than FEWEST pictures."""
        present = self.drawn[~np.isnan(self.drawn)]
        if not present.size or self.pictures < FEWEST:
            return math.nan, math.nan
        low, high = np.quantile(present, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)).tolist()
        return low, high

    @property
    def classes(self) -> dict[str, Estimate]:
        """For a mean, class → its score, without NaN."""
        found: dict[str, Estimate] = {}
        for part in self.parts:
            found |= part.classes
            if not part.parts and not math.isnan(part.value):
                found[part.name] = part
        return found

    def over(self, names: Container[str]) -> Estimate:
        """A mean over those of its classes that are among `names`; other scores as they are."""
        if not self.mean:
            return self
        parts = [part.over(names) for part in self.parts if part.mean or part.name in names]
        if not parts:
            return Estimate(self.name, math.nan, np.full_like(self.drawn, math.nan), 0, (), self.mean)
        return mean_estimate(self.name, parts, self.mean)

    def of_same_classes(self, other: Estimate) -> tuple[Estimate, Estimate]:
        """Both scores, means over the classes that both have."""
        shared = self.classes.keys() & other.classes.keys()
        return self.over(shared), other.over(shared)

    def minus(self, other: Estimate) -> Estimate:
        """The difference from the same score of other predictions for the same images, over the same draws and the same
        classes."""
        one, two = self.of_same_classes(other)
        return Estimate(self.name, one.value - two.value, one.drawn - two.drawn, min(one.pictures, two.pictures))


def labelled(counts: np.ndarray) -> np.ndarray:
    """(…, C): the number of each class's labelled pixels. counts: (…, 3, C)."""
    return counts[..., 0, :] + counts[..., 2, :]


def class_iou(counts: np.ndarray) -> np.ndarray:
    """(…, C) float64: tp / (tp + fp + fn); NaN for a class that is neither labelled nor predicted. counts:
    (…, 3, C)."""
    union = counts.sum(-2, np.float64)
    return np.divide(counts[..., 0, :], union, out=np.full(union.shape, np.nan), where=union > 0)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """(…): the share of the labelled pixels that have the right class. counts: (…, 3, C)."""
    return counts[..., 0, :].sum(-1) / labelled(counts).sum(-1)


def mean_iou(iou: np.ndarray) -> np.ndarray:
    """(…): the mean of IoUs or other scores (…, C) over the classes that are not NaN; NaN if all are."""
    present = ~np.isnan(iou)
    classes = np.asarray(present.sum(-1))
    return np.divide(np.where(present, iou, 0).sum(-1), classes, out=np.full(classes.shape, np.nan), where=classes > 0)


class Measure(NamedTuple):
    """A score of each class, and the name of its mean over classes."""

    name: str
    mean: str
    of_classes: Callable[[np.ndarray], np.ndarray]
    """(…, 3, C) counts → (…, C) scores, NaN for a class that has none."""
    counted: Counted
    shown: Callable[[np.ndarray], np.ndarray]
    """(…, 3, C) counts → (…, C) pixels. A picture without such pixels says nothing about the class."""


MEASURES = (
    Measure("IoU", "mIoU", class_iou, "all", labelled),
    Measure("boundary IoU", "boundary mIoU", class_iou, "outlines", labelled),  # Cheng et al., CVPR 2021
)
"""The first is the one by which images are ranked."""


class Draws(NamedTuple):
    """The counts of a set of images, and of the draws of a bootstrap. If segments were matched with classes, this
    matching stays the same in all draws."""

    counts: np.ndarray
    """(I, 3, C)."""
    drawn: np.ndarray
    """(D, 3, C) float64, without draws that have no labelled pixel."""

    def of_classes(self, names: Iterable[str], measure: Measure = MEASURES[0]) -> dict[str, Estimate]:
        """Name → score of the class. names: the classes in the order of their columns."""
        score = measure.of_classes
        pictures = (measure.shown(self.counts) > 0).sum(0)
        columns = zip(names, score(self.counts.sum(0)).tolist(), score(self.drawn).T, pictures.tolist(), strict=True)
        return {name: Estimate(name, *column) for name, *column in columns}

    def of_all(self, name: str, score: Callable[[np.ndarray], np.ndarray]) -> Estimate:
        """A score of all classes together. score: makes (…) of counts (…, 3, C), such as `accuracy`."""
        pictures = int(np.count_nonzero(labelled(self.counts).any(1)))
        return Estimate(name, float(score(self.counts.sum(0))), score(self.drawn), pictures)


def mean_estimate(name: str, scores: Iterable[Estimate], mean: Mean = mean_iou) -> Estimate:
    """The mean score of some classes; classes without a score are left out. name: the mean's. mean: makes (…) of
    scores (…, C)."""
    parts = list(scores)
    value = float(mean(np.array([part.value for part in parts])))
    drawn = mean(np.array([part.drawn for part in parts]).T)
    pictures = min((part.pictures for part in parts if not math.isnan(part.value)), default=0)
    return Estimate(name, value, drawn, pictures, parts, mean)


def resample(counts: np.ndarray, *, seed: int, draws: int) -> Draws:
    """Draws of images. Each takes I of the images, with replacement, and sums their counts. counts: (I, 3, C). seed,
    draws: seed and number of the draws."""
    sums = [np.tensordot(times, counts, 1) for times in draw_counts(len(counts), seed=seed, draws=draws)]
    drawn = np.concatenate(sums)
    return Draws(counts, drawn[labelled(drawn).any(1)])


def draw_counts(images: int, *, seed: int, draws: int) -> Iterator[np.ndarray]:
    """How often each of I images occurs in each draw, as arrays (≤ AT_ONCE, I) float64. A single array for all draws of
    100,000 images would take gigabytes. images: I. seed, draws: seed and number of the draws."""
    rng = np.random.default_rng(seed)
    for first in range(0, draws, AT_ONCE):
        times = rng.multinomial(images, np.full(images, 1 / images), min(AT_ONCE, draws - first))
        yield times.astype(np.float64)
