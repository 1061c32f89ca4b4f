"""Objects after a correction of their label map, computed from only the original objects and the two label maps, so
that an undo needs no other data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ..encoding import MOST_OBJECTS, InstanceFile, Instances
from .objects import find_objects


@dataclass(frozen=True)
class FollowedFile:
    """The objects of a picture whose label map was corrected. file: the original objects. before, after: functions that
    read the label maps."""

    file: InstanceFile
    before: Callable[[], np.ndarray]
    after: Callable[[], np.ndarray]

    def __call__(self) -> Instances:
        """Raises UserError naming the file, also if its size is not that of a label map."""
        instances, before, after = self.file(), self.before(), self.after()
        if not instances.numbers.shape == before.shape == after.shape:
            problem = f"is {instances.numbers.shape}, but its label map is {after.shape}; both are (height, width)"
            raise UserError(self.file.path, problem)
        return follow(instances, before, after)


def follow(instances: Instances, before: np.ndarray, after: np.ndarray) -> Instances:
    """The objects of label map `before` in label map `after`, both (H, W) uint8.

    An object that has changed to another class as a whole keeps its pixels. Otherwise pixels that leave their class
    leave their object. Connected pixels that are new in a class join the object of this class that they touch along the
    longest border, corners included; if they touch none, they become an object with score 1. Objects without pixels are
    removed, and the others keep their order.
    """
    class_ids = _relabelled(instances, before, after)
    present = Instances(instances.numbers, class_ids, instances.scores)
    numbers = np.where(present.label_map() == after, instances.numbers, 0)
    pieces = find_objects(np.where((before != after) & (numbers == 0), after, np.uint8(0)))
    joins = _longest_border(pieces.index, numbers, after)
    # Pieces above the number that a file can hold are noise, and in no object.
    alone = [piece for piece in range(len(pieces.class_ids)) if piece not in joins][: MOST_OBJECTS - len(class_ids)]
    table = np.zeros(len(pieces.class_ids) + 1, np.int32)  # the last entry is for pixels without a piece, −1
    table[list(joins)] = list(joins.values())
    table[alone] = np.arange(len(class_ids) + 1, len(class_ids) + 1 + len(alone))
    scores = (*instances.scores, *([1.0] * len(alone))) if instances.scores else ()
    ids = (*class_ids, *(pieces.class_ids[piece] for piece in alone))
    return Instances(np.where(pieces.index >= 0, table[pieces.index], numbers), ids, scores).seen(ignored=True)


def _relabelled(instances: Instances, before: np.ndarray, after: np.ndarray) -> tuple[int, ...]:
    """The class of each object: a new class if all its pixels have changed to it, or else the old one."""
    low, high = np.full(len(instances.class_ids) + 1, 255), np.zeros(len(instances.class_ids) + 1, int)
    its = (instances.numbers > 0) & (instances.label_map() == before)
    np.minimum.at(low, instances.numbers[its], after[its])
    np.maximum.at(high, instances.numbers[its], after[its])
    one = (low == high) & (high > 0) & (high < IGNORE)
    return tuple(int(high[i]) if one[i] else class_id for i, class_id in enumerate(instances.class_ids, 1))


def _longest_border(index: np.ndarray, numbers: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    """Piece → the object of its class that it touches most (the first if several are equal). index: the piece at each
    pixel, −1 for none; numbers: the object, 0 for none; labels: their class; all (H, W)."""
    height, width = index.shape
    pairs = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = slice(0, height - down), slice(max(0, -right), width - max(0, right))
        other = slice(down, height), slice(max(0, right), width + min(0, right))
        for here, there in ((one, other), (other, one)):
            touch = (index[here] >= 0) & (numbers[there] > 0) & (labels[here] == labels[there])
            pairs.append(index[here][touch].astype(np.int64) << 16 | numbers[there][touch])
    found, counts = np.unique(np.concatenate(pairs), return_counts=True)
    order = np.lexsort((-found, counts))  # the last entry for each piece counts
    return dict(zip((found[order] >> 16).tolist(), (found[order] & MOST_OBJECTS).tolist(), strict=True))
