"""What becomes of a picture's objects when its label map changes: when a person repaints it, or when another tool
returns it divided into other objects. `clean_labels` changes label maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ..encoding import MOST_OBJECTS
from .objects import CROSS, Objects, connected, find_objects


class Pairs(NamedTuple):
    """The pairs of numbers at the same pixels of two maps, each pair once."""

    first: np.ndarray
    """(N,): the number in the first map."""
    second: np.ndarray
    """(N,): the number in the second map."""
    counts: np.ndarray
    """(N,): at how many pixels the pair is."""

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray) -> Pairs:
        """The pairs in two maps. first, second: integers below 2^31, in arrays of one shape."""
        # Sorting single numbers is much faster than sorting rows of two.
        pairs, counts = np.unique(first.astype(np.int64) << 32 | second, return_counts=True)
        return cls(pairs >> 32, pairs & 0xFFFFFFFF, counts)

    def most_frequent(self) -> dict[int, int]:
        """First number → the second number at most of its pixels; the lowest of equally frequent numbers."""
        order = np.lexsort((-self.second, self.counts))  # the last entry of each first number stays
        return dict(zip(self.first[order].tolist(), self.second[order].tolist(), strict=True))


def objects_after(
    instances: Objects, before: np.ndarray, after: np.ndarray, where: Path | str = "a label map"
) -> Objects:
    """The objects of a picture after its label map `before` became `after`, both (H, W) uint8.

    - If all pixels of an object got one other class, the object has that class now. Otherwise it loses the pixels that
      have another class now.
    - Connected pixels that are new in a class join an object of the class: the one with which they have the longest
      border, corners included. If they touch no object of the class, they become an object with score 1.
    - Objects without pixels are removed, and the others keep their order.

    where: the name of `after` in errors. Raises UserError if the label maps and the objects have different sizes.
    """
    size = instances.numbers.shape
    if not size == before.shape == after.shape:
        problem = f"is {after.shape}, was {before.shape}, and its objects are {size}; all are (height, width)"
        raise UserError(where, problem)
    # Objects that changed class as a whole, and pixels that objects lose
    class_ids = _classes_after(instances, before, after)
    numbers = np.where(class_ids[instances.numbers] == after, instances.numbers, 0)
    # New pixels, in connected pieces: each joins an object, or is one
    pieces = find_objects(np.where((before != after) & (numbers == 0), after, np.uint8(0)))
    touched = _longest_border(pieces.numbers, numbers, after)
    count = len(instances.class_ids)
    new = list[int]()
    owners = np.zeros(len(pieces.class_ids) + 1, np.int32)  # number of the piece → number of its object
    for piece, class_id in enumerate(pieces.class_ids, 1):
        if piece in touched:
            owners[piece] = touched[piece]
        elif count + len(new) < MOST_OBJECTS:  # more pieces than a file can number are noise
            new.append(class_id)
            owners[piece] = count + len(new)
    scores = instances.scores and (*instances.scores, *[1.0] * len(new))
    numbers = np.where(pieces.numbers > 0, owners[pieces.numbers], numbers)
    return Objects(numbers, (*class_ids[1:].tolist(), *new), scores).visible(ignored=True)


def clean_labels(labels: np.ndarray, least: int) -> np.ndarray:
    """The label map (H, W) uint8 after connected pieces of fewer than `least` pixels, background included, have got the
    label that most of their border has, the lowest of equals. Ignored pixels (255) stay. It begins at the upper
    left. A piece may join another one, and together they may be large enough."""
    pieces = connected(labels.astype(np.int32) + 1, CROSS)[0]
    small = np.bincount(pieces.ravel())[pieces] < least
    # Plain bytes, because single numbers of an array are slow. Large pieces are settled: they only grow.
    after, settled = bytearray(labels.tobytes()), bytearray((~small).tobytes())
    for start in np.flatnonzero(small).tolist():
        if settled[start]:
            continue
        piece, border = _piece_at(start, after, labels.shape[1], settled)
        if len(piece) >= least or after[start] == IGNORE or not border:
            continue
        counts = Counter(after[at] for at in border)
        label = min(counts, key=lambda label: (-counts[label], label))
        joins_settled = any(after[at] == label and settled[at] for at in border)  # otherwise both are one piece later
        for at in piece:
            after[at], settled[at] = label, False
        if joins_settled:  # with all that it connects, it is large enough
            _piece_at(start, after, labels.shape[1], settled)
    return np.frombuffer(bytes(after), np.uint8).reshape(labels.shape)


def _piece_at(start: int, labels: bytearray, width: int, seen: bytearray) -> tuple[list[int], list[int]]:
    """(piece, border): the connected pixels of the label at `start`, which become seen, and the pixels around them,
    each as often as it touches one. labels: (H · W). seen: (H · W), which pixels are not visited again."""
    piece, border = [start], list[int]()
    seen[start] = True
    for at in piece:  # grows meanwhile
        for beside in _beside(at, width, len(labels)):
            if labels[beside] != labels[start]:
                border.append(beside)
            elif not seen[beside]:
                seen[beside] = True
                piece.append(beside)
    return piece, border


def _beside(at: int, width: int, count: int) -> Iterator[int]:
    """The pixels that share an edge with pixel `at`. width: of the picture. count: the number of its pixels."""
    if at % width:
        yield at - 1
    if (at + 1) % width:
        yield at + 1
    if at >= width:
        yield at - width
    if at + width < count:
        yield at + width


def _classes_after(instances: Objects, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(N + 1,) uint8: a 0, then the classes of the N objects after label map `before` became `after`. An object changes
    its class only if all its pixels have the new class."""
    class_ids = np.array([0, *instances.class_ids], np.uint8)
    shown = (instances.numbers > 0) & (class_ids[instances.numbers] == before)
    owners, classes, _ = Pairs.of(instances.numbers[shown], after[shown])
    has_one_class = np.bincount(owners)[owners] == 1
    changed = has_one_class & (classes > 0) & (classes < IGNORE)
    class_ids[owners[changed]] = classes[changed]
    return class_ids


