"""The objects in a label map: known objects, or else the connected pieces of each class. Also what becomes of
objects when a person changes the label map, or divides it anew in another tool."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ..encoding import MOST_OBJECTS, Instances

SMALLEST_SHARE = 0.01
"""The least share of the picture that a piece must have so that `scored_pieces` takes it for an object."""


Division = Literal["same", "joined", "divided"]
"""How a tool divided a label map into objects: see `compare_division`."""
LOW = (1 << 32) - 1
"""The bits of the second number in what `_pairs` returns."""


@dataclass(frozen=True)
class Objects:
    """The objects in a label map. They are ordered by class, and within a class by their first pixel, column by
    column."""

    numbers: np.ndarray
    """(H, W) int32: the number of the object at each pixel, from 1; 0 where there is no object."""
    class_ids: Sequence[int]
    small: int = 0
    """The number of small objects that were left out."""

    @cached_property
    def areas(self) -> list[int]:
        """The number of pixels of each object."""
        return np.bincount(self.numbers.ravel(), minlength=1)[1:].tolist()

    @cached_property
    def boxes_xyxy(self) -> list[tuple[int, int, int, int]]:
        """(left, top, right, bottom) of each object in pixels; right and bottom are exclusive."""
        from scipy import ndimage

        return [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(self.numbers)]

    def rest(self, labels: np.ndarray) -> np.ndarray:
        """The labels (H, W) uint8 where there is no object, and 0 where there is one."""
        return np.where(self.numbers > 0, np.uint8(0), labels)

    def pieces(self, min_area: int = 1) -> tuple[Objects, list[int]]:
        """(pieces, owners): the connected pieces of the objects, and for each piece the position of its object in
        `class_ids`.

        min_area: the least number of pixels of a piece. Pixels of a piece meet at edges, not only at corners, because
        readers of polygons that round corners would add pixels there.
        """
        cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
        pieces, owners = _connected(self.numbers, cross)
        found, kept = _ordered(pieces, np.array([0, *self.class_ids], np.uint8)[owners], min_area)
        return found, (owners[kept] - 1).tolist()


def find_objects(labels: np.ndarray, min_area: int = 1, instances: Instances | None = None) -> Objects:
    """The connected pieces of each class in labels (H, W) uint8; 0 and 255 are not classes. Pixels that meet at a
    corner are connected.

    min_area: the least number of pixels of an object. instances: known objects, which are taken instead of pieces, each
    where the labels have its class.
    """
    if instances is None:
        numbers, classes = _connected(np.where(labels == IGNORE, np.uint8(0), labels), np.ones((3, 3)))
    else:
        numbers = np.where(instances.label_map() == labels, instances.numbers, 0)
        classes = np.array([0, *instances.class_ids])
    return _ordered(numbers, classes, min_area)[0]


def whole_classes(labels: np.ndarray) -> Objects:
    """Each id above 0 in labels (H, W) uint8 as one object. 255 is among them."""
    ids = np.flatnonzero(np.bincount(labels.ravel(), minlength=IGNORE + 1)[1:]) + 1
    table = np.zeros(IGNORE + 1, np.int32)
    table[ids] = np.arange(1, len(ids) + 1)
    return Objects(table[labels], ids.tolist())


def scored_pieces(labels: np.ndarray, class_ids: Sequence[int], soft: Iterable[np.ndarray]) -> Instances:
    """The connected pieces of each class as objects with scores, the highest score first. Pieces below SMALLEST_SHARE
    of the picture are left out.

    labels: (H, W) uint8. class_ids, soft: the classes, and the soft mask (H, W) of each. A piece's score is the mean of
    its class's soft mask in the piece.
    """
    found = find_objects(labels, math.ceil(SMALLEST_SHARE * labels.size))
    scores = [0.0] * len(found.class_ids)
    for class_id, values in zip(class_ids, soft, strict=True):
        for piece in np.flatnonzero(np.equal(found.class_ids, class_id)).tolist():
            scores[piece] = float(values[found.numbers == piece + 1].mean())
    order = sorted(range(len(scores)), key=lambda piece: -scores[piece])
    numbers = np.zeros(len(scores) + 1, np.int32)
    numbers[np.array(order, np.intp) + 1] = range(1, len(order) + 1)
    return Instances(numbers[found.numbers], tuple(found.class_ids[i] for i in order), tuple(scores[i] for i in order))


def objects_after(
    instances: Instances, before: np.ndarray, after: np.ndarray, where: Path | str = "a label map"
) -> Instances:
    """The objects of label map `before` after it became the label map `after`, both (H, W) uint8. where: the name of
    `after` in errors. Raises UserError if the two and the objects have different sizes.

    - An object that changed to another class as a whole keeps its pixels. Otherwise pixels that leave their class leave
      their object.
    - Connected pixels that are new in a class join the object of the class that they touch along the longest border,
      corners included. If they touch no object of the class, they become an object with score 1.
    - Objects without pixels are removed, and the others keep their order.
    """
    size = instances.numbers.shape
    if not size == before.shape == after.shape:
        problem = f"is {after.shape}, was {before.shape}, and its objects are {size}; all are (height, width)"
        raise UserError(where, problem)
    class_ids = _classes_after(instances, before, after)
    numbers = np.where(class_ids[instances.numbers] == after, instances.numbers, 0)
    pieces = find_objects(np.where((before != after) & (numbers == 0), after, np.uint8(0)))
    touched = _longest_border(pieces.numbers, numbers, after)
    count, new = len(instances.class_ids), list[int]()
    owners = np.zeros(len(pieces.class_ids) + 1, np.int32)
    for piece, class_id in enumerate(pieces.class_ids, 1):
        if piece in touched:
            owners[piece] = touched[piece]
        elif count + len(new) < MOST_OBJECTS:  # more pieces than a file can number are noise
            new.append(class_id)
            owners[piece] = count + len(new)
    scores = instances.scores and (*instances.scores, *[1.0] * len(new))
    joined = np.where(pieces.numbers > 0, owners[pieces.numbers], numbers)
    return Instances(joined, (*class_ids[1:].tolist(), *new), scores).visible(ignored=True)


def compare_division(expected: Objects, returned: Objects, in_pieces: bool) -> Division:
    """How a tool divided a label map into objects: like the expected ones ("same"), so that one of its masks holds most
    of several expected objects ("joined"), or in another way ("divided").

    expected: the objects without the tool. returned: the tool's objects. in_pieces: the format writes each connected
    piece of an object as an object, which is then no difference. Pixels that have an object on one side only do not
    count.
    """
    both = (expected.numbers > 0) & (returned.numbers > 0)
    units = expected.numbers
    if in_pieces:
        units = expected.pieces()[0].numbers
    if _one_to_one(_pairs(units[both], returned.numbers[both])):
        return "same"
    holders = _most_frequent(_pairs(expected.numbers[both], returned.numbers[both]))
    return "joined" if len({*holders.values()}) < len(holders) else "divided"


def kept_apart(own: Objects, returned: Objects) -> bool:
    """Whether a tool returned two objects of one class with exactly their pixels. This proves that its masks are
    objects: an export may also write one mask for each class."""
    pairs, counts = np.unique(_pairs(own.numbers.ravel(), returned.numbers.ravel()), return_counts=True)
    areas, returned_areas = np.array([0, *own.areas]), np.array([0, *returned.areas])
    exact = (areas[pairs >> 32] == counts) & (returned_areas[pairs & LOW] == counts)
    class_ids = np.array([0, *own.class_ids])[pairs[exact] >> 32]
    return bool(np.bincount(class_ids, minlength=1).max() > 1)


def take_division(expected: Instances, returned: Instances, labels: np.ndarray) -> Instances:
    """The objects that a tool returned, in label map `labels` (H, W) uint8. expected: the objects without the tool.

    A mask of pixels without an expected object is no object: tools also return the rest of a label map as masks. An
    object gets the score of the expected object that it holds most of; 1 if it holds none.
    """
    numbers = np.where(returned.label_map() == labels, returned.numbers, 0)
    known = expected.numbers > 0
    numbers = np.where(np.isin(numbers, numbers[known]), numbers, 0)
    origins = _most_frequent(_pairs(numbers[known], expected.numbers[known]))
    scores = expected.scores and tuple(
        expected.scores[origins[number] - 1] if number in origins else 1.0
        for number in range(1, len(returned.class_ids) + 1)
    )
    return Instances(numbers, returned.class_ids, scores).visible(ignored=True)


def _one_to_one(pairs: np.ndarray) -> bool:
    """Whether each first number has one second number, and the reverse. pairs: (N,), as `_pairs` returns them."""
    pairs = np.unique(pairs)
    return len(pairs) == len(np.unique(pairs >> 32)) == len(np.unique(pairs & LOW))


def _classes_after(instances: Instances, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(N + 1,) uint8: a 0, then the classes of objects 1 … N after label map `before` became `after`. An object's
    class is another one only if all its pixels have that class now."""
    class_ids = np.array([0, *instances.class_ids], np.uint8)
    low, high = np.full(len(class_ids), IGNORE), np.zeros(len(class_ids), int)
    shown = (instances.numbers > 0) & (class_ids[instances.numbers] == before)
    np.minimum.at(low, instances.numbers[shown], after[shown])
    np.maximum.at(high, instances.numbers[shown], after[shown])
    return np.where((low == high) & (high > 0) & (high < IGNORE), high, class_ids).astype(np.uint8)


