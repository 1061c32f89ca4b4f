"""Objects in a label map: connected pieces of one class, or several that a person joined, as formats want them that know instances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...files.label_maps import IGNORE
from .runs import Masks, Runs, column_runs, connected, masks_by


@dataclass(frozen=True)
class Objects:
    """The objects of one label map, by class, then by their first pixel column by column.

    masks, class_ids: of each object. small: how many pieces were left out.
    """

    masks: Masks
    class_ids: Sequence[int]
    small: int

    @cached_property
    def areas(self) -> list[int]:
        """Of each object, in pixels."""
        return self.masks.areas.tolist()

    @cached_property
    def boxes_xyxy(self) -> list[tuple[int, int, int, int]]:
        """Left, top, right, bottom of each object, in pixels; the last two exclusive."""
        return [(left, top, right, bottom) for left, top, right, bottom in self.masks.boxes_xyxy.tolist()]

    @cached_property
    def index(self) -> np.ndarray:
        """(H, W) int32, the object of each pixel, −1 where there is none."""
        return self.masks.index_map()


def find_objects(labels: np.ndarray, min_area: int = 1, joined: Sequence[Sequence[tuple[int, int]]] = ()) -> Objects:
    """The connected pieces of at least `min_area` pixels of each class in labels (H, W) uint8; 0 and 255 are no class.

    Pixels that meet at a corner belong together. joined: pieces that are one object (joining.py), each by the (column, row) of a pixel.
    """
    runs = column_runs(labels)
    piece = connected(runs)
    if joined:
        piece = _joined(runs, piece, joined)
    first = np.flatnonzero(piece == np.arange(len(piece)))  # the run that a piece begins with, and is called by
    first = first[(runs.ids[first] > 0) & (runs.ids[first] < IGNORE)]
    first = first[np.argsort(runs.ids[first], kind="stable")]
    number = np.full(len(piece), len(first))
    number[first] = np.arange(len(first))
    masks, class_ids = masks_by(runs, number[piece], len(first)), runs.ids[first]
    if min_area > 1:
        large = masks.areas >= min_area
        masks, class_ids = masks.chosen(large), class_ids[large]
    return Objects(masks, class_ids.tolist(), len(first) - len(class_ids))


def _joined(runs: Runs, piece: np.ndarray, joined: Sequence[Sequence[tuple[int, int]]]) -> np.ndarray:
    """(N,) the piece of each run, where those of one class that the pixels of one of `joined` lie in are called by the first of them."""
    pixels = [column * runs.shape[0] + row for one in joined for column, row in one]
    at = np.searchsorted(runs.starts, pixels, side="right") - 1
    numbers = np.repeat(np.arange(len(joined)), [len(one) for one in joined])
    groups = defaultdict(set)
    for number, class_id, its in zip(numbers.tolist(), runs.ids[at].tolist(), piece[at].tolist(), strict=True):
        groups[number, class_id].add(its)
    first = united(groups.values())
    names = np.arange(len(piece))
    names[list(first)] = list(first.values())
    return names[piece]


def united(groups: Iterable[Iterable[int]]) -> dict[int, int]:
    """Each number of any group → the least one that it is together with, groups that share a number being one. In linear time, nearly."""
    parent: dict[int, int] = {}

    def root(number: int) -> int:
        while (above := parent[number]) != number:
            parent[number] = number = parent[above]
        return number

    for group in groups:
        least = None
        for number in group:
            parent.setdefault(number, number)
            low, high = sorted((root(number), number if least is None else root(least)))
            parent[high] = least = low
    return {number: root(number) for number in parent}
