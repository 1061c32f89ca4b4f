"""Fits photographs of any shape to a model: which part the model sees, at which size, and how results are put back."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..config.photos_config import Fit
from ..config.sizes import MAX_ASPECT, Size, pixels
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
        """Rows and columns, to index an array (H, W, …)."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def seen_window(height: int, width: int, fit: Fit) -> Window:
    """The part of a photograph of (height, width) pixels that the model sees: the whole photograph, or for crop the
    centred square of the shorter side, rounded towards the top left as in DiffSeg's program."""
    if fit != "crop":
        return Window(0, 0, height, width)
    side = min(height, width)
    return Window((height - side) // 2, (width - side) // 2, side, side)


def seen_shape(model: Model, shape: Sequence[int], fit: Fit, size: Size | None) -> tuple[int, int]:
    """(height, width) in pixels at which a model sees a photograph, or its `seen_window`. shape: the photograph's
    (height, width, …). fit: with keep, the photograph's proportions and about the area of `size` (`sides_of_shape`);
    with any other fit, `size` itself. size: None: the model's own. Raises UserError for a photograph that is too long
    and narrow to be seen whole."""
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
    """(longer, shorter) side of a picture in pixels, both multiples of `multiple`. aspect: the wanted longer / shorter.
    area: the picture has about this many pixels, but never more, so that it needs no more memory than the square. An
    error in shape counts twice as much as missing area, both as logarithms. largest: the maximum side, unless the
    square's own is longer; None: no limit. Raises UserError for an area below `multiple`².
    """
    if area < multiple**2:
        raise UserError(f"a picture of {area} pixels is smaller than {multiple} × {multiple}, the model's minimum")
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
    """The multiples just below and just above a side."""
    steps = int(side / multiple)
    return {max(1, steps) * multiple, (steps + 1) * multiple}


def batches_by_shape(shapes: Sequence[Hashable], most: int) -> list[list[int]]:
    """Batches of at most `most` pictures of one shape, as indices. Shapes are in the order of their first picture."""
    groups: dict[Hashable, list[int]] = {}
    for number, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(number)
    batches: list[list[int]] = []
    for group in groups.values():
        batches += [group[start : start + most] for start in range(0, len(group), most)]
    return batches


def cut(image: np.ndarray, window: Window, shape: tuple[int, int]) -> np.ndarray:
    """A window of an image (H, W, 3) uint8, resized to `shape` (h, w) with Pillow's bilinear filter: (h, w, 3) uint8.
    It enlarges as DiffSeg's program does, which skips pixels when reducing, and so turns fine texture into noise.
    """
    part = np.ascontiguousarray(image[window.slices])
    return np.asarray(Image.fromarray(part).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def paste(values: np.ndarray, window: Window, shape: tuple[int, int], outside: float = -1) -> np.ndarray:
    """A window's values (…, h, w) put into an array of the photograph's shape, (…, H, W). outside: the value around
    them: −1 (not segmented) for segment ids (int32), 255 (ignored) for masks, 0 for soft maps.
    """
    whole = np.full((*values.shape[:-2], *shape), outside, values.dtype)
    whole[(..., *window.slices)] = values
    return whole
