"""Where a model fails: its worst images with truth and prediction, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from ..files.palette import voc_palette
from ..report.pictures import contact_sheet, fit_side, overlay

SIDE = 240  # pixels, of the longer side of a picture


def worst(images: Mapping[str, float], most: int) -> list[str]:
    """The names of the images of lowest mean IoU, the worst first; without those that have none."""
    ranked = sorted((iou, name) for name, iou in images.items() if not np.isnan(iou))
    return [name for _, name in ranked[:most]]


def gallery(rows: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """A picture with a line for each image: itself, its truth, its prediction; (H, W, 3) uint8.

    rows: title, image (H, W, 3) uint8, truth and prediction (H, W) uint8 in ids of one protocol. Id 0 shows the image as it is where there
    is a background; ids are drawn in VOC's colours, and what is ignored or predicted as nothing in the palette's last.
    """
    tiles: list[np.ndarray] = []
    labels: list[str] = []
    for title, image, truth, predicted in rows:
        small = fit_side(image, SIDE, Image.Resampling.BILINEAR)
        tiles.append(small)
        for label_map in (truth, predicted):
            resized = np.asarray(Image.fromarray(label_map).resize((small.shape[1], small.shape[0]), Image.Resampling.NEAREST))
            tiles.append(overlay(small, resized, voc_palette(), alpha=0.6))
        labels += [title, "truth", "prediction"]
    return contact_sheet(tiles, 3, labels)
