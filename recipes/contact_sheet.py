"""Make one picture of a dataset: every image next to a copy with its mask overlaid, labelled with its classes and
sorted by class.

    python recipes/contact_sheet.py pets sheet.jpg --columns 4 --side 256

docs/mini.jpg is made with it; recipes/outputs.toml has the commands.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from seediff import Dataset
from seediff.config.class_names import SEGMENT
from seediff.drawing.overlays import compress_image, contact_sheet, overlay, shown_ids, shrink
from seediff.files.outputs import write_atomic


def dataset_sheet(dataset: Path, columns: int, side: int) -> np.ndarray:
    """(H, W, 3) uint8: the samples in rows of `columns`; the longer side of an image is at most `side` pixels. Raises
    UserError if the folder is not a finished dataset.
    """
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
    return contact_sheet(tiles, columns, labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder that `seediff generate` filled")
    parser.add_argument("out", type=Path, help="JPEG to write")
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--side", type=int, default=128, help="pixels of an image's longer side, at most")
    given = parser.parse_args()
    sheet = dataset_sheet(given.dataset, given.columns, given.side)
    write_atomic(given.out, compress_image(sheet, "JPEG", quality=85, subsampling=0, optimize=True))
    print(f"{given.out}: {sheet.shape[1]} × {sheet.shape[0]} pixels")


if __name__ == "__main__":
    main()
