"""Run-length encoding of label maps and masks: that of COCO, and that of CVAT within a box.

A run is a sequence of adjacent pixels in a column with the same id; there are far fewer runs than pixels. Positions count pixels down the
first column, then down the second, and so on, as COCO does: pixel (row, column) is column · H + row.

COCO's compressed run-length masks of all segments of a label map are made in one pass over its runs; the bytes are those of pycocotools.
COCO counts the pixels outside, inside, outside … of a mask. From the fourth on, a count is stored as its difference to the count two before
it. It is split into groups of five bits, the lowest first, each with a sixth bit that says whether another group follows, and written as
characters from "0" on.
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
    """The runs of a label map, in the order of their positions; they cover it.

    shape: (H, W). starts, ends: (N,) int32, or int64 for 2³¹ pixels or more, the position of the first pixel and the one after the last.
    ids: (N,), of the label map's type.
    """

    shape: tuple[int, int]
    starts: np.ndarray
    ends: np.ndarray
    ids: np.ndarray


@dataclass(frozen=True)
class Masks:
    """Masks of one size as runs.

    shape: (H, W). starts, ends: (N,) as in Runs: the runs of the first mask in their order, then those of the second, and so on. first:
    (M,) int64, the index of each mask's first run; no mask is empty.
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
        """(H, W) int32: the mask at each pixel, −1 for none. Masks must not overlap."""
        height, width = self.shape
        numbers = np.repeat(np.arange(len(self.first), dtype=np.int32), np.diff(self.first, append=len(self.starts)))
        order = np.argsort(self.starts)
        edges = np.column_stack([self.starts[order], self.ends[order]]).ravel()  # before, inside, between, inside, …, after
        values = np.full(len(edges) + 1, -1, np.int32)
        values[1::2] = numbers[order]
        return np.repeat(values, np.diff(edges, prepend=0, append=height * width)).reshape(width, height).T

    def chosen(self, kept: np.ndarray) -> Masks:
        """The masks for which `kept` (M,) bool is True."""
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
    # Sorting these few pixels costs less than transposing the label map. numpy sorts 8- and 16-bit numbers in linear time.
    rows = pixels // width
    columns = pixels - rows * width  # % would take three times as long
    order = np.argsort(columns.astype(np.min_scalar_type(width)), kind="stable")
    pixels, starts = pixels[order], (columns * height + rows)[order]
    return Runs((height, width), starts, np.append(starts[1:], pixels.dtype.type(begins.size)), label_map.ravel().take(pixels))


def masks_by(runs: Runs, numbers: np.ndarray, count: int) -> Masks:
    """The mask of each number from 0 to `count` − 1: its runs are those with this number in `numbers` (N,). Each must occur. Runs with the
    number `count`, the only other one allowed, are in no mask."""
    order = np.argsort(numbers.astype(np.min_scalar_type(count)), kind="stable")
    sizes = np.bincount(numbers, minlength=count)[:count]
    order = order[: sizes.sum()]
    return Masks(runs.shape, runs.starts[order], runs.ends[order], np.cumsum(sizes) - sizes)


def masks_of_ids(runs: Runs) -> tuple[np.ndarray, Masks]:
    """The ids (M,) in a label map in ascending order, and the mask of each."""
    order = np.argsort(runs.ids, kind="stable")
    ids = runs.ids[order]
    first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    return ids[first], Masks(runs.shape, runs.starts[order], runs.ends[order], first)


