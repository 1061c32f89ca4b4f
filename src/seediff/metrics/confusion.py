"""Counts the pixels of predicted and true label maps. `Confusion` adds up a set of images, one at a time;
`tally_boundaries` has the counts for boundary IoU.

255 in the truth is ignored. 255 in a prediction means no class, which is wrong: a false negative for the pixel's class,
and no false positive.

Boundary IoU says how well outlines agree, whatever an object's size (B. Cheng et al., "Boundary IoU: Improving
Object-Centric Image Segmentation Evaluation", CVPR 2021). It is the IoU of the band of each mask that is near its
outline: what d erosions with a 3 × 3 square take away. d is 2 % of the image's diagonal, and the image's edge is an
outline, too. So a pixel is in the band if the square of 2d + 1 pixels around it contains several classes, or reaches
beyond the image.

Shape letters: C classes, I images.
"""

from __future__ import annotations

import math

import numpy as np

from ..files.label_maps import IGNORE
from .scores import Tally, mean_iou, stack

DISTANCE = 0.02  # d in diagonals of the image


class Confusion:
    """The counts of a set of images: how many pixels of each true class were predicted as each class. `tallies` has the
    counts of each image by itself, for the bootstrap."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.table = np.zeros((num_classes, num_classes + 1), np.int64)
        """(C, C + 1) int64: entry [t, p] is the number of pixels of class t that were predicted as class p. The last
        column has pixels without a prediction (255)."""
        self._tallies: list[Tally] = []

    def __len__(self) -> int:
        """The number of images added."""
        return len(self._tallies)

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> Tally:
        """Add an image, and return its own counts (C,). predicted, truth: (H, W) uint8 of one size, ids below C or 255.
        Raises ValueError for other ids or sizes."""
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

    def miou(self) -> float:
        """The mean IoU over the classes that are in the truth or predicted; NaN if no pixel counts."""
        return float(mean_iou(tally(self.table).iou))

    def tallies(self) -> Tally:
        """The counts (I, C) of each image, in the order in which images were added. At least one must have been."""
        return stack(self._tallies)


def joint_counts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(256, 256) int64: entry [i, j] is the number of pixels with id i in the first map and id j in the second. first,
    second: (H, W) uint8."""
    # The two ids of a pixel form one 16-bit number, so a single count over all pixels is enough.
    both = np.multiply(first, np.uint16(256), dtype=np.uint16)
    both |= second
    return np.bincount(both.ravel(), minlength=65536).reshape(256, 256)


def tally(table: np.ndarray) -> Tally:
    """The counts (C,) of each class from a table (C, C + 1) like `Confusion.table`."""
    tp = np.diagonal(table).copy()
    return Tally(tp, table[:, :-1].sum(0) - tp, table.sum(1) - tp, int(table.sum()))


def boundary_distance(height: int, width: int) -> int:
    """d in pixels, at least 1: 2 % of the diagonal, rounded (halves to even)."""
    return max(1, round(DISTANCE * math.hypot(height, width)))


def boundary_band(labels: np.ndarray, distance: int) -> np.ndarray:
    """(H, W) bool: the pixels that are within `distance` pixels of their own region's outline. labels: (H, W)."""
    band = np.ones(labels.shape, bool)
    d = distance
    if min(labels.shape) <= 2 * d:
        return band
    # The square around an inner pixel has several classes if any of its rows changes. Otherwise each row has one class,
    # and the middle column shows whether two rows differ.
    rows = _any_of(_any_of(labels[:, 1:] != labels[:, :-1], 2 * d, axis=1), 2 * d + 1, axis=0)
    column = _any_of(labels[1:, d:-d] != labels[:-1, d:-d], 2 * d, axis=0)
    band[d:-d, d:-d] = rows | column
    return band


def _any_of(flags: np.ndarray, length: int, axis: int) -> np.ndarray:
    """For each window of `length` neighbours along an axis: whether any of them is true. The axis becomes shorter by
    length − 1: for a length of 2, [False, True, False, False] → [True, True, False]. 50 times as fast as scipy's
    filters, because the windows double in each round."""
    if axis == 1:
        return _any_of(flags.T, length, axis=0).T
    covered = 1
    while covered < length:
        step = min(covered, length - covered)
        flags = flags[step:] | flags[:-step]
        covered += step
    return flags


def tally_boundaries(predicted: np.ndarray, truth: np.ndarray, num_classes: int) -> Tally:
    """The counts (C,) of each class's pixels in the bands of the two label maps. predicted, truth: (H, W) uint8, ids
    below C or 255. Where the truth is 255, the prediction counts as 255, too. num_classes: C."""
    ignored = truth == IGNORE
    predicted = _hide(predicted, ignored)
    distance = boundary_distance(*truth.shape)
    predicted_band, truth_band = (_hide(labels, ~boundary_band(labels, distance)) for labels in (predicted, truth))
    joint = joint_counts(predicted_band, truth_band)
    tp, found, shown = (counts[:num_classes] for counts in (np.diagonal(joint), joint.sum(1), joint.sum(0)))
    return Tally(tp.copy(), found - tp, shown - tp, int((~ignored).sum()))


def _hide(labels: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """A label map (H, W) uint8, with 255 where `hidden` (H, W) bool is true. Faster than np.where."""
    return labels | (hidden.view(np.uint8) * np.uint8(IGNORE))
