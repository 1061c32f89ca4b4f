"""Reads and writes the native dataset, the folder that `generate` and `mask` write.

    out/  README.md          the dataset card
          seediff.toml       the exact configuration
          classes.txt        line i (from 0) = id i
          metadata.jsonl     one row per sample
          rejected.jsonl     with --reject: every draw that was not kept
          preview.html       some pictures with their masks, and steps/; for a browser without a server
          images/NAME.png    or .jpg
          masks/NAME.png     palette PNG: 0 background, 255 ignore, else class id
          instances/NAME.png             optional: object numbers, 16-bit grey, 0 for no object; a row's `instances`
                                         holds their class ids, and `instance_scores` their scores, if known
          soft/NAME_3.png                optional: soft mask of class id 3, 8-bit grey, 255 = 1
          attention/NAME.safetensors     optional: AttentionMaps
          steps/NAME_3.png               a few samples: every step of class 3's mask, in one picture
          made/1f0c….toml    in a set that was filtered, split or merged: the configurations that made its masks; `made`
                             in a row names its file

A row: file_name and mask (paths in the folder), prompt, classes and their class_ids, seed, attempt, flags, area (share
of the image in [0, 1] of each class), model, method, version. `generate` numbers
its samples, and a number is missing if every draw failed; `mask` keeps the names of the photographs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..config.names import BACKGROUND, read_class_list
from ..errors import UserError
from ..files.label_maps import IGNORE as IGNORE
from ..files.outputs import CONFIG as CONFIG  # re-exported: also a name of this format
from ..files.photographs import without_suffix
from ..files.reading import inside
from .encoding import encode_image as encode_image  # re-exported: how the format encodes pictures
from .encoding import encode_mask as encode_mask
from .encoding import encode_soft as encode_soft
from .encoding import read_label_map as read_label_map
from .rows import check_class_list, checked_rows
from .sample import MADE as MADE
from .sample import SOFT as SOFT

CARD, CLASSES, METADATA = "README.md", "classes.txt", "metadata.jsonl"
REJECTED, PREVIEW = "rejected.jsonl", "preview.html"
IMAGES, MASKS, INSTANCES, ATTENTION, STEPS = "images", "masks", "instances", "attention", "steps"
EXTRAS = (SOFT, ATTENTION, STEPS)
"""Folders of optional files of a sample, besides its picture and label map."""
ABSENT = "no such file; a finished SeeDiff dataset has one"


_MADE = re.compile(rf"{MADE}/[0-9a-f]{{16}}\.toml|{re.escape(CONFIG)}")


def made_by(folder: Path, made: str | None) -> Path | None:
    """The configuration that made a mask, which `made` in its row names, or else the set's own; None without one.
    Raises UserError if a row names one that is not there."""
    path = inside(folder, made or CONFIG)
    if path.is_file() and _MADE.fullmatch(made or CONFIG):
        return path
    if made is not None:
        raise UserError(path, "is not there, but a row's `made` names it", "restore it, or remove the key from the row")
    return None


def sample_name(file_name: str) -> str:
    """The name of a sample from its picture's path in the dataset: `images/trip/1.png` → `trip/1`."""
    return without_suffix(file_name).removeprefix(f"{IMAGES}/")


def sample_files(name: str, image_format: str) -> tuple[str, str]:
    """The paths of a sample's picture and label map."""
    return f"{IMAGES}/{name}.{image_format}", f"{MASKS}/{name}.png"


def dataset_labels(label_map: np.ndarray, class_ids: Sequence[int]) -> np.ndarray:
    """(H, W) uint8: a label map with id i + 1 for the i-th of `class_ids`, from 0, and 255, in the dataset's ids."""
    table = np.zeros(256, np.uint8)
    table[1 : len(class_ids) + 1] = class_ids
    table[IGNORE] = IGNORE
    return table[label_map]


def jsonl(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """One JSON object per line, with the keys in the order of the row."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


def classes_text(classes: Sequence[str]) -> bytes:
    """classes.txt: the background and every class, one per line, in the order of their ids."""
    return "".join(name + "\n" for name in (BACKGROUND, *classes)).encode("utf-8")


def read_classes(out: Path | str) -> tuple[str, ...]:
    """The classes of a dataset without the background; the i-th, from 0, has id i + 1."""
    path = Path(out) / CLASSES
    names = read_class_list(path, first=0, absent=ABSENT)
    if names.get(0) != BACKGROUND or [*names] != [*range(len(names))]:
        raise UserError(path, f"the first line must be '{BACKGROUND}', the name of id 0, and line i the name of id i")
    classes = tuple(names.values())[1:]
    check_class_list(classes, path)
    return classes


def read_rows(out: Path | str, name: str = METADATA) -> list[dict[str, Any]]:
    """The rows of metadata.jsonl, which name a picture and a mask, or of another file, checked."""
    rows = list(checked_rows(path := Path(out) / name, ABSENT))
    for number, row in enumerate(rows if name == METADATA else (), 1):
        if not row.get("file_name") or not row.get("mask"):
            problem = "needs 'file_name' and 'mask', the paths of two pictures inside the dataset"
            raise UserError(f"{path}, row {number}", problem)
    return rows
