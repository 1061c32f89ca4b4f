"""What a YOLO dataset's YAML file names: the pictures of its splits, the paths of their labels, and the classes.

Reading follows data.yaml, or another YAML file, as Ultralytics does, except for files outside its folder. `train`,
`val` and `test` are each a folder of pictures, a text file with one picture per line, or a list of these, below `path`
or beside the YAML file. `names` is a list, or maps numbers to names, and may leave numbers out. The labels of
images/…/NAME.jpg are labels/…/NAME.txt: the last `images` of a path becomes `labels`. A picture without a label file
shows only background.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import UserError, first_line
from ...files.messages import shown
from ...files.reading import read_lines
from ..rows import check_name
from ..sample import SPLITS
from .drivers import Export, Source

DATA, IMAGES, LABELS = "data.yaml", "images", "labels"
PICTURES = ("bmp", "dng", "heic", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp")
"""Suffixes of pictures in the format. SeeDiff reads PNG and JPEG."""


def write_data(export: Export, names: Sequence[str], more: str = "") -> None:
    """Write data.yaml, without `path`, so that readers look for folders beside it. names: of the numbers from 0. more:
    lines at its end.
    """
    if "train" not in export.parts:
        (export.folder / IMAGES / "train").mkdir(
            parents=True, exist_ok=True
        )  # data.yaml names it, and readers expect it
        export.note(f"no samples for training: {IMAGES}/train is empty")
    if "val" not in export.parts:
        export.note(f"no samples for validation: val in {DATA} is the training set; a split of 0.1 sets a tenth aside")
    listed = "".join(
        f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate(names)
    )  # YAML reads JSON strings
    test = f"test: {IMAGES}/test\n" if "test" in export.parts else ""
    val = "val" if "val" in export.parts else "train"
    export.put(DATA, f"train: {IMAGES}/train\nval: {IMAGES}/{val}\n{test}names:\n{listed}{more}")


@dataclass(frozen=True)
class Place:
    """The location of a dataset. file: its YAML file. base: `path` in it. roots: resolved folders, of which one must
    contain each picture. images: the folder of pictures that the user named. labels: folder that may contain label
    files → folders of their pictures."""

    file: Path
    base: str
    roots: tuple[Path, ...]
    images: Path | None
    labels: Mapping[Path, Collection[Path]] = field(default_factory=dict)

    def inside(self, path: Path) -> bool:
        try:
            return any(path.resolve().is_relative_to(root) for root in self.roots)
        except (OSError, RuntimeError, ValueError):
            return False

    def check_label(self, path: Path) -> None:
        """Raise UserError for a label file outside of all these folders."""
        if not self.inside(path):
            raise UserError(path, f"is a link that leads out of {self.file.parent}; what is outside of it is not read")


@dataclass(frozen=True)
class Picture:
    """A picture of a split. name: of its sample. labels: the path from which the path of its label file follows."""

    path: Path
    split: str
    name: str
    labels: Path


def find_pictures(
    file: Path, data: Mapping[str, Any], split: str | None, images: Path | str | None, labels: Callable[[Path], Path]
) -> tuple[Place, list[Picture]]:
    """The location of a dataset, and its pictures in a split; None: in all. data: the content of its YAML file. labels:
    a picture's path → its label file's path. Raises UserError."""
    if split is not None and split not in SPLITS:
        raise UserError(f"split '{split}': must be one of {', '.join(SPLITS)}")
    wanted = [name for name in SPLITS if data.get(name) and split in (None, name)]
    if not wanted:
        raise UserError(f"{file}: has no '{split or 'train'}', the folder of the pictures")
    given = Path(images) if images is not None else None
    roots = tuple(folder.resolve() for folder in (file.parent, given) if folder is not None)
    place = Place(file, str(data.get("path") or "."), roots, given)
    pictures: dict[Path, Picture] = {}  # if splits share a picture, the first with labels counts
    places: defaultdict[Path, set[Path]] = defaultdict(set)
    for name in wanted:
        entries = data[name] if isinstance(data[name], list) else [data[name]]
        found: list[Picture] = []
        for path, lexical in (_find(place, name, entry) for entry in entries):
            if lexical is None:
                found += _list(place, name, path)
            else:
                found += _below(path, name, lexical)
                places[labels(lexical / "any").parent].add(path)  # also if it has no pictures, but labels
        for picture in _apart(found):
            known = pictures.setdefault(picture.path, picture)
            if not labels(known.labels).is_file() and labels(picture.labels).is_file():
                pictures[picture.path] = picture
            places[labels(picture.labels).parent].add(picture.path.parent)
    return replace(place, labels=places), list(pictures.values())


def _find(place: Place, split: str, entry: Any) -> tuple[Path, Path | None]:
    """The folder or the text file of pictures that an entry of a split names; and for a folder, the path from which the
    paths of its label files follow."""
    if not isinstance(entry, str):
        raise UserError(f"{place.file}: '{split}' must name a folder of pictures beside it, not {shown(entry)}")
    beside, base = place.file.parent, place.base
    # First below `path`, then beside the YAML file: `path` is often another machine's, and some files name
    # ../train/images.
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
        elif kind:
            return path, (lexical or path) if kind == "folder" else None
    if outside is not None and Path(os.path.normpath(outside)).is_relative_to(
        os.path.normpath(beside)
    ):  # through a link
        there = outside.resolve()
        above = there.parent if there.name == split else there  # contains the other splits too
        raise UserError(
            f"{place.file}: '{split}' leads out of its folder, to {there}; --images {above} has it read there"
        )
    raise UserError(f"{place.file}: '{split}' must name a folder of pictures beside it, not {shown(entry)}")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower().removeprefix(".") in PICTURES and not path.name.startswith(".")


def _below(folder: Path, split: str, lexical: Path) -> list[Picture]:
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if _is_picture(path)]
    return [Picture(folder / name, split, name.with_suffix("").as_posix(), lexical / name) for name in names]


def _list(place: Place, split: str, file: Path) -> list[Picture]:
    """The pictures that a text file lists, relative to it, to `path` or to the YAML file. Of a path on another machine,
    only the part after its last `images/` counts. Raises UserError naming the line."""
    beside = place.file.parent
    paths: list[Path] = []
    for number, line in enumerate(read_lines(file), 1):
        if not (text := line.strip()):
            continue
        inner = text.rpartition(f"{IMAGES}/")[2]
        moved = [
            beside / place.base / IMAGES / inner,
            beside / IMAGES / inner,
            *([place.images / inner] if place.images else []),
        ]
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
    return [Picture(path, split, path.relative_to(common).with_suffix("").as_posix(), path) for path in paths]


def _apart(pictures: Sequence[Picture]) -> Sequence[Picture]:
    """The pictures of a split. If two of several folders have the same name, all names are relative to the folder that
    holds all of them."""
    names = {os.path.abspath(picture.path): picture.name for picture in pictures}
    if len({*names.values()}) == len(names):
        return pictures
    common = os.path.commonpath([os.path.dirname(path) for path in names])
    inner = [Path(os.path.relpath(os.path.abspath(picture.path), common)) for picture in pictures]
    return [
        replace(picture, name=path.with_suffix("").as_posix()) for picture, path in zip(pictures, inner, strict=True)
    ]


def named(source: Source, pictures: Sequence[Picture], place: Place) -> Iterator[tuple[str, Picture]]:
    """(sample name, picture) of each picture. A name that occurs more than once gets the split in front. Raises
    UserError for an invalid name, and for a picture outside the dataset."""
    counts = Counter(picture.name for picture in pictures)
    for picture in pictures:
        name = f"{picture.split}/{picture.name}" if counts[picture.name] > 1 else picture.name
        check_name(name, source.taken, picture.path)
        if not place.inside(picture.path):
            outside = f"is a link that leads out of {place.file.parent}"
            raise UserError(picture.path, outside, "--images names a folder elsewhere that may be read")
        yield name, picture


def check_used(
    source: Source,
    place: Place,
    pictures: Sequence[Picture],
    used: Collection[Path],
    pattern: str,
    labelled: Callable[[Path], bool],
) -> None:
    """Refuse label files in `place.labels` that have no picture, or count them as missing pictures; otherwise their
    labels would be lost silently. Label files of pictures that are there but not asked for, because another split or no
    list names them, are none of these.

    pictures, used: those that are read, and their label files. pattern: of the names of label files. labelled: whether
    a file with such a name has labels.
    """
    read = {picture.path for picture in pictures}
    for labels in sorted(place.labels):
        if unused := sorted(path for path in labels.glob(pattern) if path not in used):
            others = {
                path.stem
                for folder in place.labels[labels]
                for path in folder.iterdir()
                if _is_picture(path) and path not in read
            }
            for path in unused:
                if path.stem not in others and labelled(path):
                    source.no_picture(path, f"has labels, but there is no picture '{path.stem}' for them")


def find_yaml(folder: Path) -> Path:
    """data.yaml, or else the only YAML file, or the YAML file with the folder's name. Raises UserError."""
    if (folder / DATA).exists():
        return folder / DATA
    others = sorted(path for path in folder.glob("*.y*ml") if path.suffix in (".yaml", ".yml") and path.is_file())
    named = [path for path in others if path.stem == folder.resolve().name]
    chosen = others if len(others) == 1 else named
    if len(chosen) != 1:
        listed = (
            f"; it holds {', '.join(path.name for path in others[:5])}: name the one that is meant" if others else ""
        )
        raise UserError(f"{folder / DATA}: there is no such file{listed}")
    return chosen[0]


def label_file(picture: Path, folder: str = LABELS, suffix: str = ".txt") -> Path:
    """The path of a picture's labels: the last `images` in the picture's path becomes `folder`; without one, the labels
    are beside the picture."""
    parts = list(picture.with_suffix(suffix).parts)
    if IMAGES in parts:
        parts[len(parts) - 1 - parts[::-1].index(IMAGES)] = folder
    return Path(*parts)


def numbered_names(names: Any, file: Path) -> dict[int, str]:
    """Class number → name in a YAML file's `names`, in rising order. Raises UserError."""
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, Mapping) or not names:
        raise UserError(f"{file}: 'names' must list the classes, not {shown(names)}")
    numbered: dict[int, str] = {}
    for key, name in names.items():
        number = int(key) if isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) <= 18 else key
        if type(number) is not int or number < 0 or number in numbered:
            raise UserError(
                f"{file}: 'names' must number each class once, by whole numbers from 0 on, not {shown(key)}"
            )
        if isinstance(name, (dict, list)):
            raise UserError(f"{file}: 'names' must give class {number} a name, not {shown(name)}")
        numbered[number] = str(name)
    return dict(sorted(numbered.items()))
