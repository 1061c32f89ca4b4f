"""YOLO's folders, in: what a data.yaml names, as Ultralytics reads it, but for what lies outside of its folder.

data.yaml        or another YAML file: `train`, `val` and `test`, each a folder of pictures, a list of them, or a text file of pictures,
                 one per line; below `path`, or beside the file; and `names`, a list or numbers with names, which may leave numbers out
labels/…/NAME.txt    beside images/…/NAME.jpg: the last `images` of a path is `labels`. A picture without one shows nothing
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import UserError, first_line
from ....files.documents import read_yaml
from ....files.messages import shown
from ....files.reading import LIST, read_lines, read_text
from ...rows import check_class_list, check_name
from ...sample import SPLITS, Sample, picture_size
from ..exporting import no_note
from .writing import DATA, IMAGES, LABELS, from_yolo

PICTURES = ("bmp", "dng", "heic", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp")
"""What the format calls a picture; we read PNG and JPEG."""
MAX_CLASS = 1 << 31
MOST_FOLDERS = 100
"""That a split may name: each is searched."""


@dataclass(frozen=True)
class Place:
    """Where a set is. file: its YAML. roots: resolved folders that its pictures must lie in. images: the folder that the user named."""

    file: Path
    base: str
    roots: tuple[Path, ...]
    images: Path | None

    def inside(self, path: Path) -> bool:
        try:
            return any(path.resolve().is_relative_to(root) for root in self.roots)
        except (OSError, RuntimeError, ValueError):
            return False


@dataclass(frozen=True)
class Found:
    """A picture of a split, the name of its sample, and the path that its label file follows from."""

    path: Path
    split: str
    name: str
    labels: Path


def import_yolo(
    source: Path | str, *, split: str | None = None, images: Path | str | None = None, note: Callable[[str], None] = no_note
) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes, without the background, and samples of a YOLO folder, or of the folder whose YAML file is named.

    split: "train", "val" or "test"; None: all that the file has. A row's `split` says which. A name that two splits have gets its split
    in front. images: where the pictures are, when `images` is a link that leads out of the folder, or they lie elsewhere: without it,
    nothing outside is read. A picture without a label file shows background, which `note` is told.
    Raises UserError naming the file and line of what is not there or not inside the folder.
    """
    source = Path(source)
    file = find_yaml(source) if source.is_dir() else source
    data = read_yaml(file, dict[str, Any])
    numbers, classes = class_names(data.get("names"), file)
    place, found = find_pictures(file, data, split, images)
    return classes, _items(found, numbers, place, note)


def find_pictures(file: Path, data: Mapping[str, Any], split: str | None, images: Path | str | None) -> tuple[Place, list[Found]]:
    """Where a set is, and the pictures that its YAML, which is `data`, names in a split, or in all. Raises UserError."""
    if split is not None and split not in SPLITS:
        raise UserError(f"split '{split}': must be one of {', '.join(SPLITS)}")
    wanted = [name for name in SPLITS if data.get(name) and split in (None, name)]
    if not wanted:
        raise UserError(f"{file}: has no '{split or 'train'}', the folder of the pictures")
    given = Path(images) if images is not None else None
    roots = tuple(one.resolve() for one in (file.parent, given) if one is not None)
    place = Place(file, str(data.get("path") or "."), roots, given)
    found: dict[Path, Found] = {}  # of a picture that two splits name, the first counts
    for one in wanted:
        entries = data[one] if isinstance(data[one], list) else [data[one]]
        if len(entries) > MOST_FOLDERS:
            raise UserError(
                f"{file}: '{one}' names {len(entries)} folders; at most {MOST_FOLDERS} are read: list the pictures in a text file"
            )
        for entry in entries:
            for picture in _pictures(place, one, entry):
                found.setdefault(picture.path, picture)
    return place, list(found.values())


def find_yaml(folder: Path) -> Path:
    """data.yaml, else the only YAML file, or that of the folder's name. Raises UserError."""
    if (folder / DATA).exists():
        return folder / DATA
    others = sorted(path for path in folder.glob("*.y*ml") if path.suffix in (".yaml", ".yml") and path.is_file())
    named = [path for path in others if path.stem == folder.resolve().name]
    chosen = others if len(others) == 1 else named
    if len(chosen) != 1:
        listed = f"; it holds {', '.join(path.name for path in others[:5])}: name the one that is meant" if others else ""
        raise UserError(f"{folder / DATA}: there is no such file{listed}")
    return chosen[0]


def label_file(picture: Path, folder: str = LABELS, suffix: str = ".txt") -> Path:
    """Where a picture's labels are: the last `images` in its path becomes `folder`; without one, beside it."""
    parts = list(picture.with_suffix(suffix).parts)
    if IMAGES in parts:
        parts[len(parts) - 1 - parts[::-1].index(IMAGES)] = folder
    return Path(*parts)


def _items(found: Sequence[Found], numbers: Sequence[int], place: Place, note: Callable[[str], None]) -> list[Sample]:
    items: list[Sample] = []
    without = 0
    for name, one in named(found, place):
        label = label_file(one.labels)
        exists = label.exists()
        without += not exists
        items.append(_item(name, one, label if exists else None, numbers))
    if items and without == len(items):
        raise UserError(f"{found[0].path}: has no label file {label_file(found[0].labels)}, and no other picture has one")
    if without:
        note(f"{without} of {len(items)} pictures have no label file: they show background alone")
    return items


