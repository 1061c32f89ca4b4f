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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files.messages import show_json
from ...files.reading import read_lines
from ..sample import SPLITS
from .drivers import Export, Source, portable

DATA, IMAGES, LABELS = "data.yaml", "images", "labels"
PICTURES = ("bmp", "dng", "heic", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp")
"""Suffixes of pictures in the format. SeeDiff reads PNG and JPEG."""


def write_data(export: Export, names: Sequence[str], more: str = "") -> None:
    """Write data.yaml, without `path`, so that readers look for folders beside it. names: of the numbers from 0. more:
    lines at its end.
    """
    if "train" not in export.parts:  # data.yaml names its folder, and readers expect it
        (export.folder / IMAGES / "train").mkdir(parents=True, exist_ok=True)
        export.note(f"no samples for training: {IMAGES}/train is empty")
    if "val" not in export.parts:
        export.note(f"no samples for validation: val in {DATA} is the training set; a split of 0.1 sets a tenth aside")
    # YAML reads JSON strings.
    listed = "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate(names))
    test = f"test: {IMAGES}/test\n" if "test" in export.parts else ""
    val = "val" if "val" in export.parts else "train"
    export.put(DATA, f"train: {IMAGES}/train\nval: {IMAGES}/{val}\n{test}names:\n{listed}{more}")


@dataclass(frozen=True)
class Picture:
    """A picture of a split. name: of its sample. labels: the path of its label file, which may be missing."""

    path: Path
    split: str
    name: str
    labels: Path


@dataclass(frozen=True)
class Place:
    """The location of a dataset. file: its YAML file. base: `path` in it. images: the folder of pictures that the user
    named. label: a picture's path → its label file's."""

    file: Path
    base: str
    images: Path | None
    label: Callable[[Path], Path]

    def inside(self, path: Path) -> bool:
        """Whether a file is in the dataset's folder or that of the pictures, also behind links."""
        roots = (self.file.parent, *([self.images] if self.images else []))
        return any(Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)) for root in roots)

    def check(self, path: Path) -> None:
        """Raises UserError unless a file is inside."""
        if not self.inside(path):
            outside = f"is a link that leads out of {self.file.parent}"
            raise UserError(path, outside, "--images names a folder of pictures elsewhere that may be read")


def find_pictures(
    source: Source,
    file: Path,
    data: Mapping[str, Any],
    split: str | None,
    images: Path | str | None,
    label: Callable[[Path], Path],
    labelled: Callable[[Path], bool],
) -> list[Picture]:
    """The pictures of a split; None: of all. data: the content of its YAML file. label: a picture's path → its label
    file's path. labelled: whether a label file has labels.

    Refuses label files that have no picture, or counts them as missing pictures; otherwise their labels would be lost
    silently. Label files of pictures that are there but not asked for are none of these. Raises UserError.
    """
    if split is not None and split not in SPLITS:
        raise UserError(f"split '{split}': must be one of {', '.join(SPLITS)}")
    wanted = [name for name in SPLITS if data.get(name) and split in (None, name)]
    if not wanted:
        raise UserError(f"{file}: has no '{split or 'train'}', the folder of the pictures")
    place = Place(file, str(data.get("path") or "."), Path(images) if images is not None else None, label)
    pictures: dict[Path, Picture] = {}  # if splits share a picture, the first with labels counts
    folders: defaultdict[Path, set[Path]] = defaultdict(set)  # folder of label files → of their pictures
    for name in wanted:
        entries = data[name] if isinstance(data[name], list) else [data[name]]
        found: list[Picture] = []
        for path, lexical in (_find(place, name, entry) for entry in entries):
            if path.is_file():
                found += _list(place, name, path)
                continue
            inner = [one.relative_to(path) for one in sorted(path.rglob("*")) if _is_picture(one)]
            found += [Picture(path / one, name, one.with_suffix("").as_posix(), label(lexical / one)) for one in inner]
            folders[label(lexical / "any").parent].add(path)  # also if it has no pictures, but labels
        for picture in _apart(found):
            known = pictures.setdefault(picture.path, picture)
            if not known.labels.is_file() and picture.labels.is_file():
                pictures[picture.path] = picture
            folders[picture.labels.parent].add(picture.path.parent)
    used = {picture.labels for picture in pictures.values()}
    for folder, beside in sorted(folders.items()):
        others = {path.stem for one in beside for path in one.iterdir() if _is_picture(path) and path not in pictures}
        for path in sorted(folder.glob(f"*{label(Path('any')).suffix}")):
            if path not in used and path.stem not in others and labelled(path):
                source.no_picture(path, f"has labels, but there is no picture '{path.stem}' for them")
    for picture in pictures.values():
        place.check(picture.path)
        place.check(picture.labels)
    counts = Counter(picture.name for picture in pictures.values())
    return [  # a name that occurs more than once gets the split in front
        replace(picture, name=f"{picture.split}/{picture.name}") if counts[picture.name] > 1 else picture
        for picture in pictures.values()
    ]