def _longest_border(pieces: np.ndarray, objects: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    """Number of a piece → number of the object of its class that it touches most. pieces, objects: (H, W), the
    number of the piece or object at each pixel, or 0. labels: (H, W), the class at each pixel."""
    pieces, objects, classes = np.pad(pieces, 1), np.pad(objects, 1), np.pad(labels, 1)
    pairs = []
    for shift in filter(any, product((-1, 0, 1), repeat=2)):  # down and right
        there = np.roll(objects, shift, (0, 1))
        touch = (pieces > 0) & (there > 0) & (classes == np.roll(classes, shift, (0, 1)))
        pairs.append(_pairs(pieces[touch], there[touch]))
    return _most_frequent(np.concatenate(pairs))


def _pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N,) int64: one number for each pair of numbers below 2^31. first, second: (N,) of integers."""
    return first.astype(np.int64) << 32 | second


def _most_frequent(pairs: np.ndarray) -> dict[int, int]:
    """First number of a pair → the second number that it is most often paired with; of equally frequent numbers the
    lowest. pairs: (N,), as `_pairs` returns them."""
    found, counts = np.unique(pairs, return_counts=True)
    order = np.lexsort((-found, counts))  # the last entry of each first number counts
    return dict(zip((found[order] >> 32).tolist(), (found[order] & LOW).tolist(), strict=True))


def _connected(numbers: np.ndarray, neighbours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(pieces, owners). `pieces`: (H, W) int32, the connected areas of equal numbers above 0, counted from 1.
    `owners[p]`: the number that piece p has in `numbers`. neighbours: (3, 3), which pixels around a pixel are
    connected with it."""
    from scipy import ndimage  # late: it takes a quarter of a second, which errors need not wait for

    pieces, owners = np.zeros(numbers.shape, np.int32), [0]
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        if box is not None:
            found, count = cast(Any, ndimage.label(numbers[box] == number, neighbours))
            pieces[box] += np.where(found > 0, found + np.int32(len(owners) - 1), np.int32(0))
            owners += [number] * count
    return pieces, np.array(owners)


def _ordered(numbers: np.ndarray, classes: np.ndarray, min_area: int) -> tuple[Objects, np.ndarray]:
    """(objects, kept): the objects with at least `min_area` pixels, and the number that each of them has in
    `numbers` (H, W). classes: the class of each number; numbers of class 0 or 255 are not objects."""
    flat = numbers.ravel(order="F")
    areas, first = np.bincount(flat, minlength=len(classes)), np.zeros(len(classes), np.int64)
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))  # where another number begins, column by column
    first[flat[starts[::-1]]] = starts[::-1]  # backwards, so that a number's first pixel stays
    objects = (areas > 0) & (classes > 0) & (classes < IGNORE)
    kept = np.flatnonzero(objects & (areas >= min_area))
    kept = kept[np.lexsort((first[kept], classes[kept]))]
    table = np.zeros(len(classes), np.int32)
    table[kept] = np.arange(1, len(kept) + 1)
    return Objects(table[numbers], classes[kept].tolist(), int(objects.sum()) - len(kept)), kept
