"""Accuracy and IoU from counts summed over images, with bootstrap intervals over images. Pure.

Shape letters: I images, C classes, D draws of the bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .matching import Tally

AT_ONCE = 100  # draws of the bootstrap held in memory together


@dataclass(frozen=True)
class Tallies:
    """The counts of a set's images: tp, fp, fn (I, C) int64 and pixels (I,) int64, labelled pixels of each image."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    pixels: np.ndarray


@dataclass(frozen=True)
class Intervals:
    """Percentile intervals (low, high) of accuracy and mIoU, and of each class's IoU (C, 2), NaN where a class has no pixel."""

    acc: tuple[float, float]
    miou: tuple[float, float]
    iou: np.ndarray


def stack(tallies: Iterable[Tally]) -> Tallies:
    """The counts of at least one image, kept as four arrays."""
    rows = [(t.tp, t.fp, t.fn, t.pixels) for t in tallies]
    tp, fp, fn, pixels = zip(*rows, strict=True)
    return Tallies(np.stack(tp), np.stack(fp), np.stack(fn), np.array(pixels, np.int64))


def accuracy(tp: np.ndarray, pixels: np.ndarray | int) -> np.ndarray:
    """(…): share of labelled pixels that are right, from tp (…, C) and pixels (…)."""
    return tp.sum(-1) / pixels


def class_iou(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    """(…, C): tp / (tp + fp + fn), NaN for a class that is neither labelled nor predicted anywhere."""
    union = np.asarray(tp + fp + fn, np.float64)
    return np.divide(tp, union, out=np.full(union.shape, np.nan), where=union > 0)


def mean_iou(iou: np.ndarray) -> np.ndarray:
    """(…): mean over classes that are not NaN, as the original's nanmean: a class counts when it is labelled, or predicted by mistake."""
    present = ~np.isnan(iou)
    return np.where(present, iou, 0).sum(-1) / present.sum(-1)


def bootstrap(tallies: Tallies, *, seed: int = 0, draws: int = 2000, level: float = 0.95) -> Intervals:
    """Intervals of accuracy, mIoU and each class's IoU over draws of whole images with replacement.

    Matchings stay those of the set. With one image every draw is the same and the intervals have no width.
    """
    rng = np.random.default_rng(seed)
    images = len(tallies.pixels)
    kept = [np.asarray(a, np.float64) for a in (tallies.tp, tallies.fp, tallies.fn, tallies.pixels)]
    accs, mious, ious = [], [], []
    for first in range(0, draws, AT_ONCE):
        size = min(AT_ONCE, draws - first)
        times = rng.multinomial(images, np.full(images, 1 / images), size=size).astype(np.float64)  # how often each image is drawn
        tp, fp, fn, pixels = (times @ a for a in kept)
        valid = pixels > 0  # a draw may hold nothing but images without labels
        iou = class_iou(tp[valid], fp[valid], fn[valid])
        accs.append(accuracy(tp[valid], pixels[valid]))
        mious.append(mean_iou(iou))
        ious.append(iou)
    tails = ((1 - level) / 2, (1 + level) / 2)
    iou = np.concatenate(ious)
    bounds = np.full((iou.shape[1], 2), np.nan)
    for number, values in enumerate(iou.T):
        if (present := values[~np.isnan(values)]).size:
            bounds[number] = np.quantile(present, tails)
    acc, miou = (np.quantile(np.concatenate(a), tails) for a in (accs, mious))
    return Intervals((float(acc[0]), float(acc[1])), (float(miou[0]), float(miou[1])), bounds)
