"""Masks as COCO's run lengths, and polygons as pycocotools fills them.

Run lengths count the pixels outside, inside, outside … of a mask, column by column. COCO's text of them is read here,
because pycocotools reads on behind one that ends within a number, and takes run lengths that end before the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask

from ...errors import UserError
from ...files.messages import show_json


def encode(numbers: np.ndarray) -> dict[int, dict[str, Any]]:
    """Number → its mask as {"size": [H, W], "counts": text}, for every number above 0 in numbers (H, W), in ascending
    order. Takes one pass for all masks; pycocotools needs one for each."""
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


def decompress(counts: str) -> list[int]:
    """The run lengths of COCO's text: numbers of five bits a character from "0" on, the lowest first, with a sixth bit
    if another follows; from the fourth on, differences to the run length two before. Raises ValueError."""
    runs: list[int] = []
    value = shift = 0
    for character in counts.encode("ascii"):
        digit = character - 48
        if not 0 <= digit < 64 or shift > 60:
            raise ValueError("is not a run-length string")
        value |= (digit & 31) << shift
        shift += 5
        if digit < 32:
            value -= (digit >> 4) << shift  # the highest bit is the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("ends within a number")
    return runs


def count_runs(size: Sequence[int], counts: Sequence[int] | str, shape: tuple[int, int], where: str) -> np.ndarray:
    """(N,) int64: the run lengths of an RLE in a picture of `shape` (H, W)."""
    if list(size) != list(shape):
        problem = f"its mask is {show_json(size)}, but its image is {list(shape)}; both are [height, width]"
        raise UserError(f"{where}: {problem}")
    try:
        runs = decompress(counts) if isinstance(counts, str) else counts
        if sum(runs) == math.prod(shape) and min(runs) >= 0:
            return np.array(runs, np.int64)
    except ValueError:
        pass
    raise UserError(f"{where}: 'counts' are not valid for a mask of {shape[0]} × {shape[1]} pixels")


def polygon_runs(polygons: Sequence[Sequence[float]], shape: tuple[int, ...], where: str) -> np.ndarray:
    """Run lengths of polygons [x, y, x, y, …] in pixels, filled as pycocotools does."""
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise UserError(f"{where}: a polygon is a list of at least three x, y")
    filled: Any = mask.merge(mask.frPyObjects(polygons, *shape))  # type: ignore[call-overload]
    return np.array(decompress(filled["counts"].decode("ascii")), np.int64)


def area(runs: np.ndarray) -> int:
    return int(runs[1::2].sum())


def bounds(runs: np.ndarray, height: int) -> tuple[list[int], list[int]]:
    """[left, right] and [top, bottom] of the pixels inside of run lengths, of which no array is made. Raises ValueError
    if there are none."""
    ends = np.cumsum(runs)[1::2]
    lengths = runs[1::2]
    ends, lengths = ends[lengths > 0], lengths[lengths > 0]
    (left, top), (right, bottom) = np.divmod(ends - lengths, height), np.divmod(ends - 1, height)
    rows = [0, height]  # of a run that goes on in the next column
    if (left == right).all():
        rows = [int(top.min()), int(bottom.max()) + 1]
    return [int(left.min()), int(right.max()) + 1], rows


def paint_runs(labels: np.ndarray, runs: np.ndarray, value: int) -> None:
    """Sets the pixels inside of run lengths to a value, in labels (H, W) stored column by column (order="F")."""
    flat, ends = labels.reshape(-1, order="F"), np.cumsum(runs).tolist()
    for begin, end in zip(ends[:-1:2], ends[1::2], strict=False):
        flat[begin:end] = value
