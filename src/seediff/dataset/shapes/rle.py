"""Masks as COCO's run lengths, and polygons as pycocotools fills them.

Run lengths count the pixels outside, inside, outside … of a mask, column by column. COCO compresses them into a text.
The text is decompressed here, because pycocotools reads past the end of a text that ends within a number, and accepts
run lengths that end before the picture does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask

from ...errors import UserError
from ...files.messages import show_json


def encode(inside: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) bool as COCO's {"size": [H, W], "counts": text}."""
    rle: Any = mask.encode(np.asfortranarray(inside, np.uint8))
    return {**rle, "counts": rle["counts"].decode("ascii")}


def decompress(counts: str) -> list[int]:
    """The run lengths in COCO's compressed text.

    Each character holds six bits, counted from "0": five bits of a number, lowest first, and a bit that says whether
    the number goes on in the next character. The first three numbers are run lengths. Each further number is the
    difference to the run length two before. Raises ValueError for a text that is not of this form.
    """
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
    """(N,) int64: the run lengths of a COCO mask.

    size: the mask's [H, W]. counts: its run lengths, or COCO's compressed text of them. shape: (H, W) of the picture.
    where: the mask's name in errors. Raises UserError for a mask that does not fit the picture.
    """
    if list(size) != list(shape):
        problem = f"its mask is {show_json(size)}, but its image is {list(shape)}; both are [height, width]"
        raise UserError(where, problem)
    try:
        runs = decompress(counts) if isinstance(counts, str) else counts
        if sum(runs) == math.prod(shape) and min(runs) >= 0:
            return np.array(runs, np.int64)
    except ValueError:
        pass
    raise UserError(where, f"'counts' are not valid for a mask of {shape[0]} × {shape[1]} pixels")


def polygon_runs(polygons: Sequence[Sequence[float]], shape: tuple[int, ...], where: str) -> np.ndarray:
    """(N,) int64: the run lengths of the union of polygons, filled as pycocotools fills them.

    polygons: [x, y, x, y, …] in pixels. shape: (H, W) of the picture. where: the polygons' name in errors. Raises
    UserError for a polygon with less than three corners.
    """
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise UserError(where, "a polygon is a list of at least three x, y")
    filled: Any = mask.merge(mask.frPyObjects(polygons, *shape))  # type: ignore[call-overload]
    return np.array(decompress(filled["counts"].decode("ascii")), np.int64)


def box_xyxy(runs: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(4,) float64: left, top, right and bottom of a mask; right and bottom are exclusive. All are 0 for an empty mask.
    runs: the mask's run lengths. shape: (H, W)."""
    rle: Any = {"size": shape, "counts": runs.tolist()}
    box = mask.toBbox(mask.frPyObjects(rle, *shape))
    box[2:] += box[:2]
    return box
