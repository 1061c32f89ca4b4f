"""README's first picture: the folder that `seediff generate` filled beside the first pictures with their masks.

python recipes/readme_folder.py pets sheet.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seediff import Dataset
from seediff.drawing.overlays import compress_image, contact_sheet, fit_side, overlay
from seediff.files.outputs import write_atomic

SHOWN, SIDE, WIDTH = 4, 176, 320


def listing(folder: Path) -> list[str]:
    """A line for the folder, and one for each file and subfolder in it that is not hidden."""
    lines = [f"{folder.name}/"]
    shown = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for path in sorted(shown, key=lambda path: (path.is_file(), path.name)):
        inside = sorted(one.name for one in path.iterdir()) if path.is_dir() else []
        lines.append(f"{path.name}/   {inside[0]} … {inside[-1]}" if inside else path.name)
    return lines


def sheet(folder: Path) -> np.ndarray:
    """(H, W, 3) uint8: the listing at the left, pictures above the same with their masks and classes at the right."""
    pictures, masks, names = [], [], []
    for sample in list(Dataset.open(folder))[:SHOWN]:
        pictures.append(fit_side(sample.image, SIDE, Image.Resampling.LANCZOS))
        labels = fit_side(sample.label_map, SIDE, Image.Resampling.NEAREST)
        masks.append(overlay(pictures[-1], labels))
        names.append(", ".join(sample.metadata["classes"]))
    right = contact_sheet(pictures + masks, SHOWN, [*[""] * SHOWN, *names])
    left = Image.new("RGB", (WIDTH, right.shape[0]), "white")
    draw = ImageDraw.Draw(left)
    for number, line in enumerate(listing(folder)):
        draw.text((12 + 20 * (number > 0), 16 + 34 * number), line, "black", ImageFont.load_default(16))
    return np.hstack([np.asarray(left), right])


if __name__ == "__main__":
    write_atomic(Path(sys.argv[2]), compress_image(sheet(Path(sys.argv[1])), "JPEG", quality=90, subsampling=0))
