"""Matches unnamed segments with classes (Hungarian matching), and counts the pixels that are then right or wrong.

Adapted from google/diffseg, `diffseg/utils.py`, which follows PiCIE's evaluation: MIT License, Copyright 2023 Google
LLC (see NOTICE).

Shape letters: C classes; P segments, whose ids are 0 to P − 1; n pairs of a class and a segment that share pixels.

Three protocols:

- diffseg: as published. In each image, a C × max(C, P) table of shared pixels is matched one to one, so that the number
  of matched pixels is maximal. A class that the image does not show may get a segment, too, whose pixels are false
  positives then. If P > C, some segments stay unmatched. Their pixels count as false negatives of their true classes,
  and as no class's false positives.
- dataset: one matching for the whole set, on the sum of its images' tables. Segment ids must mean the same in all
  images, as the clusters of K-Means over a data set do.
- strict: the matching of `diffseg`, but all labelled pixels of an unmatched segment are also false positives, for the
  class that it covers most (the lowest id of several equal ones).

In all protocols, a labelled pixel without a prediction (for example outside a centre crop) is a false negative for its
class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..config.sets import MatchingProtocol

MAX_SEGMENTS = 2**16  # a table has a column for each id up to the highest, so that ties are resolved as in the original


@dataclass(frozen=True)
class Contingency:
    """How many labelled pixels each class of an image shares with each segment: a sparse table of n pairs, sorted by
    class, then by segment."""

    classes: np.ndarray
    """(n,) int64: the class of each pair."""
    segments: np.ndarray
    """(n,) int64: the segment of each pair."""
    pixels: np.ndarray
    """(n,) int64: how many pixels the two share."""
    unpredicted: np.ndarray
    """(C,) int64: the number of each class's pixels that no segment covers."""
    num_segments: int
    """P, the highest segment id in the prediction plus one."""


def contingency(prediction: np.ndarray, label: np.ndarray, num_classes: int) -> Contingency:
    """The table of one image.

    prediction: (H, W) integers: ids of segments from 0 to 65535; −1: no segment. label: (H, W) integers: classes from 0
    to num_classes − 1; −1: no label. Raises ValueError if the two differ in shape, or for a higher segment id.
    """
    if prediction.shape != label.shape:
        raise ValueError(f"prediction {prediction.shape} and label {label.shape} must have one shape")
    width = int(prediction.max(initial=0)) + 2
    if width > MAX_SEGMENTS + 1:
        raise ValueError(f"segment ids go up to {MAX_SEGMENTS - 1}, not {width - 2}")
    # Row 0 counts the pixels without a label, and is cut off at once. Column 0 counts the pixels without a segment, so
    # segment s is column s + 1.
    index = (label.astype(np.int64) + 1) * width + prediction + 1
    table = np.bincount(index.ravel(), minlength=(num_classes + 1) * width).reshape(num_classes + 1, width)[1:]
    classes, segments = np.nonzero(table[:, 1:])
    return Contingency(classes, segments, table[classes, segments + 1], table[:, 0].copy(), width - 1)


def match(tables: Sequence[Contingency]) -> np.ndarray:
    """(max(C, P),) int64: the class of each segment id; −1 for unmatched segments. The matching has the most matched
    pixels in all images together. tables: of one image, or of several in which segment ids mean the same."""
    from scipy.optimize import linear_sum_assignment  # late: an export to COCO never calls this

    num_classes = len(tables[0].unpredicted)
    table = np.zeros((num_classes, max(num_classes, *(t.num_segments for t in tables))), np.int64)
    for one in tables:
        table[one.classes, one.segments] += one.pixels  # each pair occurs once in a table
    rows, columns = linear_sum_assignment(table, maximize=True)
    taken = np.full(table.shape[1], -1, np.int64)
    taken[columns] = rows
    return taken


def count_matched(table: Contingency, taken: np.ndarray, *, charge_left_over: bool = False) -> np.ndarray:
    """The counts (3, C) of an image, as in scores.py. table: the pixels of each class and segment. taken: the class of
    each segment, from `match`. charge_left_over: unmatched segments are also false positives, as in the protocol
    `strict`."""
    num_classes = len(table.unpredicted)
    owner = taken[table.segments]  # (n,) the class matched with the pair's segment; −1: none
    right, matched = owner == table.classes, owner >= 0
    fn = table.unpredicted + _sums(table.classes[~right], table.pixels[~right], num_classes)
    fp = _sums(owner[matched & ~right], table.pixels[matched & ~right], num_classes)
    if charge_left_over and not matched.all():
        for segment in np.unique(table.segments[~matched]):
            entries = table.segments == segment  # charge all its pixels to the class with most of them
            fp[table.classes[entries][table.pixels[entries].argmax()]] += table.pixels[entries].sum()
    return np.stack([_sums(table.classes[right], table.pixels[right], num_classes), fp, fn])


def count_images(tables: Iterable[Contingency], protocol: MatchingProtocol) -> Iterator[np.ndarray]:
    """The counts (3, C) of each image of a set, in order. tables: of the images. Only the protocol `dataset` holds all
    of them in memory; they are small."""
    if protocol == "dataset":
        tables = list(tables)
        if tables:
            taken = match(tables)
            yield from (count_matched(table, taken) for table in tables)
    else:
        for table in tables:
            yield count_matched(table, match([table]), charge_left_over=protocol == "strict")


def _sums(index: np.ndarray, pixels: np.ndarray, length: int) -> np.ndarray:
    """(length,) int64: entry i is the sum of `pixels` where `index` is i. Summed in floating point, which is exact up
    to 2^53."""
    return np.bincount(index, pixels, length).astype(np.int64)
