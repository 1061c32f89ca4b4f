"""Make one picture of a dataset: every image next to a copy with its mask overlaid, labelled with its classes and
sorted by class.

    python recipes/contact_sheet.py pets sheet.jpg
    python recipes/contact_sheet.py pets sheet.png --columns 4 --count 12 --side 256

docs/mini.jpg is made with it; docs/mini.md has the command.
"""

from __future__ import annotations

import argparse
import io
import sys
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from seediff.dataset.store import read_dataset
from seediff.errors import UserError
from seediff.files.label_maps import voc_palette
from seediff.files.outputs import write_atomic
from seediff.report.pictures import contact_sheet, overlay, shrink

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


def dataset_sheet(dataset: Path, *, columns: int, side: int, count: int | None = None) -> np.ndarray:
    """(H, W, 3) uint8: the first `count` samples (None: all) in rows of `columns`; the longer side of an image is at
    most `side` pixels.

    Raises UserError if the folder is not a finished dataset or has no samples.
    """
    tiles, labels = [], []
    for sample in sorted(islice(read_dataset(dataset), count), key=lambda sample: sample.metadata["class_ids"]):
        laid_over = overlay(sample.image, sample.label_map, voc_palette())
        tiles.append(np.hstack([shrink(picture, side, Image.Resampling.BOX) for picture in (sample.image, laid_over)]))
        labels.append(", ".join(sample.metadata["classes"]))
    if not tiles:
        raise UserError(f"{dataset}: no samples to show")
    return contact_sheet(tiles, columns, labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder that `seediff generate` filled")
    parser.add_argument("out", type=Path, help=f"picture to write: {', '.join(FORMATS)}")
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--side", type=int, default=128, help="pixels of an image's longer side, at most")
    parser.add_argument("--count", type=int, help="samples to show, from the first; all by default")
    given = parser.parse_args()
    if given.out.suffix.lower() not in FORMATS:
        parser.error(f"{given.out}: must end in one of {', '.join(FORMATS)}")
    if min(given.columns, given.side, 1 if given.count is None else given.count) < 1:
        parser.error("--columns, --side and --count must be at least 1")
    buffer = io.BytesIO()
    try:
        sheet = dataset_sheet(given.dataset, columns=given.columns, side=given.side, count=given.count)
        Image.fromarray(sheet).save(buffer, FORMATS[given.out.suffix.lower()], quality=85, subsampling=0, optimize=True)
        write_atomic(given.out, buffer.getvalue())
    except (UserError, OSError) as error:
        sys.exit(str(error))
    print(f"{given.out}: {sheet.shape[1]} × {sheet.shape[0]} pixels, {buffer.tell() / 1000:.0f} kB")


if __name__ == "__main__":
    main()
