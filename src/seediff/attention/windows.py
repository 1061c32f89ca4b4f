"""Fits photographs of any shape to a model: which part the model sees, at which size, and how results are put back.

window = seen_window(height, width, fit)              # the whole photograph, or its central square
shape = seen_shape(model, (height, width), fit, None)
image = cut(photograph, window, shape)                # what the model sees
paste(segments, window, (height, width))              # segments of the window, already of its size
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..config.fields import MAX_ASPECT, Size, pixels
from ..config.runs import Fit
from ..errors import UserError

if TYPE_CHECKING:
    from ..models.registry import Model


@dataclass(frozen=True)
class Window:
    """A rectangle of a photograph, in its pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """(rows, columns) of this window, to index an array (H, W, …)."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def seen_window(height: int, width: int, fit: Fit) -> Window:
    """The part of a photograph that the model sees: the whole photograph, or with crop its central square. The square
    is rounded towards the top left, as in DiffSeg's program. height, width: the photograph's, in pixels."""
    if fit != "crop":
        return Window(0, 0, height, width)
    side = min(height, width)
    return Window((height - side) // 2, (width - side) // 2, side, side)


def seen_shape(model: Model, shape: Sequence[int], fit: Fit, size: Size | None) -> tuple[int, int]:
    """(height, width) in pixels at which a model sees a photograph, or its `seen_window`.

    model: its sizes count. shape: the photograph's (height, width, …). fit: with keep, the result has the photograph's
    proportions and about the area of `size` (`sides_of_shape`); with any other fit, it is `size`. size: in pixels, a
    side or `WIDTHxHEIGHT`; None: the model's own. Raises UserError for keep and a photograph that is too long and
    narrow.
    """
    shape_of_size = pixels(model.sizes.side if size is None else size)
    if fit != "keep":
        return shape_of_size
    height, width = shape[:2]
    short, long = sorted((height, width))
    if long > MAX_ASPECT * short:
        raise UserError(
            f"{width} × {height} pixels: one side is {long / short:.3g} times the other, and the limit is"
            f" {MAX_ASPECT}; use another --fit, or cut the photograph up"
        )
    sides = sides_of_shape(long / short, math.prod(shape_of_size), model.sizes.multiple, model.sizes.largest)
    return sides if height >= width else (sides[1], sides[0])


def sides_of_shape(aspect: float, area: int, multiple: int, largest: int | None = None) -> tuple[int, int]:
    """(longer, shorter) side of a picture in pixels. An error in its proportions counts twice as much as missing area,
    both as logarithms. For example (80, 48) for aspect 1.5, area 64² and multiple 16.

    aspect: the wanted longer / shorter side. area: the wanted number of pixels. The picture never has more pixels, so
    that it needs no more memory than a square. multiple: both sides are multiples of this. largest: the longest side
    allowed; None: no limit. The side of a square of this area is always allowed. Raises UserError for an area below
    `multiple`².
    """
    if area < multiple**2:
        raise UserError(f"an image of {area} pixels is smaller than {multiple} × {multiple}, the model's minimum")
    limit = area if largest is None else max(largest, math.isqrt(area))
    candidates: list[tuple[float, int, int]] = []
    exact = min((area / aspect) ** 0.5, limit / aspect)
    for short in _about(exact, multiple):
        most = min(area // short, limit) // multiple * multiple
        if most < short:
            continue
        for long in {max(short, min(most, side)) for side in _about(short * aspect, multiple)}:
            penalty = 2 * abs(math.log(long / short / aspect)) + math.log(area / (long * short))
            candidates.append((penalty, long, short))
    _, long, short = min(candidates)
    return long, short


def _about(side: float, multiple: int) -> set[int]:
    """The two multiples around a side, both above 0."""
    steps = int(side / multiple)
    return {max(1, steps) * multiple, (steps + 1) * multiple}


def batches_by_shape(shapes: Sequence[Hashable], most: int) -> list[list[int]]:
    """Batches of pictures of one shape, as lists of their indices. Shapes are in the order of their first picture.
    shapes: the shape of each picture. most: the largest batch."""
    groups: dict[Hashable, list[int]] = {}
    for number, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(number)
    batches: list[list[int]] = []
    for group in groups.values():
        batches += [group[start : start + most] for start in range(0, len(group), most)]
    return batches


def cut(image: np.ndarray, window: Window, shape: tuple[int, int]) -> np.ndarray:
    """A window of an image (H, W, 3) uint8, resized to `shape` (h, w) with Pillow's bilinear filter: (h, w, 3) uint8.
    Enlarging is as in DiffSeg's program. Reducing is not: that program skips pixels, which makes noise of fine texture.
    """
    part = np.ascontiguousarray(image[window.slices])
    return np.asarray(Image.fromarray(part).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def paste(segments: np.ndarray, window: Window, shape: tuple[int, int]) -> np.ndarray:
    """The ids (H, W) of a photograph's segments, −1 (not segmented) around the window. segments: (h, w), the window's.
    shape: (H, W)."""
    whole = np.full(shape, -1, segments.dtype)
    whole[window.slices] = segments
    return whole