def named(found: Sequence[Found], place: Place) -> Iterator[tuple[str, Found]]:
    """The pictures with the names of their samples: where two splits have a name, with the split in front. Raises UserError for a name that
    cannot be, and for a picture outside of the set."""
    counts = Counter(one.name for one in found)
    taken: set[str] = set()
    for one in found:
        name = f"{one.split}/{one.name}" if counts[one.name] > 1 else one.name
        try:
            check_name(name, taken)
        except UserError as error:
            raise UserError(f"{one.path}: {error}") from error
        if not place.inside(one.path):
            raise UserError(
                f"{one.path}: is a link that leads out of {place.file.parent}; --images names a folder elsewhere that may be read"
            )
        yield name, one


def _item(name: str, found: Found, label: Path | None, numbers: Sequence[int]) -> Sample:
    def read() -> np.ndarray:
        shape = picture_size(found.path)
        return from_yolo(read_text(label, LIST), shape, numbers, label) if label else np.zeros(shape, np.uint8)

    return Sample(found.path, read, metadata={"split": found.split}, name=name)


def _pictures(place: Place, split: str, entry: Any) -> list[Found]:
    """The pictures of one of a split's entries: of a folder, or of a text file that lists them."""
    if not isinstance(entry, str):
        raise UserError(f"{place.file}: '{split}' must name a folder of pictures beside it, not {shown(entry)}")
    beside, base = place.file.parent, place.base
    # Its own place first, then beside the YAML: `path` is often that of another machine, and some write ../train/images for it.
    tried = [(beside / base / entry, None), (beside / entry, None), (beside / entry.removeprefix("../"), None)]
    if place.images is not None:
        inner = entry.replace("\\", "/").removeprefix("./").removeprefix("../").partition(f"{IMAGES}/")[2]
        tried += [(place.images / part, beside / entry) for part in ((inner,) if inner else ()) + (entry, "")]
    outside: Path | None = None
    for path, lexical in tried:
        try:
            kind = "folder" if path.is_dir() else "list" if path.suffix.lower() == ".txt" and path.is_file() else None
        except (OSError, ValueError) as error:  # such as a null byte
            raise UserError(f"{place.file}: '{split}' is not a path: {shown(entry)} ({first_line(error)})") from error
        if kind and not place.inside(path):
            outside = outside or path
        elif kind == "list":
            return _listed(place, split, path)
        elif kind == "folder":
            return _below(path, split, lexical or path)
    if outside is not None and Path(os.path.normpath(outside)).is_relative_to(os.path.normpath(beside)):  # through a link
        raise UserError(
            f"{place.file}: '{split}' leads out of its folder, to {outside.resolve()}; --images {outside.resolve()} has it read there"
        )
    raise UserError(f"{place.file}: '{split}' must name a folder of pictures beside it, not {shown(entry)}")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower().removeprefix(".") in PICTURES and not path.name.startswith(".")


def _below(folder: Path, split: str, lexical: Path) -> list[Found]:
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if _is_picture(path)]
    return [Found(folder / name, split, name.with_suffix("").as_posix(), lexical / name) for name in names]


def _listed(place: Place, split: str, file: Path) -> list[Found]:
    """The pictures that a text file lists: relative to it, to `path` or to the YAML; of an absolute path of another machine, what is from
    its last `images` on. Raises UserError naming the line."""
    beside = place.file.parent
    paths: list[Path] = []
    for number, line in enumerate(read_lines(file), 1):
        if not (text := line.strip()):
            continue
        inner = text.rpartition(f"{IMAGES}/")[2]
        moved = [beside / place.base / IMAGES / inner, beside / IMAGES / inner, *([place.images / inner] if place.images else [])]
        tried = [file.parent / text, beside / place.base / text, beside / text, *moved]
        try:
            chosen = next((path for path in tried if path.is_file() and place.inside(path)), None)
        except (OSError, ValueError):  # a null byte, or too long
            chosen = None
        if chosen is None or not _is_picture(chosen):
            raise UserError(f"{file}, line {number}: there is no picture {shown(text)} inside {beside}")
        paths.append(Path(os.path.normpath(chosen)))
    if not paths:
        raise UserError(f"{file}: lists no pictures")
    common = Path(os.path.commonpath([path.parent for path in paths]))
    return [Found(path, split, path.relative_to(common).with_suffix("").as_posix(), path) for path in paths]


def class_names(names: Any, file: Path) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The numbers of the classes in label files, rising, and their names."""
    numbered = numbered_names(names, file)
    try:
        check_class_list(tuple(numbered.values()))
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    return tuple(numbered), tuple(numbered.values())


def numbered_names(names: Any, file: Path) -> dict[int, str]:
    """What a YAML's `names` calls its classes, by their numbers, rising. Raises UserError."""
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, Mapping) or not names:
        raise UserError(f"{file}: 'names' must list the classes, not {shown(names)}")
    numbered: dict[int, str] = {}
    for key, name in names.items():
        number = int(key) if isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 10 else key
        if type(number) is not int or not 0 <= number < MAX_CLASS or number in numbered:
            raise UserError(f"{file}: 'names' must number each class once, by whole numbers from 0 on, not {shown(key)}")
        if isinstance(name, (dict, list)):
            raise UserError(f"{file}: 'names' must give class {number} a name, not {shown(name)}")
        numbered[number] = str(name)
    return dict(sorted(numbered.items()))
