"""Run README's Python and make a picture of what it drew: the drawing, the heat map of each class, and the masks.

python recipes/readme_block.py sheet.jpg
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seediff.drawing.overlays import compress_image, contact_sheet, fit_side, overlay
from seediff.files.label_maps import voc_palette
from seediff.files.outputs import write_atomic

README = Path(__file__).parents[1] / "README.md"


def run_block() -> dict[str, Any]:
    """The names that README's first block of Python leaves. It writes into the current folder."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S)[:1]
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def sheet(names: dict[str, Any], side: int = 180) -> np.ndarray:
    image, result, seen = names["image"], names["result"], names["seen"]
    heats = [np.asarray(seen.heatmap(name).over(image)) for name in result.classes]
    tiles = [np.asarray(image), *heats, overlay(np.asarray(image), result.label_map, voc_palette())]
    labels = ["image", *(f'heat map of "{name}"' for name in result.classes), "masks"]
    return contact_sheet([fit_side(tile, side, Image.Resampling.BICUBIC) for tile in tiles], len(tiles), labels)


if __name__ == "__main__":
    write_atomic(Path(sys.argv[1]), compress_image(sheet(run_block()), "JPEG", quality=90, subsampling=0))
