"""Objects in a label map: connected pieces of one class, or several that a person joined, as formats want them that know instances."""

from __future__ import annotations

from collections.abc import Sequence
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
    for pixels in joined:
        piece = _joined(runs, piece, pixels)
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


def _joined(runs: Runs, piece: np.ndarray, pixels: Sequence[tuple[int, int]]) -> np.ndarray:
    """(N,) the piece of each run, where those of one class that the pixels lie in are called by the first of them."""
    at = np.searchsorted(runs.starts, [column * runs.shape[0] + row for column, row in pixels], side="right") - 1
    for class_id in np.unique(runs.ids[at]).tolist():
        together = piece[at[runs.ids[at] == class_id]]
        piece = np.where(np.isin(piece, together), together.min(), piece)
    return piece
