"""Average precision of object masks, by the rules of COCO's detection challenge (cocodataset.org, "Detection Evaluation").

At each of ten IoU thresholds, the predictions of an image are matched with its objects, the surest first, each with the free object that it
overlaps most. What lies on a crowd is neither right nor wrong. Precision is made to fall with recall, read at 101 recalls from 0
to 1 and averaged. One list of `Matched` is one class: for class-agnostic figures all objects are matched regardless of their classes.

Shape letters: D predictions and G objects of one image, T thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST = 100
"""Predictions per image that count: those with the highest scores."""


@dataclass(frozen=True)
class Matched:
    """Predictions of one image, the surest first, at most MOST.

    scores: (D,). right, ignored: (T, D) bool, whether each has an object of its own at each threshold, and whether it does not count.
    objects: the number of objects that count, G without crowds.
    """

    scores: np.ndarray
    right: np.ndarray
    ignored: np.ndarray
    objects: int


@dataclass(frozen=True)
class AveragePrecision:
    """In [0, 1]; NaN where there is no object.

    ap: mean over thresholds from 0.5 to 0.95. ap50, ap75: at one threshold. ar100: the share of objects that are found, mean over
    thresholds.
    """

    ap: float
    ap50: float
    ap75: float
    ar100: float


def pixel_ious(predicted: np.ndarray, objects: np.ndarray, crowds: np.ndarray | None = None) -> np.ndarray:
    """(D, G) IoU of masks (D, H, W) and (G, H, W) bool, which may overlap; with a crowd, intersection over the prediction's area.

    crowds: (G,) bool.
    """
    ours, theirs = (masks.reshape(len(masks), math.prod(masks.shape[1:])).astype(np.float64) for masks in (predicted, objects))
    shared, area = ours @ theirs.T, ours.sum(1)[:, None]
    union = area + np.where(np.zeros(len(theirs), bool) if crowds is None else crowds, 0, theirs.sum(1) - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def match_objects(ious: np.ndarray, scores: np.ndarray, crowds: np.ndarray | None = None) -> Matched:
    """Match the predictions of one image and class with its objects.

    ious: (D, G), from `pixel_ious`. scores: (D,), of which the first comes first among equals. crowds: (G,) bool: any number of
    predictions may match a crowd, if no object is left that they overlap enough; these do not count.
    """
    count = ious.shape[1]
    crowds = np.zeros(count, bool) if crowds is None else np.asarray(crowds, bool)
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")[:MOST]
    right, ignored = np.zeros((2, len(THRESHOLDS), len(order)), bool)
    for t, threshold in enumerate(THRESHOLDS):
        free = ~crowds
        for d, row in enumerate(ious[order] if count else ()):
            for candidates in (free, crowds):
                values = np.where(candidates, row, -1)
                best = count - 1 - int(values[::-1].argmax())  # the last of equals, as in COCO's program
                if values[best] >= min(threshold, 1 - 1e-10):
                    right[t, d], ignored[t, d] = not crowds[best], crowds[best]
                    free[best] = False
                    break
    return Matched(np.asarray(scores, np.float64)[order], right, ignored, count - int(crowds.sum()))


def average_precision(images: Sequence[Matched]) -> AveragePrecision:
    """The figures of one class over a set of images."""
    total = sum(image.objects for image in images)
    if not total:
        return AveragePrecision(*[float("nan")] * 4)
    order = np.argsort(-np.concatenate([image.scores for image in images]), kind="stable")
    right, ignored = (np.concatenate([getattr(image, name) for image in images], 1)[:, order] for name in ("right", "ignored"))
    found = right.cumsum(1)
    wrong = (~right & ~ignored).cumsum(1)
    precision = np.maximum.accumulate((found / np.maximum(found + wrong, 1))[:, ::-1], 1)[:, ::-1]
    at = np.stack([np.searchsorted(recall, RECALLS) for recall in found / total])
    per_threshold = np.take_along_axis(np.pad(precision, ((0, 0), (0, 1))), at, 1).mean(1)
    ar = float((found[:, -1] / total).mean()) if len(order) else 0.0
    return AveragePrecision(float(per_threshold.mean()), float(per_threshold[0]), float(per_threshold[5]), ar)


def mean_average_precision(classes: Mapping[str, Sequence[Matched]]) -> AveragePrecision:
    """The mean over classes that have objects."""
    rows = np.array([astuple(average_precision(images)) for images in classes.values()]).reshape(-1, 4)
    rows = rows[~np.isnan(rows[:, 0])]
    return AveragePrecision(*(rows.mean(0).tolist() if len(rows) else [float("nan")] * 4))
