"""Sizes of pictures in pixels as users write them: one number for a square, or width x height."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from ..errors import UserError

Size = int | str
"""The side of a square, or a text such as `1024x768` (width x height)."""
Fit = Literal["keep", "resize", "crop"]
"""How a model sees photographs: in their own shape, squeezed into another one, or only the centred square."""

MAX_ASPECT = 8
"""Maximum ratio of the longer to the shorter side. At 8, Stable Diffusion's coarsest level is one position wide."""
SHORTEST, LONGEST = 8, 2**16
"""The smallest and the largest side in pixels that any model draws or sees."""


def check_size(size: Size) -> Size:
    """The size in its normal form: a number for squares, otherwise `WIDTHxHEIGHT`. Raises UserError for text that is no
    size, and for sides out of bounds."""
    height, width = shape_of(size)
    if min(width, height) < SHORTEST or max(width, height) > LONGEST:
        raise UserError("size", f"{size}: sides must be from {SHORTEST} to {LONGEST} pixels")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UserError("size", f"{size}: one side must be at most {MAX_ASPECT} times the other")
    return size_text((height, width))


def shape_of(size: Size) -> tuple[int, int]:
    """(height, width) of a size. Raises UserError for text that is no size."""
    sides = re.fullmatch(r"\s*(-?\d{1,9})(?:\s*[xX×]\s*(-?\d{1,9}))?\s*", str(size))
    if sides is None:
        raise UserError("size", f"{size!r} must be a side in pixels, or width x height such as 1024x768")
    return int(sides[2] or sides[1]), int(sides[1])


def size_text(shape: Sequence[int]) -> Size:
    """The size in its normal form. shape: (height, width) in pixels."""
    height, width = shape
    return height if height == width else f"{width}x{height}"


def check_sides(shape: Sequence[int], what: str, name: str, multiple: int, largest: int | None) -> None:
    """Raise UserError for an image size that a model does not support. The message suggests a supported size.

    shape: (height, width). what: the subject of the message. name: the model's name. multiple: both sides must be
    multiples of this. largest: the maximum side in pixels; None: no limit.
    """
    size = size_text(shape)
    if any(side % multiple for side in shape):
        near = size_text([max(multiple, round(side / multiple) * multiple) for side in shape])
        raise UserError(what, f"{size}: sides must be multiples of {multiple} for model '{name}', for example {near}")
    if largest is not None and max(shape) > largest:
        raise UserError(
            what, f"{size} must be at most {largest} for model '{name}', which has no positions beyond that"
        )
