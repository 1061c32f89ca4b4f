"""Panoptic quality (Kirillov, He, Girshick, Rother, Dollár: "Panoptic Segmentation", CVPR 2019), with void.

    PQ = Σ IoU over matched segments / (|TP| + ½ |FP| + ½ |FN|) = SQ · RQ,   SQ = Σ IoU / |TP|,   RQ = |TP| / (|TP| + ½ |FP| + ½ |FN|)

Two segments of one class match if their IoU is above 0.5, so no segment has two matches. Pixels that are void in the truth do not count in
the union. A segment without a match is no false positive if more than half of it is void.

Shape letters: C classes, P predicted and G true segments of one image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .scores import overlap


@dataclass(frozen=True)
class PanopticTally:
    """Counts of one image per class, (C,) each. iou: the summed IoU of matched segments, float64. tp, fp, fn: the numbers of matched
    segments, wrongly predicted segments and missed segments, int64."""

    iou: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray


@dataclass(frozen=True)
class PanopticQuality:
    """Means over the classes with any segment, in [0, 1], NaN without any; and PQ of each class (C,), NaN for those without."""

    pq: float
    sq: float
    rq: float
    per_class: np.ndarray


def panoptic_tally(
    predicted: np.ndarray,
    predicted_classes: Sequence[int],
    truth: np.ndarray,
    true_classes: Sequence[int],
    num_classes: int,
) -> PanopticTally:
    """Counts of one image.

    predicted, truth: (H, W) integers, 0 void, else a segment's number from 1. predicted_classes (P,), true_classes (G,): the class,
    0 … C − 1, of segment 1, 2, … A segment without pixels does not count.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"prediction {predicted.shape} and truth {truth.shape} must have one shape")
    rows, columns = len(predicted_classes) + 1, len(true_classes) + 1
    both = predicted.astype(np.int64).ravel() * columns + truth.ravel()
    table = np.bincount(both, minlength=rows * columns).reshape(rows, columns)
    ours, theirs = np.array(predicted_classes, np.int64), np.array(true_classes, np.int64)
    same, shared, void = ours[:, None] == theirs, table[1:, 1:], table[1:, 0]
    areas, true_areas = table[1:].sum(1), table[:, 1:].sum(0)

    iou = overlap(shared, areas[:, None] + true_areas - shared - void[:, None]) * (shared > 0)
    matched = same & (iou > 0.5)
    wrong = ~matched.any(1) & (areas > 0) & (2 * void <= areas)
    missed = ~matched.any(0) & (true_areas > 0)

    hits, segments = matched.sum(0), (iou * matched).sum(0)
    counts = (np.bincount(classes, kept, num_classes) for classes, kept in ((theirs, hits), (ours, wrong), (theirs, missed)))
    return PanopticTally(np.bincount(theirs, segments, num_classes), *(count.astype(np.int64) for count in counts))


def panoptic_quality(images: Iterable[PanopticTally]) -> PanopticQuality:
    """PQ, SQ and RQ of a set of at least one image, from sums over the set."""
    iou, tp, fp, fn = (np.sum(rows, 0) for rows in zip(*((t.iou, t.tp, t.fp, t.fn) for t in images), strict=True))
    there = tp + fp + fn > 0
    rq = tp[there] / (tp + (fp + fn) / 2)[there]
    sq = iou[there] / np.maximum(tp[there], 1)
    per_class = np.full(len(tp), np.nan)
    per_class[there] = sq * rq
    pq, sq, rq = (float(values.mean()) if there.any() else float("nan") for values in (sq * rq, sq, rq))
    return PanopticQuality(pq, sq, rq, per_class)
