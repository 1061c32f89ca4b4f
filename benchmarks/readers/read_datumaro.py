"""Reads an exported dataset with Datumaro. Runs in an environment that has datumaro but not SeeDiff: see
../readers.py.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from datumaro.components.annotation import AnnotationType  # type: ignore
from datumaro.components.dataset import Dataset  # type: ignore

IGNORED = ("ignore", "ignored")


def main(kind: str, folder: str, classes: list[str], out: str) -> None:
    """kind: Datumaro's name for the format."""
    ids = {"background": 0, **dict.fromkeys(IGNORED, 255), **{name: number for number, name in enumerate(classes, 1)}}
    read: dict[str, np.ndarray] = {}
    dataset = Dataset.import_from(folder, kind)
    categories = dataset.categories()[AnnotationType.label]
    for item in dataset:
        height, width = item.media_as(type(item.media)).size
        labels = np.zeros((height, width), np.uint8)
        for one in item.annotations:
            if one.type == AnnotationType.mask:
                labels[one.image.astype(bool)] = ids[categories[one.label].name]
        read[str(item.id)] = labels
    np.savez(out, allow_pickle=False, **read)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4])
