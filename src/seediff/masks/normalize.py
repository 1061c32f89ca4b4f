"""Two operations between the steps of the methods: min-max normalisation of a map to [0, 1], and resizing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F

from ..errors import UserError

ROUNDING = 8 * torch.finfo(torch.float32).eps
"""A span of at most this, relative to the largest value, is float32 rounding and not a signal."""


def min_max(values: torch.Tensor) -> tuple[torch.Tensor, tuple[str, ...]]:
    """`(x − min) / (max − min)` over a whole map, in [0, 1], and its flags.

    A constant map carries no information: it becomes zeros and is flagged `constant_map`, instead of having its rounding
    errors blown up to full contrast. Raises UserError when a value is NaN or infinite.
    """
    low, high = values.aminmax()
    span = high - low
    if not torch.isfinite(span):
        raise UserError("attention holds NaN or infinite values: half precision overflowed; capture it again with --dtype float32")
    if span <= ROUNDING * torch.maximum(low.abs(), high.abs()):
        return torch.zeros_like(values), ("constant_map",)
    return (values - low) / span, ()


def resize(maps: torch.Tensor, size: Sequence[int], mode: Literal["bilinear", "bicubic"] = "bilinear") -> torch.Tensor:
    """Maps (…, h, w) at another size (height, width), align_corners=False (eq. 8).

    Going down, bilinear would skip positions, so positions are averaged instead. Bicubic may leave [0, 1] a little.
    """
    height, width = size
    if maps.shape[-2:] == (height, width):
        return maps
    batch = maps.reshape(1, -1, *maps.shape[-2:])
    if height < maps.shape[-2] and width < maps.shape[-1]:
        resized = F.interpolate(batch, (height, width), mode="area")
    else:
        resized = F.interpolate(batch, (height, width), mode=mode, align_corners=False)
    return resized.reshape(*maps.shape[:-2], height, width)
