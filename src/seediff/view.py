"""`View`: the geometry of a picture of which a model sees or draws only a part, at another size.

view = view_photo(model.sizes, photograph, fit, None)   # the whole photograph, or its central square
view.seen                                         # what the model sees
view.paste(segments, -1)                          # segments of the window, already of its size
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .config.sizes import MAX_ASPECT, Fit, Size, shape_of
from .errors import UserError

if TYPE_CHECKING:
    from .models.families.family import Sizes

PixelSize = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture, in its pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def shape(self) -> PixelSize:
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """(rows, columns) of this window, to index an array (H, W, …)."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclass(frozen=True, eq=False)
class View:
    """A picture, and which part of it a model saw or drew:

        a photograph ── cut to `window` ── resized to `shape` ──▶ what the model saw
        what the model drew, of `shape` ── resized to `window` ── what leaves the picture is cut off ──▶ the picture

    For example, with sizes as height × width: a pipeline drew 64 × 64 pixels for a picture of 96 × 80, resized them to
    96 × 96, and cut off 8 columns at either side. The picture's `size` is (96, 80), its `window` (0, −8, 96, 96), its
    `shape` (64, 64).
    """

    size: PixelSize
    """(H, W) of the picture."""
    window: Window
    """What the model saw or drew, in pixels of the picture. From top to bottom it lies within the picture or covers it,
    and so from left to right."""
    shape: PixelSize
    """(h, w): the size at which the model saw or drew the window."""
    pixels: np.ndarray | None = None
    """The picture (H, W, 3) uint8; None if it is unknown."""

    @classmethod
    def whole(cls, size: Sequence[int], pixels: np.ndarray | None = None) -> View:
        """A picture that the model drew as it is. size: (H, W, …)."""
        height, width = size[:2]
        return cls((height, width), Window(0, 0, height, width), (height, width), pixels)

    @property
    def inside(self) -> Window:
        """The part of the window that lies in the picture."""
        window = self.window
        height, width = self.size
        return Window(max(window.top, 0), max(window.left, 0), min(window.height, height), min(window.width, width))

    @property
    def kept(self) -> Window:
        """The same part, counted from the window's corner."""
        return Window(max(-self.window.top, 0), max(-self.window.left, 0), *self.inside.shape)

    @property
    def part(self) -> np.ndarray:
        """The window's pixels (h', w', 3) uint8, black where they are unknown."""
        if self.pixels is not None and self.inside == self.window:
            return self.pixels[self.window.slices]
        part = np.zeros((*self.window.shape, 3), np.uint8)
        if self.pixels is not None:
            part[self.kept.slices] = self.pixels[self.inside.slices]
        return part

    @cached_property
    def seen(self) -> np.ndarray:
        """The window at the size at which the model saw it, (h, w, 3) uint8, by Pillow's bilinear filter. Enlarging is
        as in DiffSeg's program. Reducing is not: that program skips pixels, which makes noise of fine texture."""
        part = Image.fromarray(np.ascontiguousarray(self.part))
        return np.asarray(part.resize((self.shape[1], self.shape[0]), Image.Resampling.BILINEAR))

    def paste(self, values: np.ndarray, fill: float) -> np.ndarray:
        """Values of the whole picture (H, W): `values` in the part `inside`, and `fill` around it."""
        whole = np.full(self.size, fill, values.dtype)
        whole[self.inside.slices] = values
        return whole


def view_photo(sizes: Sizes, photo: np.ndarray, fit: Fit, size: Size | None) -> View:
    """How a model sees a photograph (H, W, 3) uint8. sizes, fit, size: as for `seen_window` and `seen_shape`. Raises
    UserError for keep and a photograph that is too long and narrow."""
    height, width = photo.shape[:2]
    window = seen_window(height, width, fit)
    shape = seen_shape(sizes, photo.shape, fit, size)
    return View((height, width), window, shape, photo)


def view_drawn(
    lattice: Sequence[int], drawn: PixelSize, size: PixelSize, pixels: np.ndarray | None, *, may_cut: bool
) -> View:
    """How a drawn picture fills the picture of a script. Raises UserError for other proportions, unless they may be
    cut.

    lattice: (height, width) of the drawn picture in positions. drawn: in pixels. size, pixels: of the script's picture.
    may_cut: whether both ends of the longer side may be cut off, up to a fifth, as pipelines with
    `use_resolution_binning` do.
    """
    if abs(size[0] * lattice[1] - size[1] * lattice[0]) <= sum(lattice):  # rounding to whole pixels
        drawn = size
    factor = max(size[0] / drawn[0], size[1] / drawn[1])
    height, width = max(int(drawn[0] * factor), size[0]), max(int(drawn[1] * factor), size[1])
    most = 1.25 if may_cut else 1.0
    if height > most * size[0] or width > most * size[1]:
        raise UserError("pixels", f"{size[1]} × {size[0]}: the image has other proportions")
    window = Window(-((height - size[0]) // 2), -((width - size[1]) // 2), height, width)
    return View(size, window, drawn, pixels)


def seen_window(height: int, width: int, fit: Fit) -> Window:
    """The part of a photograph that the model sees: the whole photograph, or with crop its central square. The square
    is rounded towards the top left, as in DiffSeg's program. height, width: the photograph's, in pixels."""
    if fit != "crop":
        return Window(0, 0, height, width)
    side = min(height, width)
    return Window((height - side) // 2, (width - side) // 2, side, side)


def image_shape(sizes: Sizes, size: Size | None) -> PixelSize:
    """(height, width) in pixels of a model's images. sizes: the model's. size: a side or `WIDTHxHEIGHT`; None: the
    model's own."""
    return shape_of(sizes.side if size is None else size)


def seen_shape(sizes: Sizes, shape: Sequence[int], fit: Fit, size: Size | None) -> tuple[int, int]:
    """(height, width) in pixels at which a model sees a photograph, or its `seen_window`.

    sizes: the model's. shape: the photograph's (height, width, …). fit: with keep, the result has the photograph's
    proportions and about the area of `size` (`sides_of_shape`); with any other fit, it is `size`. size: as for
    `image_shape`. Raises UserError for keep and a photograph that is too long and narrow.
    """
    shape_of_size = image_shape(sizes, size)
    if fit != "keep":
        return shape_of_size
    height, width = shape[:2]
    short, long = sorted((height, width))
    if long > MAX_ASPECT * short:
        problem = f"one side is {long / short:.3g} times the other, and the limit is {MAX_ASPECT}"
        raise UserError(f"{width} × {height} pixels", problem, "use another --fit, or cut the photograph up")
    sides = sides_of_shape(long / short, math.prod(shape_of_size), sizes.multiple, sizes.largest)
    return sides if height >= width else (sides[1], sides[0])


def sides_of_shape(aspect: float, area: int, multiple: int, largest: int | None) -> tuple[int, int]:
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
