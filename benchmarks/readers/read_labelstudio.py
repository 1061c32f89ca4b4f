"""Decodes exported tasks with Label Studio's converter. Runs in an environment that has label-studio-sdk: see
../readers.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from label_studio_sdk._extensions.label_studio_tools.core.label_config import parse_config  # type: ignore
from label_studio_sdk.converter.brush import decode_rle  # type: ignore


def main(kind: str, folder: str, classes: list[str], out: str) -> None:
    ids = {"ignore": 255, **{name: number for number, name in enumerate(classes, 1)}}
    config = parse_config(Path(folder, "label_config.xml").read_text(encoding="utf-8"))
    assert set(config["label"]["labels"]) == set(ids)
    read: dict[str, np.ndarray] = {}
    for task in json.loads(Path(folder, "tasks.json").read_text(encoding="utf-8")):
        results = task["predictions"][0]["result"]
        labels = None
        for one in results:
            assert (one["from_name"], one["type"]) == ("label", "brushlabels")
            shape = one["original_height"], one["original_width"]
            labels = np.zeros(shape, np.uint8) if labels is None else labels
            alpha = decode_rle(one["value"]["rle"]).reshape(*shape, 4)[..., 3]
            labels[alpha > 128] = ids[one["value"]["brushlabels"][0]]
        if labels is not None:
            read[task["data"]["seediff"]["name"]] = labels
    np.savez(out, allow_pickle=False, **read)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4])
