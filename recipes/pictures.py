"""Make the pictures of the pages; recipes/outputs.toml has the commands.

python recipes/pictures.py sheet pets sheet.jpg --columns 4 --side 256    # each image beside its mask, by class
python recipes/pictures.py block block.jpg                                # what README's Python draws
python recipes/pictures.py clip clip.jpg                                  # the frames of the clip of docs/script.md
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from cyclopts import App
from PIL import Image

import seediff
from seediff import Dataset
from seediff.config.class_names import SEGMENT
from seediff.drawing.colours import shown_ids
from seediff.drawing.overlays import contact_sheet, fit_side, overlay, shrink
from seediff.files.image_files import compress_image
from seediff.files.outputs import write_atomic

ROOT = Path(__file__).parents[1]
app = App(help=__doc__, help_format="plaintext")


@app.command
def sheet(dataset: Path, out: Path, *, columns: int = 6, side: int = 128) -> None:
    """A dataset's images, each beside a copy with its mask, in rows of `columns`, sorted by class. side: pixels of an
    image's longer side, at most. Raises UserError if the folder is not a finished dataset."""
    tiles, labels = [], []
    for sample in sorted(Dataset.open(dataset), key=lambda sample: sample.metadata["class_ids"]):
        ids, numbers = sample.label_map, None
        if sample.instances is not None:
            numbers, named = sample.instances.numbers, set(sample.metadata["classes"]) - {SEGMENT}
            ids = shown_ids(ids, numbers, 1, alone=not named) if SEGMENT in sample.metadata["classes"] else ids
        laid_over = overlay(sample.image, ids, numbers)
        tiles.append(np.hstack([shrink(image, side, Image.Resampling.BOX) for image in (sample.image, laid_over)]))
        named = [name for name in sample.metadata["classes"] if name != SEGMENT]
        labels.append(", ".join(named) or ("" if SEGMENT in sample.metadata["classes"] else "nothing found"))
    write(out, contact_sheet(tiles, columns, labels), quality=85)


def run_block(page: str = "README.md", word: str = "") -> dict[str, Any]:
    """The names that a page's first block of Python with this word leaves. It writes into the current folder."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, Any] = {"seediff": seediff}
    exec(next(code for code in blocks if word in code), names)
    return names


@app.command
def block(out: Path) -> None:
    """README's drawing, the heat map of each class, and the masks."""
    names = run_block()
    image, result, seen = names["image"], names["result"], names["seen"]
    heats = [np.asarray(seen.heatmap(name).over(image)) for name in result.classes]
    tiles = [np.asarray(image), *heats, overlay(np.asarray(image), result.label_map, dim=0.5)]
    labels = ["image", *(f'heat map of "{name}"' for name in result.classes), f"masks: {', '.join(result.classes)}"]
    write(out, contact_sheet([fit_side(tile, 180, Image.Resampling.BICUBIC) for tile in tiles], len(tiles), labels))


@app.command
def clip(out: Path) -> None:
    """The frames of the clip of docs/script.md above their masks."""
    masks = run_block("docs/script.md", "clips")["masks"]
    shown = [overlay(mask.pixels, mask.label_map) for mask in masks]
    frames = [f"frame {number}" for number in range(1, len(masks) + 1)]
    named = [f"mask: {', '.join(mask.classes)}" for mask in masks]
    write(out, contact_sheet([mask.pixels for mask in masks] + shown, len(masks), frames + named))


def write(out: Path, picture: np.ndarray, quality: int = 90) -> None:
    """Write a JPEG. picture: (H, W, 3) uint8."""
    write_atomic(out, compress_image(picture, "JPEG", quality=quality, subsampling=0, optimize=True))
    print(f"{out}: {picture.shape[1]} × {picture.shape[0]} pixels")


if __name__ == "__main__":
    app()
