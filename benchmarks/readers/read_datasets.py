"""Reads an exported dataset with `datasets`, which the hub's viewer uses: two columns of pictures. See
../readers.py.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from datasets import Image, load_dataset


def main(kind: str, folder: str, classes: list[str], out: str) -> None:
    loaded: Any = load_dataset(folder) if kind == "parquet" else load_dataset(kind, data_dir=folder)
    read: dict[str, np.ndarray] = {}
    for part in loaded.values():
        assert isinstance(part.features["image"], Image)
        assert isinstance(part.features["label_map"], Image)
        for row in part:
            assert row["image"].size == row["label_map"].size
            read[row["name"]] = np.asarray(row["label_map"])
    np.savez(out, allow_pickle=False, **read)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4])
