"""A label map, or masks, as runs: pixels of one column that follow each other and have one id. There are far fewer of them than pixels.

Positions count pixels down the first column, then down the second, and so on, as COCO does: pixel (row, column) is column · H + row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Runs:
    """The runs of a label map, in the order of their positions; they fill it.

    shape: (H, W). starts, ends: (N,) int32, or int64 where there are 2³¹ pixels, the position of the first pixel and the one after the
    last. ids: (N,), of the label map's type.
    """

    shape: tuple[int, int]
    starts: np.ndarray
    ends: np.ndarray
    ids: np.ndarray


@dataclass(frozen=True)
class Masks:
    """Masks of one size as runs.

    shape: (H, W). starts, ends: (N,) as of Runs, those of the first mask, in their order, then those of the second. first: (M,)
    int64, where each mask's begin; none is empty.
    """

    shape: tuple[int, int]
    starts: np.ndarray
    ends: np.ndarray
    first: np.ndarray

    @cached_property
    def areas(self) -> np.ndarray:
        """(M,) int64 pixels."""
        return np.add.reduceat(self.ends - self.starts, self.first) if len(self.first) else self.first

    @cached_property
    def boxes_xyxy(self) -> np.ndarray:
        """(M, 4): left, top, right, bottom in pixels; the last two exclusive."""
        if not len(self.first):
            return np.zeros((0, 4), np.int64)
        height = self.shape[0]
        tops = self.starts - self.starts // height * height
        return np.column_stack(
            [
                self.starts[self.first] // height,
                np.minimum.reduceat(tops, self.first),
                self.starts[np.append(self.first[1:], len(tops)) - 1] // height + 1,
                np.maximum.reduceat(tops + (self.ends - self.starts), self.first),
            ]
        )

    def index_map(self) -> np.ndarray:
        """(H, W) int32: the mask of each pixel, −1 where there is none. Masks must not overlap."""
        height, width = self.shape
        numbers = np.repeat(np.arange(len(self.first), dtype=np.int32), np.diff(self.first, append=len(self.starts)))
        order = np.argsort(self.starts)
        edges = np.column_stack([self.starts[order], self.ends[order]]).ravel()  # before, inside, between, inside, …, after
        values = np.full(len(edges) + 1, -1, np.int32)
        values[1::2] = numbers[order]
        return np.repeat(values, np.diff(edges, prepend=0, append=height * width)).reshape(width, height).T

    def chosen(self, kept: np.ndarray) -> Masks:
        """Those masks of which `kept` (M,) bool says so."""
        counts = np.diff(self.first, append=len(self.starts))
        runs, counts = np.repeat(kept, counts), counts[kept]
        return Masks(self.shape, self.starts[runs], self.ends[runs], np.cumsum(counts) - counts)


def column_runs(label_map: np.ndarray) -> Runs:
    """The runs of label_map (H, W) of integers."""
    height, width = label_map.shape
    begins = np.ones((height, width), bool)
    np.not_equal(label_map[1:], label_map[:-1], out=begins[1:])
    pixels = np.flatnonzero(begins)  # row by row
    pixels = pixels.astype(np.int32 if begins.size < 1 << 31 else np.int64, copy=False)  # half the bytes, nearly half the time
    # Sorting these few costs less than to turn the label map. numpy sorts numbers of 8 and 16 bits in linear time.
    rows = pixels // width
    columns = pixels - rows * width  # % would take three times as long
    order = np.argsort(columns.astype(np.min_scalar_type(width)), kind="stable")
    pixels, starts = pixels[order], (columns * height + rows)[order]
    return Runs((height, width), starts, np.append(starts[1:], pixels.dtype.type(begins.size)), label_map.ravel().take(pixels))


def masks_by(runs: Runs, numbers: np.ndarray, count: int) -> Masks:
    """The runs of each number from 0 to `count` - 1 in numbers (N,) as a mask; none of these must be missing. Runs of another number, which
    must be `count`, are in none."""
    order = np.argsort(numbers.astype(np.min_scalar_type(count)), kind="stable")
    sizes = np.bincount(numbers, minlength=count)[:count]
    order = order[: sizes.sum()]
    return Masks(runs.shape, runs.starts[order], runs.ends[order], np.cumsum(sizes) - sizes)


def masks_of_ids(runs: Runs) -> tuple[np.ndarray, Masks]:
    """The ids (M,) in a label map in rising order, and the mask of each."""
    order = np.argsort(runs.ids, kind="stable")
    ids = runs.ids[order]
    first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    return ids[first], Masks(runs.shape, runs.starts[order], runs.ends[order], first)


def connected(runs: Runs) -> np.ndarray:
    """(N,) int64: the number of the first run of the connected piece that each run is of. Pixels that meet at a corner belong together.

    Runs of neighbouring columns touch where one of them begins: beside its first pixel, or beside the one above it. Those two are of one
    run where both have its id, so that each run has one link to the left, one to the right at most, and these are all there are.
    """
    height, size = runs.shape[0], runs.ends[-1]
    numbers = np.arange(len(runs.starts))
    of_pixel = np.repeat(numbers.astype(np.min_scalar_type(len(numbers))), runs.ends - runs.starts)
    above = runs.starts - (runs.starts > runs.starts // height * height)  # the pixel above the first, at the upper edge the first itself

    def link(which: slice, step: int) -> np.ndarray:
        """The run that each of these touches one column further, or itself."""
        touched = numbers[which]
        for pixels in (above, runs.starts):
            run = of_pixel.take(pixels[which] + step).astype(np.intp)
            touched = touched + (run - touched) * (runs.ids[run] == runs.ids[which])  # np.where takes four times as long, guessing wrong
        return touched

    second, last = np.searchsorted(runs.starts, [height, size - height])
    # Links to the left make trees, whose roots are numbered from here on: there are fewer of them.
    root = _to_roots(np.append(numbers[:second], link(slice(second, None), -height)))
    roots = np.flatnonzero(root == numbers)
    tree = np.empty_like(root)
    tree[roots] = np.arange(len(roots))
    tree = tree[root]
    # Links to the right join them.
    left, right, joined = tree[:last], tree[link(slice(last), height)], np.arange(len(roots))
    while len(apart := np.flatnonzero(left != right)):
        left, right = left[apart], right[apart]
        np.minimum.at(joined, np.maximum(left, right), np.minimum(left, right))
        joined = _to_roots(joined)
        left, right = joined[left], joined[right]
    return roots[joined][tree]


def _to_roots(parent: np.ndarray) -> np.ndarray:
    """Where one gets from each number by way of its parent, which is not above it, until one is its own."""
    while not np.array_equal(further := parent.take(parent), parent):
        parent = further
    return parent
