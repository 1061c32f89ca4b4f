"""Label maps and small folders laid out as data sets are distributed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from seediff.palette import voc_palette


def save_map(path: Path, ids, *, bits: int = 8, palette: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(ids, np.uint8 if bits == 8 else np.uint16))
    if palette and bits == 8:
        picture.putpalette(voc_palette())
    picture.save(path, "PNG")
    return path


def save_voc(root: Path, maps: dict, others: dict | None = None) -> Path:
    """`maps` are listed in val.txt, `others` only lie beside them."""
    for name, ids in {**maps, **(others or {})}.items():
        save_map(root / "SegmentationClass" / f"{name}.png", ids)
    listing = root / "ImageSets" / "Segmentation" / "val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("".join(f"{name}\n" for name in maps))
    return root


def save_cityscapes(root: Path, maps: dict, split: str = "val") -> Path:
    """maps: `city/name` → ids. The other files of the data set lie beside them."""
    for name, ids in maps.items():
        folder = root / "gtFine" / split
        save_map(folder / f"{name}_gtFine_labelIds.png", ids, palette=False)
        save_map(folder / f"{name}_gtFine_instanceIds.png", np.asarray(ids) * 1000, bits=16)
        Image.new("RGB", (2, 2)).save(folder / f"{name}_gtFine_color.png")
    return root
