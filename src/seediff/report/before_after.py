"""One picture of what `augment` did: for each operation a sample before and after, with the masks laid over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..files.label_maps import voc_palette
from ..files.pictures import open_picture
from .pictures import contact_sheet, encoded, overlay, shrink

SIDE = 150  # pixels, of each picture
PAIRS = 24  # at most
COLUMNS = 3  # pairs beside each other


def before_after(out: Path, rows: Sequence[Mapping[str, Any]], original: Callable[[str], tuple[np.ndarray, np.ndarray]]) -> bytes:
    """A JPEG: for each kind of recipe in the rows its first sample, the original on the left, the result on the right.

    out: folder of the dataset that the rows are of. original: image (H, W, 3) uint8 and label map (H, W) uint8 of a sample of the dataset
    that was augmented, by its name.
    """
    tiles, labels = [], []
    for row in first_of_each(rows):
        before = original(row["recipe"]["source"])
        with open_picture(out / row["file_name"]) as image, open_picture(out / row["mask"]) as mask:
            after = np.asarray(image.convert("RGB")), np.asarray(mask)
        tiles.append(contact_sheet([tile(*before), tile(*after)], 2, gap=2))
        labels.append(operations_of(row))
    return encoded(contact_sheet(tiles, COLUMNS, labels), "JPEG", quality=85, subsampling=0)


def first_of_each(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first row of each kind of recipe, at most PAIRS."""
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if name := operations_of(row):
            first.setdefault(name, row)
    return list(first.values())[:PAIRS]


def operations_of(row: Mapping[str, Any]) -> str:
    """`flip+noise`, by a row's recipe; "" for an original."""
    return "+".join(step["operation"] for step in row.get("recipe", {}).get("steps", ()))


def tile(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    small = shrink(image, SIDE, Image.Resampling.LANCZOS)
    return overlay(small, shrink(labels, SIDE, Image.Resampling.NEAREST), voc_palette(), alpha=0.4)
