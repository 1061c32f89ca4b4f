"""The confusion matrix of a set of images, filled one image at a time, and each image's counts for the bootstrap.

255 in the truth is ignored. 255 in a prediction means no class, which is wrong: a false negative for the pixel's class,
and no false positive.

Shape letters: C classes, I images.
"""

from __future__ import annotations

import numpy as np

from ..files.label_maps import IGNORE
from .scores import Tally, mean_iou, stack


class Confusion:
    """Pixels of each true class (rows) that were predicted as each class (columns), summed over all images; and three
    counts per class for each image."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.table = np.zeros((num_classes, num_classes + 1), np.int64)
        """(C, C + 1) int64; the last column counts pixels without a prediction (255)."""
        self._tallies: list[Tally] = []

    def __len__(self) -> int:
        """The number of images added."""
        return len(self._tallies)

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> Tally:
        """Add an image, and return its own counts. predicted, truth: (H, W) uint8 of one size, ids below C or 255.
        Raises ValueError naming any other ids."""
        table = self._count(predicted, truth)
        self.table += table
        counts = tally(table)
        self._tallies.append(counts)
        return counts

    def _count(self, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """The table (C, C + 1) int64 of one image."""
        if predicted.shape != truth.shape or truth.ndim != 2:
            raise ValueError(f"prediction {predicted.shape} and truth {truth.shape} must be maps (H, W) of one size")
        joint = joint_counts(truth, predicted)
        count = self.num_classes
        for what, pixels in (("truth", joint.sum(1)), ("prediction", joint.sum(0))):
            unknown = count + np.flatnonzero(pixels[count:IGNORE])
            if len(unknown):
                listed = ", ".join(map(str, unknown[:5]))
                raise ValueError(f"{what} has ids {listed}; there are {count} classes, and 255")
        return np.concatenate([joint[:count, :count], joint[:count, IGNORE:]], axis=1)

    def iou(self) -> np.ndarray:
        """(C,) float64: IoU of each class over the set; NaN for a class that is neither in the truth nor predicted."""
        return tally(self.table).iou

    def miou(self) -> float:
        """Mean of `iou` over the classes that are in the truth or predicted; NaN if no pixel counts."""
        return float(mean_iou(self.iou()))

    def pixel_accuracy(self) -> float:
        """The share of counted pixels with the right class; NaN if no pixel counts."""
        counts = tally(self.table)
        if not counts.pixels:
            return float("nan")
        return float(counts.accuracy)

    def tallies(self) -> Tally:
        """The counts of every image (I, C), in the order in which they were added; needs at least one image."""
        return stack(self._tallies)


def joint_counts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(256, 256) int64: the number of pixels with id i in the first map (H, W) uint8 and j in the second."""
    # The two ids of a pixel form one 16-bit number, so a single count over all pixels is enough.
    both = np.multiply(first, np.uint16(256), dtype=np.uint16)
    both |= second
    return np.bincount(both.ravel(), minlength=65536).reshape(256, 256)


def tally(table: np.ndarray) -> Tally:
    """The counts (C,) in a table (C, C + 1) such as `Confusion.table`."""
    tp = np.diagonal(table).copy()
    return Tally(tp, table[:, :-1].sum(0) - tp, table.sum(1) - tp, int(table.sum()))