def _find(place: Place, split: str, entry: Any) -> tuple[Path, Path]:
    """The folder or the text file of pictures that an entry of a split names; and the path from which the paths of a
    folder's label files follow."""
    beside, outside = place.file.parent, None
    if isinstance(entry, str):
        entry = portable(entry)
        # First below `path`, then beside the YAML file: `path` is often another machine's, and some files name
        # ../train/images.
        tried = [(path, path) for path in (beside / place.base / entry, beside / entry)]
        tried.append((beside / entry.removeprefix("../"), beside / entry.removeprefix("../")))
        if place.images is not None:
            inner = entry.removeprefix("./").removeprefix("../").partition(f"{IMAGES}/")[2]
            parts = (*((inner,) if inner else ()), entry, "")
            tried += [(place.images / part, beside / entry) for part in parts]
        for path, lexical in tried:
            if os.path.isdir(path) or (path.suffix.lower() == ".txt" and os.path.isfile(path)):
                if place.inside(path):
                    return path, lexical
                outside = outside or path
    if outside is not None and Path(os.path.normpath(outside)).is_relative_to(os.path.normpath(beside)):  # by a link
        there = outside.resolve()
        above = there.parent if there.name == split else there  # contains the other splits too
        raise UserError(
            f"{place.file}: '{split}' leads out of its folder, to {there}; --images {above} has it read there"
        )
    raise UserError(f"{place.file}: '{split}' must name a folder of pictures beside it, not {show_json(entry)}")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower().removeprefix(".") in PICTURES and not path.name.startswith(".")


def _list(place: Place, split: str, file: Path) -> list[Picture]:
    """The pictures that a text file lists, relative to it, to `path` or to the YAML file. Of a path on another machine,
    only the part after its last `images/` counts. Raises UserError naming the line."""
    beside, paths = place.file.parent, list[Path]()
    for number, line in enumerate(read_lines(file), 1):
        if not (text := line.strip()):
            continue
        inner = text.rpartition(f"{IMAGES}/")[2]
        folders = (beside / place.base / IMAGES, beside / IMAGES, *([place.images] if place.images else []))
        tried = [*(one / text for one in (file.parent, beside / place.base, beside)), *(one / inner for one in folders)]
        chosen = next((path for path in tried if os.path.isfile(path) and place.inside(path)), None)
        if chosen is None or not _is_picture(chosen):
            raise UserError(f"{file}, line {number}: there is no picture {show_json(text)} inside {beside}")
        paths.append(Path(os.path.normpath(chosen)))
    if not paths:
        raise UserError(f"{file}: lists no pictures")
    return [Picture(path, split, name, place.label(path)) for path, name in zip(paths, _names(paths), strict=True)]


def _names(paths: Sequence[Path]) -> list[str]:
    """The names of pictures: their paths in the folder that holds all of them."""
    absolute = [os.path.abspath(path) for path in paths]
    common = os.path.commonpath([os.path.dirname(path) for path in absolute])
    return [Path(os.path.relpath(path, common)).with_suffix("").as_posix() for path in absolute]


def _apart(pictures: Sequence[Picture]) -> Sequence[Picture]:
    """The pictures of a split. If two of several folders have the same name, all names are relative to the folder that
    holds all of them."""
    if len({picture.name for picture in pictures}) == len({picture.path for picture in pictures}):
        return pictures
    names = _names([picture.path for picture in pictures])
    return [replace(picture, name=name) for picture, name in zip(pictures, names, strict=True)]


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
        raise UserError(f"{file}: 'names' must list the classes, not {show_json(names)}")
    numbered: dict[int, str] = {}
    for key, name in names.items():
        number = int(key) if isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) <= 18 else key
        if type(number) is not int or number < 0 or number in numbered:
            raise UserError(
                f"{file}: 'names' must number each class once, by whole numbers from 0 on, not {show_json(key)}"
            )
        if isinstance(name, (dict, list)):
            raise UserError(f"{file}: 'names' must give class {number} a name, not {show_json(name)}")
        numbered[number] = str(name)
    return dict(sorted(numbered.items()))
