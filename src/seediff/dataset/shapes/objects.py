"""Objects in a label map: known objects, or else the connected pieces of a class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...files.label_maps import IGNORE
from ..encoding import Instances
from .rle import Masks, Runs, column_runs, connected, masks_by

LEAST = 0.01
"""The smallest share of the picture that `scored_pieces` takes for an object, so there are at most 100."""


@dataclass(frozen=True)
class Objects:
    """The objects in one label map, ordered by class, then by their first pixel column by column.

    masks, class_ids: one entry per object. small: the number of pieces left out.
    """

    masks: Masks
    class_ids: Sequence[int]
    small: int

    @cached_property
    def areas(self) -> list[int]:
        """The area of each object in pixels."""
        return self.masks.areas.tolist()

    @cached_property
    def boxes_xyxy(self) -> list[tuple[int, int, int, int]]:
        """Left, top, right, bottom of each object in pixels; the last two exclusive."""
        return [(left, top, right, bottom) for left, top, right, bottom in self.masks.boxes_xyxy.tolist()]

    @cached_property
    def index(self) -> np.ndarray:
        """(H, W) int32: the object at each pixel, −1 for none."""
        return self.masks.index_map()

    def pieces(self, min_area: int = 1) -> tuple[Objects, list[int]]:
        """The connected pieces of the objects with at least `min_area` pixels, in the same order, and the object of each."""
        runs = column_runs(self.index)
        pieces = _numbered(runs, np.array([*self.class_ids, 0], np.uint8)[runs.ids], connected(runs), min_area)
        columns, rows = np.divmod(pieces.masks.starts[pieces.masks.first], self.masks.shape[0])
        return pieces, self.index[rows, columns].tolist()


def find_objects(labels: np.ndarray, min_area: int = 1, instances: Instances | None = None) -> Objects:
    """The connected pieces of each class in labels (H, W) uint8, with at least `min_area` pixels; 0 and 255 are not classes.

    Pixels that meet at a corner are connected. instances: the objects to take instead of pieces, each where labels have its class; ignored
    shapes are left out.
    """
    if instances is None:
        runs, classes = column_runs(labels), np.arange(IGNORE + 1, dtype=np.uint8)
    else:
        runs = column_runs(np.where(instances.label_map() == labels, instances.numbers, np.uint16(0)))
        classes = np.array([0, *instances.class_ids], np.uint8)
    piece = connected(runs) if instances is None else _first_runs(runs)
    return _numbered(runs, classes[runs.ids], piece, min_area)


def scored_pieces(labels: np.ndarray, class_ids: Sequence[int], soft: Iterable[np.ndarray]) -> Instances:
    """The connected pieces of classes in labels (H, W) uint8 as objects, the surest first. soft: each class's soft mask (H, W); a score is
    its mean in the piece. Pieces of less than LEAST of the picture are no objects."""
    found = find_objects(labels, math.ceil(LEAST * labels.size))
    scores = [0.0] * len(found.class_ids)
    for class_id, values in zip(class_ids, soft, strict=True):
        for piece in np.flatnonzero(np.equal(found.class_ids, class_id)).tolist():
            scores[piece] = float(values[found.index == piece].mean())
    order = sorted(range(len(scores)), key=lambda piece: -scores[piece])
    numbers = np.zeros(len(scores) + 1, np.uint16)  # the last entry is for pixels without a piece, −1
    numbers[order] = range(1, len(order) + 1)
    return Instances(numbers[found.index], tuple(found.class_ids[piece] for piece in order), tuple(scores[piece] for piece in order))


def _first_runs(runs: Runs) -> np.ndarray:
    """(N,) the first run with the id of each run."""
    _, first, number = np.unique(runs.ids, return_index=True, return_inverse=True)
    return first[number]


def _numbered(runs: Runs, classes: np.ndarray, piece: np.ndarray, min_area: int) -> Objects:
    """The objects formed by runs. classes, piece: (N,) the class and the piece of each run; a piece is the index of its first run. Classes
    0 and 255 are not objects."""
    first = np.flatnonzero((piece == np.arange(len(piece))) & (classes > 0) & (classes < IGNORE))
    first = first[np.argsort(classes[first], kind="stable")]
    number = np.full(len(piece), len(first))
    number[first] = np.arange(len(first))
    masks, class_ids = masks_by(runs, number[piece], len(first)), classes[first]
    if min_area > 1:
        large = masks.areas >= min_area
        masks, class_ids = masks.chosen(large), class_ids[large]
    return Objects(masks, class_ids.tolist(), len(first) - len(class_ids))
