"""Scores predicted objects against those of a dataset: COCO's average precision, and panoptic quality."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from ..dataset.encoding import Instances
from ..metrics.average_precision import Matched, average_precision, match_objects
from ..metrics.panoptic import PanopticTally, panoptic_quality, panoptic_tally
from ..metrics.scores import overlap


@dataclass(frozen=True)
class ObjectScores:
    """Scores in [0, 1], means over the classes that have an object in the truth; NaN if there is none. pq: panoptic quality of the objects;
    the background is stuff, and other pixels without an object are void."""

    ap: float
    ap50: float
    ar100: float
    pq: float


class ObjectCounts:
    """Counts over images, which are added one by one. classes: the number of classes, with the background."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.matched: dict[int, list[Matched]] = defaultdict(list)
        self.tallies: list[PanopticTally] = []

    def add(self, predicted: Instances, predicted_labels: np.ndarray, truth: Instances, true_labels: np.ndarray) -> None:
        """Count an image by its objects and label maps (H, W) uint8, all of one size and with the same classes. Predictions without scores
        get a score of 1."""
        predicted, truth = replace(predicted, scores=predicted.scores or (1.0,) * len(predicted.class_ids)).seen(), truth.seen()
        rows, columns = len(predicted.class_ids) + 1, len(truth.class_ids) + 1
        both = np.bincount(predicted.numbers.ravel().astype(np.int64) * columns + truth.numbers.ravel(), minlength=rows * columns)
        table = both.reshape(rows, columns)
        shared = table[1:, 1:]
        ious = overlap(shared, table.sum(1)[1:, None] + table.sum(0)[1:] - shared)
        ours, theirs = np.array(predicted.class_ids, int), np.array(truth.class_ids, int)
        for class_id in {*predicted.class_ids, *truth.class_ids}:
            chosen = ours == class_id
            self.matched[class_id].append(match_objects(ious[chosen][:, theirs == class_id], np.array(predicted.scores)[chosen]))
        segments = [_with_background(*of_one) for of_one in ((predicted, predicted_labels), (truth, true_labels))]
        self.tallies.append(panoptic_tally(*segments[0], *segments[1], self.classes))

    def scores(self) -> ObjectScores:
        """The scores of all images."""
        shown = [class_id for class_id, matched in sorted(self.matched.items()) if any(image.objects for image in matched)]
        if not shown:
            return ObjectScores(*[float("nan")] * 4)
        precisions = [average_precision(self.matched[class_id]) for class_id in shown]
        ap, ap50, ar100 = np.mean([(one.ap, one.ap50, one.ar100) for one in precisions], 0).tolist()
        return ObjectScores(ap, ap50, ar100, float(panoptic_quality(self.tallies).per_class[shown].mean()))


def _with_background(objects: Instances, labels: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """A map of object numbers with the background as one more object, and the class of each."""
    background = len(objects.class_ids) + 1
    return np.where((labels == 0) & (objects.numbers == 0), background, objects.numbers), [*objects.class_ids, 0]
