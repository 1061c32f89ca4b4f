"""Objects after a correction of their label map, from the original objects and the two label maps alone."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ..encoding import MOST_OBJECTS, Instances
from .objects import find_objects


def follow(instances: Instances, before: np.ndarray, after: np.ndarray, where: Path | str = "a label map") -> Instances:
    """The objects of label map `before` in label map `after`, both (H, W) uint8. where: the label map's name in errors.
    Raises UserError if its size is not that of the objects.

    An object that has changed to another class as a whole keeps its pixels. Otherwise pixels that leave their class
    leave their object. Connected pixels that are new in a class join the object of this class that they touch along the
    longest border, corners included; if they touch none, they become an object with score 1. Objects without pixels are
    removed, and the others keep their order.
    """
    size = instances.numbers.shape
    if not size == before.shape == after.shape:
        problem = f"is {after.shape}, was {before.shape}, and its objects are {size}; all are (height, width)"
        raise UserError(where, problem)
    class_ids = np.array([0, *instances.class_ids], np.uint8)
    low, high = np.full(len(class_ids), IGNORE), np.zeros(len(class_ids), int)
    its = (instances.numbers > 0) & (class_ids[instances.numbers] == before)
    np.minimum.at(low, instances.numbers[its], after[its])
    np.maximum.at(high, instances.numbers[its], after[its])
    class_ids = np.where((low == high) & (high > 0) & (high < IGNORE), high, class_ids).astype(np.uint8)
    numbers = np.where(class_ids[instances.numbers] == after, instances.numbers, 0)
    pieces = find_objects(np.where((before != after) & (numbers == 0), after, np.uint8(0)))
    joins = _longest_border(pieces.index, numbers, after)
    # Pieces above the number that a file can hold are noise, and in no object.
    count = len(instances.class_ids)
    alone = [piece for piece in range(len(pieces.class_ids)) if piece not in joins][: MOST_OBJECTS - count]
    table = np.zeros(len(pieces.class_ids) + 1, np.int32)  # the last entry is for pixels without a piece, −1
    table[list(joins)] = list(joins.values())
    table[alone] = np.arange(count + 1, count + 1 + len(alone))
    scores = (*instances.scores, *([1.0] * len(alone))) if instances.scores else ()
    ids = (*class_ids[1:].tolist(), *(pieces.class_ids[piece] for piece in alone))
    return Instances(np.where(pieces.index >= 0, table[pieces.index], numbers), ids, scores).seen(ignored=True)


def _longest_border(index: np.ndarray, numbers: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    """Piece → the object of its class that it touches most. index: pieces, −1 for none; numbers: objects."""
    pieces, objects, classes = np.pad(index, 1, constant_values=-1), np.pad(numbers, 1), np.pad(labels, 1)
    pairs = []
    for shift in filter(any, product((-1, 0, 1), repeat=2)):  # down and right
        there = np.roll(objects, shift, (0, 1))
        touch = (pieces >= 0) & (there > 0) & (classes == np.roll(classes, shift, (0, 1)))
        pairs.append(pieces[touch].astype(np.int64) << 16 | there[touch])
    found, counts = np.unique(np.concatenate(pairs), return_counts=True)
    order = np.lexsort((-found, counts))  # the last entry for each piece counts
    return dict(zip((found[order] >> 16).tolist(), (found[order] & MOST_OBJECTS).tolist(), strict=True))
