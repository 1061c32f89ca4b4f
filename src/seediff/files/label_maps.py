"""Label maps: their folder, reading and resizing them, and the colours of their palette."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from ..errors import UserError
from .image_files import read_pixels
from .names import IGNORE

MAP_FOLDERS = ("labels", "masks")
"""Names of folders in which SeeDiff and other programs store label maps."""


def read_segment_ids(path: Path) -> np.ndarray:
    """The ids in a palette or grey PNG, (H, W) int32. The highest value, 255 in 8 bits and 65535 in 16 bits, means no
    label and becomes −1. Raises UserError for any other file."""
    array, kind, mode = read_pixels(path)
    if kind != "PNG":
        raise UserError(path, f"is {kind} data; a label map must be PNG, which keeps ids exactly")
    if array.ndim != 2:
        raise UserError(path, f"is a colour image ({mode}); a label map is a palette or grey PNG")
    ids = array.astype(np.int32)
    ids[ids == (65535 if array.dtype.itemsize > 1 else IGNORE)] = -1
    return ids


def map_folder(folder: Path) -> Path:
    """The folder that has the label maps: `labels/` or `masks/` in `folder`, otherwise `folder` itself. Raises
    UserError if `folder` is no folder."""
    if not folder.exists():
        raise UserError(folder, "no such folder")
    if not folder.is_dir():
        raise UserError(folder, "must be a folder of label maps")
    return next((folder / name for name in MAP_FOLDERS if (folder / name).is_dir()), folder)


def centre_square(array: np.ndarray) -> np.ndarray:
    """The largest centred square (S, S) of an array (H, W). If the two margins cannot be equal, the one at the bottom
    or right is a pixel wider, as in DiffSeg."""
    height, width = array.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return array[top : top + side, left : left + side]


def resize_nearest(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """An array (H, W) at the size (height, width): each pixel gets the value beneath its centre."""
    rows = (2 * np.arange(height) + 1) * array.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * array.shape[1] // (2 * width)
    return array[rows[:, None], columns]


@cache  # because it takes longer than encoding a mask
def voc_palette() -> list[int]:
    """The 256 colours of VOC's label maps as 768 values in [0, 255] (R, G, B, R, …). Id 0 is black, and 255 is cream
    (224, 224, 192)."""
    # The bits of a label, the lowest first, go in turn to red, green and blue, from the highest bit of each down.
    labels = np.arange(256)
    colours = np.zeros((256, 3), int)
    for bit in range(8):
        colours[:, bit % 3] |= (labels >> bit & 1) << (7 - bit // 3)
    return colours.ravel().tolist()


def soft_levels(soft: np.ndarray) -> np.ndarray:
    """A soft mask (H, W) in [0, 1] as uint8 with 255 = 1. Files keep soft masks in this precision."""
    return (np.clip(soft, 0, 1) * 255).round().astype(np.uint8)
