"""Reads an exported dataset with Ultralytics' data loader. Runs in an environment that has ultralytics: see
../readers.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from ultralytics.cfg import get_cfg  # type: ignore
from ultralytics.data.build import build_yolo_dataset  # type: ignore
from ultralytics.data.utils import check_det_dataset  # type: ignore


def main(kind: str, folder: str, classes: list[str], out: str) -> None:
    data = check_det_dataset(str(Path(folder, "data.yaml")), autodownload=False)
    assert list(data["names"].values()) == ["background", *classes]
    read: dict[str, np.ndarray] = {}
    for split in ("train", "val"):
        images = Path(data[split])
        dataset = build_yolo_dataset(
            get_cfg(overrides={"task": "semantic", "cache": False}), str(images), 4, data, mode="val"
        )
        assert type(dataset).__name__ == "SemanticDataset"
        for number, label in enumerate(dataset.labels):
            name = Path(label["im_file"]).resolve().relative_to(images.resolve()).with_suffix("").as_posix()
            read[name] = dataset.load_mask(number)
    np.savez(out, allow_pickle=False, **read)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4])
