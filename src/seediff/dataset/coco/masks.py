"""Pixels of a COCO annotation: run lengths or polygons as the run lengths of its picture, checked before any library sees them.

pycocotools trusts its input: counts that wrap around 64 bits and coordinates far outside the picture make it write beyond its memory, or
take gigabytes. So all sums and bounds are reckoned here, in Python's own whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import UserError
from ..rle import decompress

MAX_OUTLINE = 4_000_000
"""Pixels along the edges of one polygon at most: more than any picture's object has, and 500 MB of pycocotools' points."""


def runs_of(segmentation: Any, shape: tuple[int, int], where: str) -> np.ndarray:
    """Run lengths (N,) int64 of an annotation's `segmentation` in a picture of `shape` (H, W): outside, inside, outside …, column by
    column, which add up to H · W. Raises UserError naming the annotation, `where`."""
    if isinstance(segmentation, list):
        return polygon_runs(segmentation, shape, where)
    if not isinstance(segmentation, Mapping):
        raise UserError(f"{where}: its 'segmentation' must be a list of polygons or an object with 'size' and 'counts'")
    size = segmentation.get("size")
    if not isinstance(size, list) or size != list(shape):
        raise UserError(f"{where}: its mask is {str(size)[:40]}, but its image is {list(shape)}; both are [height, width]")
    return _count_runs(segmentation.get("counts"), shape, where)


def area(runs: np.ndarray) -> int:
    """Pixels inside."""
    return int(runs[1::2].sum())


def _count_runs(counts: Any, shape: tuple[int, int], where: str) -> np.ndarray:
    total = shape[0] * shape[1]
    wrong = UserError(f"{where}: 'counts' are no run lengths of {shape[0]} × {shape[1]} pixels")
    if isinstance(counts, list):
        if not all(type(count) is int and 0 <= count <= total for count in counts) or sum(counts) != total:
            raise wrong
        return np.array(counts, np.int64)
    if not isinstance(counts, str):
        raise wrong
    try:
        runs = decompress(counts)
    except ValueError as error:
        raise wrong from error
    # Each run is at most the picture, so that the sum of all cannot wrap.
    if not len(runs) or runs.min() < 0 or runs.max() > total or runs.sum() != total:
        raise wrong
    return runs


def polygon_runs(polygons: Sequence[Any], shape: tuple[int, ...], where: str) -> np.ndarray:
    """Run lengths as `runs_of`, of polygons [x, y, x, y, …] in pixels, filled as pycocotools does. Without polygons nothing is inside.

    A corner may be outside the picture by its width or height. Raises UserError for what is no such polygon.
    """
    height, width = shape
    if not polygons:
        return np.array([height * width], np.int64)
    for polygon in polygons:
        _check_polygon(polygon, height, width, where)
    try:
        from pycocotools import mask
    except ImportError as error:
        raise UserError(f'{where}: polygons are filled by pycocotools: pip install "seediff[coco]"') from error
    filled: dict[str, Any] = mask.merge(mask.frPyObjects(polygons, height, width))  # type: ignore[assignment, call-overload]
    return decompress(filled["counts"].decode("ascii"))


def _check_polygon(polygon: Any, height: int, width: int, where: str) -> None:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        raise UserError(f"{where}: a polygon is a list of at least three x, y")
    for value, side, name in zip(polygon, (width, height) * (len(polygon) // 2), ("x", "y") * (len(polygon) // 2), strict=True):
        if type(value) not in (int, float) or not -side <= value <= 2 * side:  # false for NaN too
            raise UserError(f"{where}: a corner of its polygon has {name} = {str(value)[:24]}, far outside its image of {width} × {height}")
    xs, ys = polygon[::2], polygon[1::2]
    outline = math.fsum(max(abs(x - xs[i - 1]), abs(ys[i] - ys[i - 1])) for i, x in enumerate(xs))
    if outline > MAX_OUTLINE:
        raise UserError(f"{where}: the edges of its polygon are {outline:.0f} pixels long; at most {MAX_OUTLINE} can be filled")
