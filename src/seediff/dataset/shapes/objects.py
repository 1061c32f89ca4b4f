"""The objects in a label map: known objects, or else the connected pieces of each class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from ...files.label_maps import IGNORE
from ..encoding import Instances

SMALLEST_SHARE = 0.01
"""`scored_pieces` leaves out pieces that cover less than this share of the picture."""


@dataclass(frozen=True)
class Objects:
    """The objects in a label map, numbered from 1. They are ordered by class. Within a class, the object comes first
    whose first pixel comes first; pixels are counted down the columns, from the left column to the right."""

    numbers: np.ndarray
    """(H, W) int32: the number of the object at each pixel; 0 where there is no object."""
    class_ids: Sequence[int]
    """The class of object 1, of object 2, …"""
    small: int = 0
    """How many objects were left out because they have too few pixels."""

    @cached_property
    def areas(self) -> list[int]:
        """The number of pixels of each object."""
        return np.bincount(self.numbers.ravel(), minlength=1)[1:].tolist()

    @cached_property
    def boxes_xyxy(self) -> list[tuple[int, int, int, int]]:
        """(left, top, right, bottom) of each object in pixels; right and bottom are exclusive."""
        from scipy import ndimage

        return [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(self.numbers)]

    @property
    def boxes_xywh(self) -> list[list[int]]:
        """[left, top, width, height] of each object in pixels, as in COCO files."""
        return [[left, top, right - left, bottom - top] for left, top, right, bottom in self.boxes_xyxy]

    def rest(self, labels: np.ndarray) -> np.ndarray:
        """The labels (H, W) uint8 without the objects: 0 at the pixels of objects."""
        return np.where(self.numbers > 0, np.uint8(0), labels)

    def pieces(self, min_area: int = 1) -> tuple[Objects, list[int]]:
        """(pieces, owners): the connected pieces of the objects, and for each piece the position of its object in
        `class_ids`.

        min_area: pieces with fewer pixels are left out. Two pixels are connected if they share an edge. A shared corner
        is not enough, because some programs round the corners of polygons and would fill pixels there.
        """
        cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
        pieces, owners = _connected(self.numbers, cross)
        objects, kept = _in_order(pieces, np.array([0, *self.class_ids], np.uint8)[owners], min_area)
        return objects, (owners[kept] - 1).tolist()


def find_objects(labels: np.ndarray, min_area: int = 1, instances: Instances | None = None) -> Objects:
    """The objects in labels (H, W) uint8: the known objects, or else the connected pieces of each class. 0 and 255 are
    not classes. Two pixels of a piece may touch at a corner only.

    min_area: objects with fewer pixels are left out. instances: the known objects. A pixel of an object counts only if
    the labels have the object's class there.
    """
    if instances is None:
        numbers, classes = _connected(np.where(labels == IGNORE, np.uint8(0), labels), np.ones((3, 3)))
    else:
        numbers = np.where(instances.label_map() == labels, instances.numbers, 0)
        classes = np.array([0, *instances.class_ids])
    return _in_order(numbers, classes, min_area)[0]


def whole_classes(labels: np.ndarray) -> Objects:
    """Each id above 0 in labels (H, W) uint8 as one object, 255 included."""
    ids = np.flatnonzero(np.bincount(labels.ravel(), minlength=IGNORE + 1)[1:]) + 1
    table = np.zeros(IGNORE + 1, np.int32)
    table[ids] = np.arange(1, len(ids) + 1)
    return Objects(table[labels], ids.tolist())


def scored_pieces(labels: np.ndarray, class_ids: Sequence[int], soft: Iterable[np.ndarray]) -> Instances:
    """The connected pieces of each class as objects with scores, the highest score first. Pieces that cover less than
    SMALLEST_SHARE of the picture are left out.

    labels: (H, W) uint8. class_ids: the classes. soft: the soft mask (H, W) of each class. A piece's score is the mean
    of its class's soft mask in the piece.
    """
    pieces = find_objects(labels, math.ceil(SMALLEST_SHARE * labels.size))
    scores = [0.0] * len(pieces.class_ids)
    for class_id, values in zip(class_ids, soft, strict=True):
        for piece in np.flatnonzero(np.equal(pieces.class_ids, class_id)).tolist():
            scores[piece] = float(values[pieces.numbers == piece + 1].mean())
    order = sorted(range(len(scores)), key=lambda piece: -scores[piece])
    table = np.zeros(len(scores) + 1, np.int32)
    table[np.array(order, np.intp) + 1] = range(1, len(order) + 1)
    return Instances(table[pieces.numbers], tuple(pieces.class_ids[i] for i in order), tuple(scores[i] for i in order))


def _connected(numbers: np.ndarray, neighbours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(pieces, owners). `pieces`: (H, W) int32, the connected areas of equal numbers above 0, counted from 1.
    `owners[p]`: the number of piece p in `numbers`.

    numbers: (H, W) of integers. neighbours: (3, 3), which of the pixels around a pixel are connected with it.
    """
    from scipy import ndimage  # late: it takes a quarter of a second, which errors need not wait for

    pieces, owners = np.zeros(numbers.shape, np.int32), [0]
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        if box is not None:
            found, count = cast(Any, ndimage.label(numbers[box] == number, neighbours))
            pieces[box] += np.where(found > 0, found + np.int32(len(owners) - 1), np.int32(0))
            owners += [number] * count
    return pieces, np.array(owners)


def _in_order(numbers: np.ndarray, classes: np.ndarray, min_area: int) -> tuple[Objects, np.ndarray]:
    """(objects, kept): the objects in the order of `Objects`, and the old number of each.

    numbers: (H, W), the old number at each pixel. classes: the class of each old number. Numbers of class 0 or 255 are
    not objects. min_area: objects with fewer pixels are left out.
    """
    flat = numbers.ravel(order="F")
    areas, first_pixels = np.bincount(flat, minlength=len(classes)), np.zeros(len(classes), np.int64)
    # first_pixels: where each number appears first. np.unique of all pixels is slow, so it gets one of each run.
    runs = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))  # where runs of equal numbers begin
    present, first_runs = np.unique(flat[runs], return_index=True)
    first_pixels[present] = runs[first_runs]
    objects = (areas > 0) & (classes > 0) & (classes < IGNORE)
    kept = np.flatnonzero(objects & (areas >= min_area))
    kept = kept[np.lexsort((first_pixels[kept], classes[kept]))]
    table = np.zeros(len(classes), np.int32)
    table[kept] = np.arange(1, len(kept) + 1)
    return Objects(table[numbers], classes[kept].tolist(), int(objects.sum()) - len(kept)), kept
