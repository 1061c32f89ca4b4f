"""Pixels of a COCO annotation: run lengths or polygons as the run lengths of its picture, checked before any library sees them.

pycocotools trusts its input: counts that wrap around 64 bits and coordinates far outside the picture make it write beyond its memory, or
take gigabytes. So sums are Python's own, which do not wrap, and corners are near the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ....errors import UserError
from ....files.messages import shown
from ...shapes.rle import decompress

MAX_OUTLINE, MAX_OUTLINES = 4_000_000, 40_000_000
"""Pixels along the edges of one polygon at most: more than any picture's object has, and 500 MB of pycocotools' points; and of all polygons
of a picture."""


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


def polygon_runs(polygons: Sequence[Sequence[float]], shape: tuple[int, ...], where: str) -> np.ndarray:
    """Run lengths as `count_runs`, of polygons [x, y, x, y, …] in pixels, filled as pycocotools does.

    A corner may be outside the picture by its width or height. Raises UserError for what is no such polygon.
    """
    height, width = shape
    for polygon in polygons:
        _check_polygon(polygon, height, width, where)
    try:
        from pycocotools import mask
    except ImportError as error:
        raise UserError(f'{where}: polygons are filled by pycocotools: pip install "seediff[coco]"') from error
    filled: dict[str, Any] = mask.merge(mask.frPyObjects(polygons, height, width))  # type: ignore[assignment, call-overload]
    return decompress(filled["counts"].decode("ascii"))


def check_outlines(polygons: Iterable[Sequence[float]], where: str) -> None:
    """Raise UserError when the polygons of one picture have edges that are too long together."""
    length = 0.0
    for polygon in polygons:
        if len(polygon) >= 6 and len(polygon) % 2 == 0:  # else it is refused for itself
            length += _outline(np.clip(np.array(polygon, np.float64), -1e6, 1e6).reshape(-1, 2))
    if length > MAX_OUTLINES:
        raise UserError(
            f"{where}: the edges of its polygons are {length:.0f} pixels long; at most {MAX_OUTLINES} of a picture can be filled"
        )


def _outline(corners: np.ndarray) -> float:
    return float(np.abs(corners - np.roll(corners, -1, 0)).max(1).sum())


def _check_polygon(polygon: Sequence[float], height: int, width: int, where: str) -> None:
    if len(polygon) < 6 or len(polygon) % 2:
        raise UserError(f"{where}: a polygon is a list of at least three x, y")
    corners = np.array(polygon, np.float64).reshape(-1, 2)
    sides = np.array([width, height])
    if not (near := (corners >= -sides) & (corners <= 2 * sides)).all():  # false for NaN too
        row, axis = np.argwhere(~near)[0]
        value = f"{'xy'[axis]} = {corners[row, axis]:g}"
        raise UserError(f"{where}: a corner of its polygon has {value}, far outside its image of {width} × {height}")
    outline = _outline(corners)
    if outline > MAX_OUTLINE:
        raise UserError(f"{where}: the edges of its polygon are {outline:.0f} pixels long; at most {MAX_OUTLINE} can be filled")
