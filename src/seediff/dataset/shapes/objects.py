"""The objects in a label map: known objects, or else the connected pieces of each class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from ...files.label_maps import IGNORE

SMALLEST_SHARE = 0.01
"""A piece of a model's mask that covers a smaller share of the picture is hardly an object."""

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
"""For `connected`: pixels are connected if they share an edge."""
SQUARE = np.ones((3, 3))
"""For `connected`: pixels are connected if they share an edge or a corner."""


@dataclass(frozen=True)
class Objects:
    """The objects of a picture, numbered from 1 in any order. `find_objects` puts them in the order of exports."""

    numbers: np.ndarray
    """(H, W) of integers: the number of the object at each pixel; 0 where there is no object."""
    class_ids: Sequence[int]
    """The class ids of objects 1, 2, …; 255 is the class of an ignored shape."""
    scores: Sequence[float] = ()
    """The scores of objects 1, 2, …, in [0, 1]; empty if they are not known."""
    small: int = 0
    """How many objects were left out because they have too few pixels."""

    def label_map(self) -> np.ndarray:
        """(H, W) uint8: the class of each pixel's object, 0 where there is no object."""
        return np.array([0, *self.class_ids], np.uint8)[self.numbers]

    def take(self, positions: Sequence[int]) -> Objects:
        """The objects at these positions in `class_ids`, numbered anew in this order, each with its score."""
        table = np.zeros(len(self.class_ids) + 1, np.int32)
        table[np.array(positions, np.intp) + 1] = np.arange(1, len(positions) + 1)
        scores = tuple(self.scores[i] for i in positions if self.scores)
        return Objects(table[self.numbers], tuple(self.class_ids[i] for i in positions), scores)

    def visible(self, *, ignored: bool = False) -> Objects:
        """The objects that have a class and a pixel, numbered anew in their old order. ignored: keep shapes of the
        class 255, too."""
        return self.take([i for i, one in enumerate(self.class_ids) if self.areas[i] and 0 < one < IGNORE + ignored])

    @cached_property
    def areas(self) -> list[int]:
        """The number of pixels of each object."""
        return np.bincount(self.numbers.ravel(), minlength=len(self.class_ids) + 1)[1:].tolist()

    @cached_property
    def boxes_xyxy(self) -> list[tuple[int, int, int, int]]:
        """(left, top, right, bottom) of each object in pixels; right and bottom are exclusive. Each
        object must have a pixel (`visible`)."""
        from scipy import ndimage

        return [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(self.numbers)]

    def rest(self, labels: np.ndarray) -> np.ndarray:
        """The labels (H, W) uint8 without the objects: 0 at the pixels of objects."""
        return np.where(self.numbers > 0, np.uint8(0), labels)

    def pieces(self, min_area: int = 1) -> tuple[Objects, list[int]]:
        """(pieces, owners): the connected pieces of the objects, and for each piece the position of its object in
        `class_ids`.

        min_area: pieces with fewer pixels are left out. Two pixels are connected if they share an edge. A shared corner
        is not enough, because some programs round the corners of polygons and would fill pixels there.
        """
        numbers, owners = connected(self.numbers, CROSS)
        positions = [owner - 1 for owner in owners]
        scores = [self.scores[i] for i in positions if self.scores]
        pieces, kept = _in_order(Objects(numbers, [self.class_ids[i] for i in positions], scores), min_area)
        return pieces, [positions[i] for i in kept]


def find_objects(labels: np.ndarray, min_area: int = 1, known: Objects | None = None) -> Objects:
    """The objects in labels (H, W) uint8: the known objects, or else the connected pieces of each class. 0 and 255 are
    not classes. Two pixels of a piece may touch at a corner only.

    They are ordered by class. Within a class, the object comes first whose first pixel comes first; pixels are counted
    down the columns, from the left column to the right. min_area: objects with fewer pixels are left out. known: a
    pixel of an object counts only if the labels have the object's class there.
    """
    if known is None:
        objects = Objects(*connected(np.where(labels == IGNORE, np.uint8(0), labels), SQUARE))
    else:
        objects = replace(known, numbers=np.where(known.label_map() == labels, known.numbers, 0))
    return _in_order(objects, min_area)[0]


def smallest_area(labels: np.ndarray) -> int:
    """The fewest pixels of a piece that covers SMALLEST_SHARE of the picture. labels: (H, W)."""
    return math.ceil(SMALLEST_SHARE * labels.size)


def whole_classes(labels: np.ndarray) -> Objects:
    """Each id above 0 in labels (H, W) uint8 as one object, 255 included."""
    ids = np.flatnonzero(np.bincount(labels.ravel(), minlength=IGNORE + 1)[1:]) + 1
    table = np.zeros(IGNORE + 1, np.int32)
    table[ids] = np.arange(1, len(ids) + 1)
    return Objects(table[labels], ids.tolist())


def scored_pieces(labels: np.ndarray, class_ids: Sequence[int], soft: Iterable[np.ndarray]) -> Objects:
    """The connected pieces of each class as objects with scores, the highest score first. Pieces that cover less than
    SMALLEST_SHARE of the picture are left out.

    labels: (H, W) uint8. class_ids: the classes. soft: the soft mask (H, W) of each class. A piece's score is the mean
    of its class's soft mask in the piece.
    """
    pieces = find_objects(labels, smallest_area(labels))
    scores = [0.0] * len(pieces.class_ids)
    for class_id, values in zip(class_ids, soft, strict=True):
        for piece in np.flatnonzero(np.equal(pieces.class_ids, class_id)).tolist():
            scores[piece] = float(values[pieces.numbers == piece + 1].mean())
    return replace(pieces, scores=scores).take(sorted(range(len(scores)), key=lambda piece: -scores[piece]))


def connected(numbers: np.ndarray, neighbours: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """(pieces, owners). `pieces`: (H, W) int32, the connected areas of equal numbers above 0, counted from 1. `owners`:
    the number in `numbers` of piece 1, of piece 2, ….

    numbers: (H, W) of integers. neighbours: (3, 3), which of the pixels around a pixel are connected with it.
    """
    from scipy import ndimage  # late: it takes a quarter of a second, which errors need not wait for

    pieces = np.zeros(numbers.shape, np.int32)
    owners = list[int]()
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        if box is not None:
            found, count = cast(Any, ndimage.label(numbers[box] == number, neighbours))
            pieces[box] += np.where(found > 0, found + np.int32(len(owners)), np.int32(0))
            owners += [number] * count
    return pieces, owners


def _in_order(found: Objects, min_area: int) -> tuple[Objects, list[int]]:
    """(objects, kept): the objects in the order of `find_objects`, and the old position of each. Shapes of class 0 or
    255 are not objects. min_area: objects with fewer pixels are left out."""
    flat = found.numbers.ravel(order="F")
    classes = np.array([0, *found.class_ids])
    areas = np.bincount(flat, minlength=len(classes))
    first_pixels = np.zeros(len(classes), np.int64)
    # first_pixels: where each number appears first. np.unique of all pixels is slow, so it gets one of each run.
    runs = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))  # where runs of equal numbers begin
    present, first_runs = np.unique(flat[runs], return_index=True)
    first_pixels[present] = runs[first_runs]
    objects = (areas > 0) & (classes > 0) & (classes < IGNORE)
    kept = np.flatnonzero(objects & (areas >= min_area))
    kept = (kept[np.lexsort((first_pixels[kept], classes[kept]))] - 1).tolist()
    return replace(found.take(kept), small=int(objects.sum()) - len(kept)), kept
