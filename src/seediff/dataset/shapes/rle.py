"""A label map, or masks, as runs and as run lengths: COCO's, and CVAT's within a box.

A run is pixels of one column that follow each other and have one id; there are far fewer of them than pixels. Positions count pixels down
the first column, then down the second, and so on, as COCO does: pixel (row, column) is column · H + row.

COCO's compressed run-length masks are made of all segments of a label map in one pass over its runs; the bytes are those of pycocotools.
COCO counts how many pixels a mask stays outside, inside, outside … A count is written as its difference to the one two before it (from the
fourth on), in groups of five bits from the lowest, each with a sixth bit that says whether another follows, as characters from "0" on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from ...errors import UserError
from ...files.messages import shown


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


def label_map_rles(label_map: np.ndarray) -> dict[int, dict[str, Any]]:
    """Segment id → its mask as {"size": [H, W], "counts": text}, for every id of at least 0 in label_map (H, W) of integers, in rising
    order."""
    ids, masks = masks_of_ids(column_runs(label_map))
    return {name: rle for name, rle in zip(ids.tolist(), rles(masks), strict=True) if name >= 0}


def rles(masks: Masks) -> list[dict[str, Any]]:
    """Each mask as {"size": [H, W], "counts": text}."""
    height, width = masks.shape
    return [{"size": [height, width], "counts": counts} for counts in compress(masks)]


def compress(masks: Masks) -> list[str]:
    """Each mask's run lengths, the first of them outside (0 when the first pixel is inside), as COCO's text."""
    starts, ends, first = masks.starts, masks.ends, masks.first
    if not len(first):
        return []
    outside = starts.copy()
    outside[1:] -= ends[:-1]
    outside[first] = starts[first]
    apart = outside > 0  # else a run goes on at the top of the next column
    apart[first] = True
    if not apart.all():
        kept = np.flatnonzero(apart)
        starts, outside = starts[kept], outside[kept]
        ends = ends[np.append(kept[1:], len(ends)) - 1]
        first = np.searchsorted(kept, first)
    inside = ends - starts
    last = np.append(first[1:], len(ends)) - 1
    after = masks.shape[0] * masks.shape[1] - ends[last]  # after its last run a mask ends outside, unless it reaches the last pixel

    second = first[first < last] + 1
    shown = [outside.copy(), inside.copy(), after - outside[last] * (first < last)]
    for values, lengths in ((shown[0], outside), (shown[1], inside)):
        values[1:] -= lengths[:-1]
        values[first] = lengths[first]
    shown[0][second] = outside[second]  # the first three of each mask are written as they are

    count = 4 if masks.shape[0] * masks.shape[1] < 1 << 19 else 8
    words = np.split(_characters(np.concatenate(shown), count), [len(outside), 2 * len(outside)])
    words[2][after == 0] = 0
    closing = np.column_stack([words[2], np.full(len(first), ord("\n"), words[2].dtype)]).ravel()
    words = np.insert(np.column_stack(words[:2]).ravel(), np.repeat(2 * last + 2, 2), closing)
    return words.tobytes().translate(None, b"\0").decode("ascii").split("\n")[:-1]


SHORT = 1 << 14
"""Values from -SHORT to SHORT - 1, of at most three characters, are looked up; nearly all are."""


def _characters(values: np.ndarray, count: int) -> np.ndarray:
    """values (N,) as `count` characters each, 4 (for values below 2¹⁹) or 8 (2³⁹), in one number; zeros after the last."""
    packed = _short(count).take(values & (2 * SHORT - 1))
    if len(long := np.flatnonzero((values < -SHORT) | (values >= SHORT))):
        packed[long] = _pack(values[long], count)
    return packed


@cache
def _short(count: int) -> np.ndarray:
    """`_pack` of every short value, at its lowest 15 bits."""
    return _pack(np.roll(np.arange(-SHORT, SHORT), SHORT), count)


def _pack(values: np.ndarray, count: int) -> np.ndarray:
    """`_characters`, by computing them."""
    values = values.astype(np.int64)
    magnitude = np.where(values < 0, ~values, values)[:, None]  # the sign must be readable: each character more carries five bits further
    bits = 5 * np.arange(count)
    least = np.array([0, *1 << bits[1:] - 1])  # that needs this character
    packed = (values[:, None] >> bits & 31) + 48 + 32 * (magnitude >= 1 << bits + 4)
    return np.where(magnitude >= least, packed, 0).astype(np.uint8).view(f"u{count}")[:, 0]


def decompress(counts: str) -> np.ndarray:
    """The run lengths that `compress` wrote, as (N,) int64. Raises ValueError for a text that is none; whether the lengths are those of a
    mask is for the caller to see. Sums that wrapped around are seen too: lengths far above any picture's come before them."""
    digits = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    if len(digits) and not (digits.min() >= 0 and digits.max() < 64 and digits[-1] < 32):
        raise ValueError("holds other characters than run lengths have, or ends within one")
    ends = np.flatnonzero(digits < 32) + 1
    if not len(ends):
        return np.zeros(0, np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    if (ends - starts).max() > MAX_CHARACTERS:
        raise ValueError("holds a run length of more than 40 bits")
    shift = 5 * (np.arange(ends[-1]) - np.repeat(starts, ends - starts))
    values = np.add.reduceat((digits & 31) << shift, starts)
    values -= np.where(digits[ends - 1] & 16, np.int64(1) << 5 * (ends - starts), 0)
    for k in (1, 2):
        values[k::2] = np.cumsum(values[k::2])
    return values


MAX_CHARACTERS = 8
"""Of one run length: 40 bits, of which it takes millions to wrap around 64."""


def count_runs(size: Sequence[int], counts: Sequence[int] | str, shape: tuple[int, int], where: str) -> np.ndarray:
    """Run lengths (N,) int64 of RLE in a picture of `shape` (H, W): outside, inside, outside …, column by column, which add up to H · W.
    Raises UserError naming the annotation, `where`."""
    if list(size) != list(shape):
        raise UserError(f"{where}: its mask is {shown(size)}, but its image is {list(shape)}; both are [height, width]")
    total = shape[0] * shape[1]
    wrong = UserError(f"{where}: 'counts' are no run lengths of {shape[0]} × {shape[1]} pixels")
    if not isinstance(counts, str):
        if sum(counts) != total or min(counts) < 0:
            raise wrong
        return np.array(counts, np.int64)
    try:
        runs = decompress(counts)
    except ValueError as error:
        raise wrong from error
    # Each run is at most the picture, so that the sum of all cannot wrap.
    if not len(runs) or runs.min() < 0 or runs.max() > total or runs.sum() != total:
        raise wrong
    return runs


def area(runs: np.ndarray) -> int:
    """Pixels inside."""
    return int(runs[1::2].sum())


def paint_runs(labels: np.ndarray, counts: np.ndarray, value: int) -> None:
    """Set the pixels inside of run lengths, of labels (H, W) uint8 that lie column by column in memory (order="F"), to a value."""
    flat = labels.reshape(-1, order="F")
    ends = np.cumsum(counts)
    for begin, end in zip(ends[:-1:2].tolist(), ends[1::2].tolist(), strict=False):
        flat[begin:end] = value


def paint_box(labels: np.ndarray, left: float, top: float, right: float, bottom: float, value: int) -> int:
    """Set the pixels of labels (H, W) uint8 that a box touches to a value; returns how many. Nothing is painted of a box whose corners are
    no numbers."""
    if not all(abs(corner) < 1e9 for corner in (left, top, right, bottom)):  # false for NaN and infinity too
        return 0
    rows = slice(max(0, math.floor(top)), max(0, math.ceil(bottom)))
    inside = labels[rows, max(0, math.floor(left)) : max(0, math.ceil(right))]
    inside[:] = value
    return inside.size


MOST_MASKS, MOST_LAYERS = 20_000, 100
"""Masks of one picture, and how many of them lie over each pixel on average: far more than anybody draws."""


def check_count(masks: int, where: str) -> None:
    """Raise UserError for more masks than a picture has, before any is looked at."""
    if masks > MOST_MASKS:
        raise UserError(f"{where}: has {masks} masks; at most {MOST_MASKS} of one picture are read")


def check_layers(area: int, shape: tuple[int, ...], where: str) -> None:
    """Raise UserError when masks have more pixels together than those of a picture of `shape` (H, W) do, before they are painted."""
    if (layers := area / math.prod(shape)) > MOST_LAYERS:
        raise UserError(f"{where}: its masks cover the picture {layers:.0f} times over; at most {MOST_LAYERS} times are read")


def fill(counts: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The mask (H, W) bool of run lengths, which must add up to H · W."""
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(size[1], size[0]).T


@dataclass(frozen=True)
class Boxed:
    """left, top, width, height: the box, in pixels. counts: run lengths (N,) int64, outside, inside, outside …, which fill the box."""

    left: int
    top: int
    width: int
    height: int
    counts: np.ndarray

    def paint(self, labels: np.ndarray, value: int) -> None:
        """Set the mask's pixels of labels (H, W) uint8, in which the box must lie, to a value."""
        inside = np.repeat(np.arange(len(self.counts)) % 2 == 1, self.counts).reshape(self.height, self.width)
        labels[self.top : self.top + self.height, self.left : self.left + self.width][inside] = value


def boxed(inside: np.ndarray) -> Boxed:
    """The mask (H, W) bool, which must not be empty."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    left, top = int(columns[0]), int(rows[0])
    return boxed_at(inside[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1], left, top)


def boxed_at(inside: np.ndarray, left: int, top: int) -> Boxed:
    """The mask whose box, with this corner, shows `inside` (h, w) bool."""
    height, width = inside.shape
    flat = inside.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(edges, prepend=0, append=flat.size)
    return Boxed(left, top, width, height, np.concatenate([[0], counts]) if flat[0] else counts)
