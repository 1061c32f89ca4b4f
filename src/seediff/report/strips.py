"""Pictures of several pictures side by side: how the mask of a class was made, and samples before and after changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..drawing.overlays import contact_sheet, draw_mask, encode_picture, heat_colours, shrink

if TYPE_CHECKING:
    from .explain import ShownStep  # imports torch

AUGMENTATIONS = "augmentations.jpg"
"""In a set from `augment`: a sample before and after each kind of addition."""

SIDE = 120
"""The longer side in pixels of the pictures in a strip."""
Pair = tuple[np.ndarray, np.ndarray]
"""A picture (H, W, 3) uint8 and its label map (H, W) uint8."""


def draw_strip(image: np.ndarray, label_map: np.ndarray, steps: Sequence[ShownStep]) -> bytes:
    """A PNG with the image (H, W, 3) uint8, the map after every step of a class's mask, and the label map (H, W) uint8
    laid over the image."""
    small = shrink(image, SIDE, Image.Resampling.LANCZOS)
    size = small.shape[1], small.shape[0]
    # A box filter shows each position as a square where it enlarges.
    maps = [np.asarray(Image.fromarray(step.levels).resize(size, Image.Resampling.BOX)) for step in steps]
    tiles = [small, *(heat_colours()[levels] for levels in maps), draw_mask(image, label_map, SIDE)]
    labels = ["image", *(step.name for step in steps), "mask"]
    return encode_picture(contact_sheet(tiles, len(tiles), labels), "PNG", optimize=True)


def before_after(pairs: Sequence[tuple[str, Pair, Pair]]) -> bytes:
    """A JPEG of samples before and after a change. pairs: the change's name, the original and the result."""
    tiles = [contact_sheet([draw_mask(*pair, 150, alpha=0.4) for pair in both], 2, gap=2) for _, *both in pairs]
    sheet = contact_sheet(tiles, 3, [name for name, *_ in pairs])
    return encode_picture(sheet, "JPEG", quality=85, subsampling=0)