def connected(runs: Runs) -> np.ndarray:
    """(N,) int64: for each run, the index of the first run of its connected piece. Pixels that meet at a corner are connected.

    Runs of neighbouring columns touch where one of them begins: beside its first pixel, or beside the pixel above that. If both of these
    neighbours have the id of the run, they are in one run. So each run has at most one link to the left and one to the right, and these are
    all links.
    """
    height, size = runs.shape[0], runs.ends[-1]
    numbers = np.arange(len(runs.starts))
    of_pixel = np.repeat(numbers.astype(np.min_scalar_type(len(numbers))), runs.ends - runs.starts)
    above = runs.starts - (runs.starts > runs.starts // height * height)  # the pixel above the first, at the upper edge the first itself

    def link(which: slice, step: int) -> np.ndarray:
        """For each of these runs, the run of the same id that it touches `step` positions further, or itself."""
        touched = numbers[which]
        for pixels in (above, runs.starts):
            run = of_pixel.take(pixels[which] + step).astype(np.intp)
            # np.where takes four times as long, because of wrong branch predictions.
            touched = touched + (run - touched) * (runs.ids[run] == runs.ids[which])
        return touched

    second, last = np.searchsorted(runs.starts, [height, size - height])
    # Links to the left form trees. From here on only the roots are numbered, because they are fewer.
    root = _to_roots(np.append(numbers[:second], link(slice(second, None), -height)))
    roots = np.flatnonzero(root == numbers)
    tree = np.empty_like(root)
    tree[roots] = np.arange(len(roots))
    tree = tree[root]
    # Links to the right join the trees.
    left, right, joined = tree[:last], tree[link(slice(last), height)], np.arange(len(roots))
    while len(apart := np.flatnonzero(left != right)):
        left, right = left[apart], right[apart]
        np.minimum.at(joined, np.maximum(left, right), np.minimum(left, right))
        joined = _to_roots(joined)
        left, right = joined[left], joined[right]
    return roots[joined][tree]


def _to_roots(parent: np.ndarray) -> np.ndarray:
    """The root of each node. parent (N,): the parent of each node, never larger than the node; a root is its own parent."""
    while not np.array_equal(further := parent.take(parent), parent):
        parent = further
    return parent


def label_map_rles(label_map: np.ndarray) -> dict[int, dict[str, Any]]:
    """Segment id → its mask as {"size": [H, W], "counts": text}, for every id of at least 0 in label_map (H, W) of integers, in ascending
    order."""
    ids, masks = masks_of_ids(column_runs(label_map))
    return {name: rle for name, rle in zip(ids.tolist(), rles(masks), strict=True) if name >= 0}


def rles(masks: Masks) -> list[dict[str, Any]]:
    """Each mask as {"size": [H, W], "counts": text}."""
    height, width = masks.shape
    return [{"size": [height, width], "counts": counts} for counts in compress(masks)]


def compress(masks: Masks) -> list[str]:
    """The run lengths of each mask as COCO's text, beginning with the pixels outside (0 if the first pixel is inside)."""
    starts, ends, first = masks.starts, masks.ends, masks.first
    if not len(first):
        return []
    outside = starts.copy()
    outside[1:] -= ends[:-1]
    outside[first] = starts[first]
    apart = outside > 0  # else the run continues at the top of the next column
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
"""Values from −SHORT to SHORT − 1, nearly all in practice, have at most three characters and are looked up in a table."""


def _characters(values: np.ndarray, count: int) -> np.ndarray:
    """(N,) the characters of each value, packed into one number of `count` bytes, with zeros after the last. count: 4, for values below
    2¹⁹, or 8, for values below 2³⁹."""
    packed = _short(count).take(values & (2 * SHORT - 1))
    if len(long := np.flatnonzero((values < -SHORT) | (values >= SHORT))):
        packed[long] = _pack(values[long], count)
    return packed


@cache
def _short(count: int) -> np.ndarray:
    """`_pack` of every value that `SHORT` allows, at the index of its lowest 15 bits."""
    return _pack(np.roll(np.arange(-SHORT, SHORT), SHORT), count)


def _pack(values: np.ndarray, count: int) -> np.ndarray:
    """`_characters`, computed without the table."""
    values = values.astype(np.int64)
    magnitude = np.where(values < 0, ~values, values)[:, None]  # k characters hold 5k − 1 bits of it, and the sign
    bits = 5 * np.arange(count)
    least = np.array([0, *1 << bits[1:] - 1])  # the smallest that needs each character
    packed = (values[:, None] >> bits & 31) + 48 + 32 * (magnitude >= 1 << bits + 4)
    return np.where(magnitude >= least, packed, 0).astype(np.uint8).view(f"u{count}")[:, 0]


def decompress(counts: str) -> np.ndarray:
    """The run lengths (N,) int64 that `compress` wrote. Raises ValueError for an invalid text. The caller checks whether the lengths fit a
    mask; that also finds sums that wrapped around, because lengths far above those of any picture precede them."""
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
"""Maximum for one run length: 40 bits. Millions of such numbers must be added to wrap around 64 bits."""


def count_runs(size: Sequence[int], counts: Sequence[int] | str, shape: tuple[int, int], where: str) -> np.ndarray:
    """Run lengths (N,) int64 of an RLE in a picture of `shape` (H, W): outside, inside, outside …, column by column, with sum H · W. where:
    the annotation's name in errors. Raises UserError."""
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
    """The number of pixels inside run lengths."""
    return int(runs[1::2].sum())


def paint_runs(labels: np.ndarray, counts: np.ndarray, value: int) -> None:
    """Sets the pixels inside of run lengths to a value, in labels (H, W) of integers that are stored column by column (order="F")."""
    flat = labels.reshape(-1, order="F")
    ends = np.cumsum(counts)
    for begin, end in zip(ends[:-1:2].tolist(), ends[1::2].tolist(), strict=False):
        flat[begin:end] = value


def paint_box(labels: np.ndarray, left: float, top: float, right: float, bottom: float, value: int) -> int:
    """Sets the pixels of labels (H, W) of integers that a box touches to a value, and returns their number. Paints nothing if a corner is
    NaN, or 10⁹ pixels or more away."""
    if not all(abs(corner) < 1e9 for corner in (left, top, right, bottom)):  # false for NaN and infinity too
        return 0
    rows = slice(max(0, math.floor(top)), max(0, math.ceil(bottom)))
    inside = labels[rows, max(0, math.floor(left)) : max(0, math.ceil(right))]
    inside[:] = value
    return inside.size


MOST_LAYERS = 100
"""Maximum number of masks over a pixel on average: far more than anybody draws, and a small file can have any number."""


def check_layers(area: int, shape: tuple[int, ...], where: str) -> None:
    """Raises UserError if masks would cover a picture of `shape` (H, W) more than MOST_LAYERS times, before they are painted. area: pixels
    of all masks."""
    if (layers := area / math.prod(shape)) > MOST_LAYERS:
        raise UserError(f"{where}: its masks cover the picture {layers:.4g} times over; at most {MOST_LAYERS} times are read")


def fill(counts: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The mask (H, W) bool of run lengths, whose sum must be H · W. size: (H, W)."""
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(size[1], size[0]).T


@dataclass(frozen=True)
class Boxed:
    """A mask as run lengths within a box. left, top, width, height: the box, in pixels. counts: (N,) int64, outside, inside, outside …, row
    by row; they fill the box."""

    left: int
    top: int
    width: int
    height: int
    counts: np.ndarray

    def paint(self, labels: np.ndarray, value: int) -> None:
        """Sets the mask's pixels in labels (H, W) of integers to a value. The box must lie inside."""
        inside = np.repeat(np.arange(len(self.counts)) % 2 == 1, self.counts).reshape(self.height, self.width)
        labels[self.top : self.top + self.height, self.left : self.left + self.width][inside] = value


def boxed(inside: np.ndarray) -> Boxed:
    """The mask (H, W) bool, which must not be empty, in its bounding box."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    left, top = int(columns[0]), int(rows[0])
    return boxed_at(inside[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1], left, top)


def boxed_at(inside: np.ndarray, left: int, top: int) -> Boxed:
    """The mask that is `inside` (h, w) bool in the box of this size and top left corner."""
    height, width = inside.shape
    flat = inside.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(edges, prepend=0, append=flat.size)
    return Boxed(left, top, width, height, np.concatenate([[0], counts]) if flat[0] else counts)
