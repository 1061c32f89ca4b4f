"""Run a page's Python and make a picture of what it drew: README's drawing, the heat map of each class, and the masks;
or the frames of the clip of docs/script.md, and their masks.

python recipes/readme_block.py sheet.jpg
python recipes/readme_block.py strip.jpg clip
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import seediff
from seediff.drawing.overlays import compress_image, contact_sheet, fit_side, overlay
from seediff.files.outputs import write_atomic

ROOT = Path(__file__).parents[1]


def run_block(page: str = "README.md", word: str = "") -> dict[str, Any]:
    """The names that a page's first block of Python with this word leaves. It writes into the current folder."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, Any] = {"seediff": seediff}
    exec(next(code for code in blocks if word in code), names)
    return names


def sheet(names: dict[str, Any]) -> np.ndarray:
    image, result, seen = names["image"], names["result"], names["seen"]
    heats = [np.asarray(seen.heatmap(name).over(image)) for name in result.classes]
    tiles = [np.asarray(image), *heats, overlay(np.asarray(image), result.label_map)]
    labels = ["image", *(f'heat map of "{name}"' for name in result.classes), f"masks: {', '.join(result.classes)}"]
    return contact_sheet([fit_side(tile, 180, Image.Resampling.BICUBIC) for tile in tiles], len(tiles), labels)


def strip(masks: list[Any]) -> np.ndarray:
    shown = [overlay(mask.pixels, mask.label_map) for mask in masks]
    frames = [f"frame {number}" for number in range(1, len(masks) + 1)]
    named = [f"mask: {', '.join(mask.classes)}" for mask in masks]
    return contact_sheet([mask.pixels for mask in masks] + shown, len(masks), frames + named)


if __name__ == "__main__":
    image = strip(run_block("docs/script.md", "clips")["masks"]) if sys.argv[2:] else sheet(run_block())
    write_atomic(Path(sys.argv[1]), compress_image(image, "JPEG", quality=90, subsampling=0))
