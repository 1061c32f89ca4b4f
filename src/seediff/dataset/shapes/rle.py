"""Masks as run lengths: those of COCO, by pycocotools, and those of CVAT within a box; polygons as COCO fills them; and
boxes.

COCO counts the pixels outside, inside, outside … of a mask, down the first column, then down the second, and so on. As
text, a count from the fourth on is stored as its difference to the count two before it. It is split into groups of five
bits, the lowest first, each with a sixth bit that says whether another group follows, and written as characters from
"0" on. Text is read here, because pycocotools reads on behind one that ends within a number, and takes run lengths that
end before the picture does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask

from ...errors import UserError
from ...files.messages import show_json


def encode(numbers: np.ndarray) -> dict[int, dict[str, Any]]:
    """Number → its mask as {"size": [H, W], "counts": text}, for every number above 0 in numbers (H, W) of integers, in
    ascending order.

    The runs of all masks are found in one pass: from pixels, pycocotools needs one for each mask.
    """
    flat = numbers.ravel(order="F")
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
    order = np.argsort(flat[starts], kind="stable")
    edges = np.column_stack([starts, np.append(starts[1:], flat.size)])[order]
    found, first = np.unique(flat[starts[order]], return_index=True)
    masks = {}
    for number, own in zip(found.tolist(), np.split(edges, first[1:]), strict=True):
        if number > 0:
            counts = np.diff(own.ravel(), prepend=0, append=flat.size)
            rle: Any = {"size": list(numbers.shape), "counts": counts if counts[-1] else counts[:-1]}
            rle["counts"] = mask.frPyObjects(rle, *numbers.shape)["counts"].decode("ascii")
            masks[number] = rle
    return masks


def decompress(counts: str) -> np.ndarray:
    """The run lengths (N,) int64 of COCO's text. Raises ValueError for an invalid text. The caller checks whether the
    lengths fit a mask; that also finds sums that wrapped around, because lengths far above those of any picture precede
    them."""
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
    """Run lengths (N,) int64 of an RLE in a picture of `shape` (H, W): outside, inside, outside …, column by column,
    with sum H · W. where: the annotation's name in errors. Raises UserError."""
    if list(size) != list(shape):
        raise UserError(
            f"{where}: its mask is {show_json(size)}, but its image is {list(shape)}; both are [height, width]"
        )
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
    """Sets the pixels inside of run lengths to a value, in labels (H, W) of integers that are stored column by column
    (order="F").
    """
    flat = labels.reshape(-1, order="F")
    ends = np.cumsum(counts)
    for begin, end in zip(ends[:-1:2].tolist(), ends[1::2].tolist(), strict=False):
        flat[begin:end] = value


def paint_box(labels: np.ndarray, left: float, top: float, right: float, bottom: float, value: int) -> int:
    """Sets the pixels of labels (H, W) of integers that a box touches to a value, and returns their number. Paints
    nothing if a corner is NaN, or 10⁹ pixels or more away."""
    if not all(abs(corner) < 1e9 for corner in (left, top, right, bottom)):  # false for NaN and infinity too
        return 0
    rows = slice(max(0, math.floor(top)), max(0, math.ceil(bottom)))
    inside = labels[rows, max(0, math.floor(left)) : max(0, math.ceil(right))]
    inside[:] = value
    return inside.size


MOST_LAYERS = 100
"""Maximum number of masks over a pixel on average: far more than anybody draws, and a small file can have any
number.
"""


def check_layers(area: int, shape: tuple[int, ...], where: str) -> None:
    """Raises UserError if masks would cover a picture of `shape` (H, W) more than MOST_LAYERS times, before they are
    painted. area: pixels of all masks."""
    if (layers := area / math.prod(shape)) > MOST_LAYERS:
        raise UserError(
            f"{where}: its masks cover the picture {layers:.4g} times over; at most {MOST_LAYERS} times are read"
        )


def fill(counts: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The mask (H, W) bool of run lengths, whose sum must be H · W. size: (H, W)."""
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(size[1], size[0]).T


def polygon_runs(polygons: Sequence[Sequence[float]], shape: tuple[int, ...], where: str) -> np.ndarray:
    """Run lengths as in `count_runs`, of polygons [x, y, x, y, …] in pixels, filled as pycocotools does.

    A corner may be outside the picture by its width or height. Raises UserError for an invalid polygon.
    """
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise UserError(f"{where}: a polygon is a list of at least three x, y")
        check_near(polygon, shape, where)
    filled: dict[str, Any] = mask.merge(mask.frPyObjects(polygons, *shape))  # type: ignore[assignment, call-overload]
    return decompress(filled["counts"].decode("ascii"))


def check_near(values: Sequence[float], shape: tuple[int, ...], where: str) -> np.ndarray:
    """Corners x, y, x, y, … as (P, 2) float64. Raises UserError for a corner outside a picture of `shape` (H, W) by
    more than its width or height."""
    height, width = shape
    corners = np.array(values, np.float64).reshape(-1, 2)
    sides = np.array([width, height])
    if not (near := (corners >= -sides) & (corners <= 2 * sides)).all():  # false for NaN too
        row, axis = np.argwhere(~near)[0]
        value = f"{'xy'[axis]} = {corners[row, axis]:g}"
        raise UserError(f"{where}: a corner of its polygon has {value}, far outside its image of {width} × {height}")
    return corners


@dataclass(frozen=True)
class Boxed:
    """A mask as run lengths within a box. left, top, width, height: the box, in pixels. counts: (N,) int64, outside,
    inside, outside …, row by row; they fill the box."""

    left: int
    top: int
    width: int
    height: int
    counts: np.ndarray

    def paint(self, labels: np.ndarray, value: int) -> None:
        """Sets the mask's pixels in labels (H, W) of integers to a value. The box must lie inside."""
        inside = np.repeat(np.arange(len(self.counts)) % 2 == 1, self.counts).reshape(self.height, self.width)
        labels[self.top : self.top + self.height, self.left : self.left + self.width][inside] = value


def crop_to_box(inside: np.ndarray) -> Boxed:
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
