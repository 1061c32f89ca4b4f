"""Reads an exported dataset with FiftyOne's importer, without its database. Runs in an environment that has fiftyone:
see ../readers.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from fiftyone.utils.data.importers import ImageSegmentationDirectoryImporter  # type: ignore


def main(kind: str, folder: str, classes: list[str], out: str) -> None:
    read: dict[str, np.ndarray] = {}
    for images in Path(folder, "images").iterdir():
        masks = Path(folder, "masks", images.name)
        with ImageSegmentationDirectoryImporter(
            data_path=str(images), labels_path=str(masks), load_masks=True
        ) as importer:
            for path, _, segmentation in importer:
                name = Path(path).resolve().relative_to(images.resolve()).with_suffix("").as_posix()
                read[name] = np.asarray(segmentation.mask)
    np.savez(out, allow_pickle=False, **read)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4])
