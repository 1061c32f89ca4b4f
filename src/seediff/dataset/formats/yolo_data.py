"""What a YOLO dataset's YAML file names: the classes, and the folders of pictures of its splits.

`train`, `val` and `test` in the file each name a folder of pictures, a text file with one picture per line, or a list
of these; `validation` means `val`, as other names in parts.py do. Their paths are relative to the folder `path`, or
else to the YAML file, and must lead into the set. Without a YAML file, the pictures are in images/, whose folders may
be called like splits, and the names of the classes are in classes.txt or in the option `classes`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ...config.class_names import parse_class_list
from ...errors import UserError
from ...files.label_maps import visible
from ...files.messages import show_json
from ...files.reading import fit
from ...rows.parts import part_of
from .. import native
from .drivers import Import, Pair
from .exporting import Export
from .pictures import portable
from .set_files import SetFiles

DATA, IMAGES, LABELS = "data.yaml", "images", "labels"
YOLO_SUFFIXES = (".bmp", ".dng", ".heic", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")
"""Suffixes of pictures in YOLO datasets. SeeDiff reads only PNG and JPEG files."""
ClassNumber = Annotated[int, msgspec.Meta(ge=0)]


def write_data(export: Export, names: Sequence[str], more: str = "") -> None:
    """Writes data.yaml without the key `path`: programs then search for the folders beside the file. names: the
    classes, numbered from 0. more: lines to add at the end."""
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


@dataclass(frozen=True)
class YoloData:
    """What a YAML file says."""

    file: Path
    """The YAML file; for a folder without such a file, its classes.txt, which may be missing."""
    content: Mapping[str, Any]
    """The file's keys and values."""
    names: Mapping[int, str]
    """Class number → name, in rising order."""
    entries: Sequence[tuple[str, str]]
    """(split, folder or list of pictures as written). The folder of all pictures has the split ""."""


def read_data(files: SetFiles, path: Path, classes: Sequence[str] = ()) -> YoloData:
    """What a YAML file says. path: the file, or its folder, which has a data.yaml or a single YAML file. classes: the
    names for a folder that has neither a YAML file nor classes.txt. Raises UserError."""
    listed, found = path / native.CLASSES, sorted(visible(path, "*.y*ml")) if path.is_dir() else [path]
    if not found and (classes or listed.is_file()):
        names = parse_class_list(files.lines(listed), listed, first=0) if listed.is_file() else dict(enumerate(classes))
        return YoloData(listed, {}, names, [("", IMAGES if (path / IMAGES).is_dir() else ".")])
    file = found[0] if len(found) == 1 else path / DATA
    content = files.yaml(file)
    given = content.get("names")
    if not given:
        raise UserError(file, f"'names' must list the classes, not {show_json(given)}")
    given = dict(enumerate(given)) if isinstance(given, list) else given
    names = fit(given, dict[ClassNumber, str], f"{file}: 'names'", strict=False)
    named = {key: value for key, value in content.items() if part_of(key) and value}
    entries: list[tuple[str, str]] = []
    for key, value in fit(named, dict[str, str | list[str]], str(file)).items():
        entries += [(part_of(key) or "", text) for text in ([value] if isinstance(value, str) else value)]
    return YoloData(file, content, dict(sorted(names.items())), entries)


def find_images(source: Import, data: YoloData, images: Path | None) -> list[Pair]:
    """The pictures of a dataset, each once, with their label files, which may not exist. data: what the YAML file says.
    images: the folder of all pictures, if the user named it; their label files are then in labels/.

    A label file without a picture counts as a missing picture, because its labels would be lost silently. A picture in
    several splits belongs to the last of them. Raises UserError.
    """
    root, places, found = data.file.parent, list[tuple[Path, str]](), dict[Path, Pair]()
    for split, text in data.entries if images is None else ():
        place = _locate(source.files, data, text)
        if place is None:
            source.note(f"{data.file.name}: {text} is not in {root}, and is left out")
        else:
            places.append((place, split))
    if images is not None:
        places = [(images, "")]
    if not places:
        raise UserError(data.file, f"names no pictures in {root}", "--images names their folder")
    read, folders = list[set[Path]](), dict[Path, Path]()
    for place, split in places:
        pictures, base = sorted(filter(_is_image, place.rglob("*"))), place
        if place.is_file():
            pictures = _in_list(source.files, data, place)
            base = Path(os.path.commonpath([root, *(path.parent for path in pictures)][bool(pictures) :]))
        if {*pictures} in read:  # many files have `val: images/train`, because there is no other
            continue
        read.append({*pictures})
        for path in pictures:
            name = path.relative_to(base).with_suffix("").as_posix()
            labels = root / LABELS / f"{name}.txt" if images is not None else label_file(path)
            found[path] = Pair(split or None, name, source.files.inside(path), source.files.inside(labels))
            folders[labels.parent] = path.parent
    used = {pair.labels for pair in found.values()}
    for folder, of_pictures in sorted(folders.items()):
        pictured = {path.stem for path in of_pictures.iterdir() if _is_image(path)}
        for path in sorted(visible(folder, "*.txt")) if LABELS in folder.parts else ():
            if path not in used and path.stem not in pictured and path.name != native.CLASSES:
                source.leave_out(path, path.stem, [of_pictures])
    return [*found.values()]


def _in_list(files: SetFiles, data: YoloData, path: Path) -> list[Path]:
    """The pictures that a text file lists. Raises UserError for one that is not in the set."""
    located = [(line.strip(), _locate(files, data, line.strip())) for line in files.lines(path) if line.strip()]
    for line, found in located:
        if found is None:
            raise UserError(path, f"{line}: no such picture in {data.file.parent}")
    return [found for _, found in located if found is not None]


def label_file(picture: Path) -> Path:
    """The label file of a picture: labels/train/a.txt for images/train/a.jpg. The last folder named `images` is
    replaced. The label file of a picture in no such folder is beside the picture."""
    parts = [*picture.with_suffix(".txt").parts]
    if IMAGES in parts:
        parts[len(parts) - 1 - parts[::-1].index(IMAGES)] = LABELS
    return Path(*parts)


def _locate(files: SetFiles, data: YoloData, text: str) -> Path | None:
    """The file or folder in the set that a path in a YAML file or a list means; None if it is not there. text: the path
    as it is written, for example `../train/images` for train/images, or with folders of another machine."""
    root, name = data.file.parent, os.path.normpath(portable(text))
    inner = f"/{name}".rpartition(f"/{IMAGES}/")[2].removeprefix("/")
    bases = (root / str(data.content.get("path") or "."), root)
    for path in (*(base / name for base in bases), root / name.removeprefix("../"), root / IMAGES / inner):
        if path.exists() and files.holds(path):
            return Path(os.path.normpath(path))
    return None


def _is_image(path: Path) -> bool:
    """Whether a path is a picture that is not hidden."""
    return path.suffix.lower() in YOLO_SUFFIXES and not path.name.startswith(".") and path.is_file()