def _longest_border(pieces: np.ndarray, objects: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    """Number of a piece → number of the object of its class that it touches at most places.

    pieces, objects: (H, W), the number of the piece or object at each pixel, or 0. labels: (H, W), the classes.
    """
    pieces = np.pad(pieces, 1)
    objects = np.pad(objects, 1)
    labels = np.pad(labels, 1)
    touching: list[np.ndarray] = []
    for shift in filter(any, product((-1, 0, 1), repeat=2)):  # the eight neighbours
        neighbours = np.roll(objects, shift, (0, 1))
        touch = (pieces > 0) & (neighbours > 0) & (labels == np.roll(labels, shift, (0, 1)))
        touching.append(np.stack((pieces[touch], neighbours[touch])))
    return Pairs.of(*np.concatenate(touching, 1)).most_frequent()


def objects_from_tool(expected: Objects, returned: Objects, labels: np.ndarray) -> tuple[Objects, bool]:
    """(objects, divided): the objects in label map `labels` (H, W) uint8 after a tool edited them, and whether the tool
    divided the pixels in another way. Pixels that have an object on one side only do not count.

    expected: the objects without the tool. returned: the tool's masks. If it divided the pixels, its masks are the
    objects. A mask without a pixel of an expected object is no object: tools also return the rest of a label map as
    masks. An object has the score of the expected object that it holds most of.
    """
    shown = find_objects(labels, 1, expected)
    found = find_objects(labels, 1, returned)
    both = (shown.numbers > 0) & (found.numbers > 0)
    pairs = Pairs.of(shown.numbers[both], found.numbers[both])
    if len(pairs.counts) == len(np.unique(pairs.first)) == len(np.unique(pairs.second)):  # each has one partner
        return expected, False
    numbers = np.where(returned.label_map() == labels, returned.numbers, 0)
    known = expected.numbers > 0
    numbers = np.where(np.isin(numbers, numbers[known]), numbers, 0)
    return objects_of(numbers, labels, expected), True


def objects_of(numbers: np.ndarray, labels: np.ndarray, before: Objects | None) -> Objects:
    """The objects with these numbers (H, W) in a label map (H, W) uint8, which has one class in each. An object has the
    score of the object before that it holds most of, or 1 if it holds none; no scores if there were none before."""
    class_ids = np.zeros(int(numbers.max(initial=0)) + 1, np.uint8)
    class_ids[numbers] = labels
    scores = list[float]()
    if before and before.scores:
        known = (numbers > 0) & (before.numbers > 0)
        origins = Pairs.of(numbers[known], before.numbers[known]).most_frequent()
        scores = [before.scores[origins[one] - 1] if one in origins else 1.0 for one in range(1, len(class_ids))]
    return Objects(numbers, class_ids[1:].tolist(), scores).visible(ignored=True)
