"""Matches unnamed segments with classes (Hungarian matching), and counts the result.

Adapted from google/diffseg, `diffseg/utils.py`, which follows PiCIE's evaluation: MIT License, Copyright 2023 Google
LLC (see NOTICE).

Shape letters: C classes, P segment ids from 0 to the highest, n entries of a table that are not zero.

Three protocols:

- diffseg: as published. In each image, a C × max(C, P) table of shared pixels is matched one to one, so that the number
  of matched pixels is maximal. Classes that the image does not show also get segments, as their false positives.
  Unmatched segments, which exist only if P > C, are false negatives for the classes beneath them and nothing else.
- dataset: one matching for the whole set, on the sum of its images' tables. Segment ids must mean the same in all
  images, as the clusters of K-Means over a data set do.
- strict: the matching of `diffseg`, but all labelled pixels of an unmatched segment are also false positives, for the
  class that it covers most (the lowest id if several are equal).

In all protocols, a labelled pixel without a prediction (for example outside a centre crop) is a false negative for its
class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from .scores import Tally

MatchingProtocol = Literal["diffseg", "dataset", "strict"]
MATCHING_PROTOCOLS: tuple[str, ...] = get_args(MatchingProtocol)
MAX_SEGMENTS = 2**16  # a table has a column for each id up to the highest, so that ties are resolved as in the original


@dataclass(frozen=True)
class Contingency:
    """How many labelled pixels each class of an image shares with each segment: n entries, for the pairs that share
    any, sorted by class, then by segment."""

    classes: np.ndarray
    """(n,) int64: the class of each entry."""
    segments: np.ndarray
    """(n,) int64: the segment of each entry."""
    pixels: np.ndarray
    """(n,) int64: the number of pixels that they share."""
    unpredicted: np.ndarray
    """(C,) int64: the number of each class's pixels that no segment covers."""
    num_segments: int
    """P, the highest id in the prediction plus one."""


def contingency(prediction: np.ndarray, label: np.ndarray, num_classes: int) -> Contingency:
    """The table for one image.

    prediction: (H, W) integers: ids of segments from 0 to 65535, −1 without a segment. label: (H, W) integers: classes
    from 0 to num_classes − 1, −1 without a label. Raises ValueError if the two differ in shape, or if an id is higher.
    """
    if prediction.shape != label.shape:
        raise ValueError(f"prediction {prediction.shape} and label {label.shape} must have one shape")
    width = int(prediction.max(initial=0)) + 2
    if width > MAX_SEGMENTS + 1:
        raise ValueError(f"segment ids go up to {MAX_SEGMENTS - 1}, not {width - 2}")
    # Row 0 takes the pixels without a label, column 0 those without a segment.
    index = (label.astype(np.int64) + 1) * width + prediction + 1
    table = np.bincount(index.ravel(), minlength=(num_classes + 1) * width).reshape(num_classes + 1, width)[1:]
    classes, segments = np.nonzero(table[:, 1:])
    return Contingency(classes, segments, table[classes, segments + 1], table[:, 0].copy(), width - 1)


def match(tables: Sequence[Contingency]) -> np.ndarray:
    """(P,) int64: the class of each segment id; −1 for unmatched segments. tables: of one image or several, which get
    one matching: the one with the most matched pixels in all of them together."""
    from scipy.optimize import linear_sum_assignment  # late: an export to COCO never calls this

    num_classes = len(tables[0].unpredicted)
    table = np.zeros((num_classes, max(num_classes, *(t.num_segments for t in tables))), np.int64)
    for one in tables:
        table[one.classes, one.segments] += one.pixels  # each pair occurs once in a table
    rows, columns = linear_sum_assignment(table, maximize=True)
    taken = np.full(table.shape[1], -1, np.int64)
    taken[columns] = rows
    return taken


def tally_matched(table: Contingency, taken: np.ndarray, *, charge_left_over: bool = False) -> Tally:
    """An image's counts (C,), once segments have classes. table: the image's. taken: (P,), the class of each segment,
    from `match`. charge_left_over: unmatched segments are also false positives (protocol `strict`)."""
    num_classes = len(table.unpredicted)
    owner = taken[table.segments]  # (n,) the class matched with the entry's segment
    right, matched = owner == table.classes, owner >= 0
    fn = table.unpredicted + _sums(table.classes[~right], table.pixels[~right], num_classes)
    fp = _sums(owner[matched & ~right], table.pixels[matched & ~right], num_classes)
    if charge_left_over and not matched.all():
        for segment in np.unique(table.segments[~matched]):
            entries = table.segments == segment
            fp[table.classes[entries][table.pixels[entries].argmax()]] += table.pixels[entries].sum()
    pixels = int(table.pixels.sum() + table.unpredicted.sum())
    return Tally(_sums(table.classes[right], table.pixels[right], num_classes), fp, fn, pixels)


def tally_images(tables: Iterable[Contingency], protocol: MatchingProtocol) -> Iterator[Tally]:
    """The counts of every image of a set, in order. Only the protocol `dataset` holds all tables at once; they are
    small."""
    if protocol == "dataset":
        tables = list(tables)
        if tables:
            taken = match(tables)
            yield from (tally_matched(table, taken) for table in tables)
    else:
        for table in tables:
            yield tally_matched(table, match([table]), charge_left_over=protocol == "strict")


def count_segments(label: np.ndarray, *, unlabelled: int = 255) -> int:
    """The number of distinct ids in a label map (H, W), without negative ids and `unlabelled`: the k of K-Means-S."""
    ids = label[(label >= 0) & (label != unlabelled)]
    if ids.max(initial=0) < MAX_SEGMENTS:  # counting takes a tenth of the time that sorting takes
        return int(np.count_nonzero(np.bincount(ids)))
    return len(np.unique(ids))


def _sums(index: np.ndarray, pixels: np.ndarray, length: int) -> np.ndarray:
    """(length,) int64: for each number 0 … length − 1, the sum of `pixels` where the index has it. Summed in floating
    point, which is exact up to 2^53."""
    return np.bincount(index, pixels, length).astype(np.int64)
