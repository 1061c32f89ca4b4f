"""Objects in a label map: connected pieces of one class, as formats want them that know instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from .native import IGNORE


@dataclass(frozen=True)
class Objects:
    """The objects of one label map, by class, then by their first pixel column by column.

    index: (H, W) int32, the object of each pixel, −1 where there is none. class_ids, areas (pixels): of each object.
    boxes_xyxy: left, top, right, bottom, in pixels; the last two exclusive. small: how many pieces were left out.
    """

    index: np.ndarray
    class_ids: Sequence[int]
    areas: Sequence[int]
    boxes_xyxy: Sequence[tuple[int, int, int, int]]
    small: int


def find_objects(labels: np.ndarray, min_area: int = 1) -> Objects:
    """The connected pieces of at least `min_area` pixels of each class in labels (H, W) uint8; 0 and 255 are no class.

    Pixels that meet at a corner belong together. Runs of one class within a column are joined rather than pixels: there are far fewer.
    """
    height, width = labels.shape
    flat = labels.T.ravel()  # column by column
    begins = np.empty(flat.size, bool)
    begins[1:] = flat[1:] != flat[:-1]
    begins[::height] = True
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], flat.size)
    ids = flat[starts]
    columns, tops = np.divmod(starts, height)
    piece = _joined(starts, ends, ids, columns, height, width)

    count = int(piece.max()) + 1
    lengths = ends - starts
    areas = np.bincount(piece, lengths, count).astype(np.int64)
    first = np.empty(count, np.int64)
    first[piece[::-1]] = np.arange(len(piece))[::-1]
    class_ids = ids[first]
    real = (class_ids > 0) & (class_ids < IGNORE)
    kept = np.flatnonzero(real & (areas >= min_area))
    kept = kept[np.lexsort([first[kept], class_ids[kept]])]
    number = np.full(count, -1, np.int32)
    number[kept] = np.arange(len(kept))
    numbers = number[piece]

    order = np.argsort(numbers, kind="stable")[np.count_nonzero(numbers < 0) :]
    bounds = np.searchsorted(numbers[order], np.arange(len(kept)))
    sides = [
        reduce(values[order], bounds).tolist() if len(kept) else []
        for reduce, values in (
            (np.minimum.reduceat, columns),
            (np.minimum.reduceat, tops),
            (np.maximum.reduceat, columns + 1),
            (np.maximum.reduceat, tops + lengths),
        )
    ]
    return Objects(
        np.repeat(numbers, lengths).reshape(width, height).T,
        class_ids[kept].tolist(),
        areas[kept].tolist(),
        list(zip(*sides, strict=True)),
        int(real.sum()) - len(kept),
    )


def _joined(starts: np.ndarray, ends: np.ndarray, ids: np.ndarray, columns: np.ndarray, height: int, width: int) -> np.ndarray:
    """(N,) which connected piece each run belongs to. Runs are those of all columns, in order, and fill them."""
    runs = np.flatnonzero((columns < width - 1) & (ids > 0) & (ids < IGNORE))
    column = columns[runs] * height
    # In the next column, from one pixel above to one below: a row of runs beside each other.
    above = np.maximum(starts[runs] - 1, column) + height
    below = np.minimum(ends[runs], column + height - 1) + height
    low, high = np.searchsorted(starts, above, "right") - 1, np.searchsorted(starts, below, "right")
    counts = high - low
    source = np.repeat(runs, counts)
    target = np.arange(len(source)) + np.repeat(low - (np.cumsum(counts) - counts), counts)
    same = ids[source] == ids[target]
    links = sparse.coo_array((np.ones(np.count_nonzero(same), bool), (source[same], target[same])), shape=(len(starts), len(starts)))
    return csgraph.connected_components(links, directed=False)[1]
