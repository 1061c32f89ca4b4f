"""The YAML file of a YOLO dataset, read as Ultralytics does. `train`, `val` and `test` are each a folder of pictures, a
text file with one picture per line, or a list of these, below `path` or beside the YAML file. Without such a file, the
pictures are those in images/, and classes.txt or the option `classes` names the classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ...config.class_names import read_class_list
from ...errors import UserError
from ...files.documents import fit, read_yaml
from ...files.label_maps import visible
from ...files.messages import show_json
from .. import native
from .drivers import Export

DATA, IMAGES, LABELS = "data.yaml", "images", "labels"
ClassNumber = Annotated[int, msgspec.Meta(ge=0)]


@dataclass(frozen=True)
class YoloData:
    """What a YAML file says."""

    file: Path
    """The YAML file; for a folder without such a file, its classes.txt, which may be missing."""
    content: Mapping[str, Any]
    """Its keys. Without a YAML file, "" stands for the folder of all pictures."""
    names: Mapping[int, str]
    """Class number → name, in rising order."""


def write_data(export: Export, names: Sequence[str], more: str = "") -> None:
    """Write data.yaml, without `path`, so that readers search for folders beside it. more: lines at its end."""
    if "train" not in export.parts:  # data.yaml names its folder, and readers expect it
        (export.folder / IMAGES / "train").mkdir(parents=True, exist_ok=True)
        export.note(f"no samples for training: {IMAGES}/train is empty")
    if "val" not in export.parts:
        export.note(f"no samples for validation: val in {DATA} is the training set; --split 0.1 sets a tenth aside")
    # YAML reads JSON strings.
    listed = "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate(names))
    places = {"train": "train", "val": "train", **{split: split for split in export.parts}}
    folders = "".join(f"{split}: {IMAGES}/{part}\n" for split, part in places.items())
    export.put(DATA, f"{folders}names:\n{listed}{more}")


def find_yaml(folder: Path) -> Path:
    """data.yaml in a folder, or else its only YAML file; a file itself. Raises UserError."""
    if not folder.is_dir():
        return folder
    others = sorted(path for path in visible(folder, "*.y*ml") if path.suffix in (".yaml", ".yml"))
    if (folder / DATA).exists():
        return folder / DATA
    if len(others) == 1:
        return others[0]
    held = ", ".join(path.name for path in others[:5])
    raise UserError(folder / DATA, "no such file", f"it holds {held}: name one of them" * bool(held))


def is_data(file: Path) -> bool:
    """Whether a YAML file names classes."""
    try:
        return "names" in read_yaml(file)
    except UserError:
        return False


def read_data(path: Path, classes: Sequence[str] = ()) -> YoloData:
    """The YAML file that is `path` or in it. classes: the names for a folder that has neither such a file nor
    classes.txt. Raises UserError."""
    listed = path / native.CLASSES
    if path.is_dir() and not any(path.glob("*.y*ml")) and (listed.is_file() or classes):
        names = read_class_list(listed, first=0) if listed.is_file() else dict(enumerate(classes))
        return YoloData(listed, {"": IMAGES if (path / IMAGES).is_dir() else "."}, names)
    file = find_yaml(path)
    content = read_yaml(file)
    given = content.get("names")
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not given:
        raise UserError(file, f"'names' must list the classes, not {show_json(given)}")
    names = fit(given, dict[ClassNumber, str], f"{file}: 'names'", strict=False)
    return YoloData(file, content, dict(sorted(names.items())))
