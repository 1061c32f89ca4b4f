"""Where a COCO data set keeps things: which JSON files are read of a folder, which part of the data each is, and where its pictures are.

annotations/instances_val2017.json       pictures in val2017/, COCO's own; person_keypoints_, stuff_ and panoptic_ likewise
annotations/instances_train.json         pictures in images/train/, as Datumaro and others write it, or all in images/, as we do
train/_annotations.coco.json             Roboflow: beside their pictures; valid/ and test/ beside train/
labels.json, or another single file      pictures in images/, data/ or beside it
"""

from __future__ import annotations

import re
from pathlib import Path

from ....errors import UserError

IMAGES, ANNOTATIONS = "images", "annotations"
INSTANCES, SEMANTIC, PANOPTIC = "instances", "semantic", "panoptic"

ROBOFLOW = "_annotations.coco.json"
KINDS = (SEMANTIC, INSTANCES, "person_keypoints", PANOPTIC, "stuff")
"""What names of files begin with. The first kind that a folder has is read."""
PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""What data sets call their parts, and what we do."""


def is_folder(folder: Path) -> bool:
    return (folder / ANNOTATIONS).is_dir() or any(folder.glob("*.json")) or any(folder.glob(f"*/{ROBOFLOW}"))


def find_annotations(source: Path) -> list[Path]:
    """The JSON files of a folder that belong together, or the file itself. Raises UserError."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"{source}: there is no such folder or JSON file")
    folder = source / ANNOTATIONS if (source / ANNOTATIONS).is_dir() else source
    for kind in KINDS:
        if files := _files(folder, f"{kind}*.json"):
            return files
    if files := _files(folder, ROBOFLOW) or _files(source, f"*/{ROBOFLOW}"):
        return files
    others = [path for path in _files(folder, "*.json") if not path.name.startswith(("captions", "image_info", "labels_"))]
    parts = [path for path in others if part_of(path)]
    if parts or len(others) == 1:
        return parts or others
    listed = f": it holds {', '.join(path.name for path in others[:5])}" if others else ""
    raise UserError(f"{folder}: has no {SEMANTIC}*.json or {INSTANCES}*.json; name the JSON file itself{listed}")


def _files(folder: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(folder.glob(pattern)) if path.is_file()]


def part_of(path: Path) -> str | None:
    """ "train", "val" or "test", as the file's name says, or, where every part has a folder of its own, that folder's."""
    words = path.parent.name if path.name == ROBOFLOW else path.stem
    last = re.fullmatch(r"(?:.*[_-])?([a-z]+)(?:19|20)?\d*", words.lower())
    return PARTS.get(last[1]) if last else None


def picture_folders(root: Path, path: Path, images: Path | None) -> list[Path]:
    """Where the pictures of a file may be, the likeliest first. root: the folder that is read. images: as the user says."""
    stem = path.stem
    rest = next((stem.removeprefix(f"{kind}_") for kind in KINDS if stem.startswith(f"{kind}_")), stem)
    parts = list(dict.fromkeys(("" if rest in KINDS else rest, rest.rpartition("_")[2])))
    parts = [part for part in parts if part and part not in (".", "..")]
    if images is not None:
        return [images, *(images / part for part in parts)]
    above = path.parent.parent if path.parent.name == ANNOTATIONS else path.parent
    folders = [path.parent] if path.name == ROBOFLOW else []
    for base in dict.fromkeys((root, above)):
        folders += [base / IMAGES / part for part in parts] + [base / IMAGES, *(base / part for part in parts), base / "data", base]
    return list(dict.fromkeys((*folders, path.parent)))
