"""Splicing: several samples as the cells of one picture, so that objects are small and several classes meet (DiffuMask's augmentation)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image


def splice(
    images: Sequence[np.ndarray], label_maps: Sequence[np.ndarray], rows: int, columns: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A picture of `size` (height, width) whose rows × columns cells are the images, row by row, each squeezed into its cell.

    images: (H, W, 3) uint8 of any sizes, label_maps: (H, W) uint8 of the same; rows · columns of each. Cells differ by at most a pixel.
    Pictures are averaged as they shrink; a pixel of a label map is the nearest one of its sample, never a mixture.
    Raises ValueError when there are not as many as cells, or the picture has fewer pixels than cells.
    """
    if not len(images) == len(label_maps) == rows * columns:
        raise ValueError(f"{len(images)} images and {len(label_maps)} label maps for {rows}×{columns} cells")
    height, width = size
    if height < rows or width < columns:
        raise ValueError(f"a picture of {height}×{width} cannot have {rows}×{columns} cells")
    image, labels = np.empty((height, width, 3), np.uint8), np.empty((height, width), np.uint8)
    tops, lefts = edges(height, rows), edges(width, columns)
    for number, (picture, label_map) in enumerate(zip(images, label_maps, strict=True)):
        row, column = divmod(number, columns)
        cell = slice(tops[row], tops[row + 1]), slice(lefts[column], lefts[column + 1])
        shape = lefts[column + 1] - lefts[column], tops[row + 1] - tops[row]
        image[cell] = np.asarray(Image.fromarray(picture).resize(shape, Image.Resampling.BILINEAR))
        labels[cell] = np.asarray(Image.fromarray(label_map).resize(shape, Image.Resampling.NEAREST))
    return image, labels


def edges(length: int, parts: int) -> list[int]:
    """Where `parts` cells of as equal lengths as can be begin and end: parts + 1 whole numbers from 0 to `length`."""
    return [length * i // parts for i in range(parts + 1)]
