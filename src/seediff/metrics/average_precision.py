"""Average precision of object masks, by the rules of COCO's detection challenge (cocodataset.org, "Detection Evaluation").

At each of ten IoU thresholds, the predictions of an image are matched with its objects in descending order of score, each with the
unmatched object that it overlaps most. Precision is made to fall with recall, read at 101 recalls from 0 to 1, and averaged. A list of
`Matched` is for one class; for class-agnostic scores all objects are matched regardless of their classes.

Shape letters: D predictions and G objects of one image, T thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST = 100
"""Predictions per image that count: those with the highest scores."""


@dataclass(frozen=True)
class Matched:
    """Predictions of one image, in descending order of score, at most MOST.

    scores: (D,). right: (T, D) bool, whether each prediction is matched at each threshold. objects: their number, G.
    """

    scores: np.ndarray
    right: np.ndarray
    objects: int


@dataclass(frozen=True)
class AveragePrecision:
    """Scores in [0, 1]; NaN if there is no object.

    ap: mean over thresholds from 0.5 to 0.95. ap50, ap75: at one threshold. ar100: the share of objects that are matched, mean over
    thresholds.
    """

    ap: float
    ap50: float
    ap75: float
    ar100: float


def pixel_ious(predicted: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """(D, G) IoU of masks (D, H, W) and (G, H, W) bool, which may overlap."""
    ours, theirs = (masks.reshape(len(masks), math.prod(masks.shape[1:])).astype(np.float64) for masks in (predicted, objects))
    shared = ours @ theirs.T
    union = ours.sum(1)[:, None] + theirs.sum(1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def match_objects(ious: np.ndarray, scores: np.ndarray) -> Matched:
    """Match the predictions of one image and class with its objects.

    ious: (D, G), from `pixel_ious`. scores: (D,); predictions with equal scores keep their order.
    """
    count = ious.shape[1]
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")[:MOST]
    right = np.zeros((len(THRESHOLDS), len(order)), bool)
    for t, threshold in enumerate(THRESHOLDS):
        free = np.ones(count, bool)
        for d, row in enumerate(ious[order] if count else ()):
            values = np.where(free, row, -1)
            best = count - 1 - int(values[::-1].argmax())  # the last of equals, as in COCO's program
            if values[best] >= min(threshold, 1 - 1e-10):
                right[t, d], free[best] = True, False
    return Matched(np.asarray(scores, np.float64)[order], right, count)


def average_precision(images: Sequence[Matched]) -> AveragePrecision:
    """The scores of one class over a set of images."""
    total = sum(image.objects for image in images)
    if not total:
        return AveragePrecision(*[float("nan")] * 4)
    order = np.argsort(-np.concatenate([image.scores for image in images]), kind="stable")
    found = np.concatenate([image.right for image in images], 1)[:, order].cumsum(1)
    precision = np.maximum.accumulate((found / np.arange(1, len(order) + 1))[:, ::-1], 1)[:, ::-1]
    at = np.stack([np.searchsorted(recall, RECALLS) for recall in found / total])
    per_threshold = np.take_along_axis(np.pad(precision, ((0, 0), (0, 1))), at, 1).mean(1)
    ar = float((found[:, -1] / total).mean()) if len(order) else 0.0
    return AveragePrecision(float(per_threshold.mean()), float(per_threshold[0]), float(per_threshold[5]), ar)
