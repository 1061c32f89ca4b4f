"""What a YOLO dataset's YAML file names: the classes, and the folders of pictures of its splits.

`train`, `val` and `test` in the file each name a folder of pictures, a text file with one picture per line, or a list
of these; `validation` means `val`, as other names in parts.py do. Their paths are relative to the folder `path`, or
else to the YAML file, and must lead into the set. Without a YAML file, the pictures are in images/, whose folders may
be called like splits, and the names of the classes are in classes.txt or in the option `classes`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ...config.class_names import parse_class_list
from ...errors import UserError
from ...files.label_maps import visible, walk
from ...files.messages import show_json
from ...files.reading import fit
from ...rows.parts import part_of
from .. import native
from ..class_lists import ID_LABELS, check_agree
from .drivers import Import, Pair
from .exporting import Export
from .part_lists import is_label_file, read_lists
from .pictures import PictureFinder, how_to_find, images_by_name, portable
from .set_files import SetFiles

DATA, IMAGES, LABELS, NOTES, DARKNET = "data.yaml", "images", "labels", "notes.json", "obj.names"
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
    """The YAML file; for a folder without such a file, its list of names, which may be missing."""
    root: Path
    """The set's folder."""
    content: Mapping[str, Any]
    """The file's keys and values."""
    names: Mapping[int, str]
    """Class number → name, in rising order."""
    entries: Sequence[tuple[str, str]]
    """(split, folder or list of pictures as written). The folder of all pictures has the split ""."""


def read_data(files: SetFiles, path: Path, classes: Sequence[str] = ()) -> YoloData:
    """What a YAML file says. path: the file, or its folder, which has a data.yaml or a single YAML file. classes: the
    names for a folder without a list of names. Raises UserError, also if another list of the set says something else.
    """
    found = sorted(visible(path, "*.y*ml")) if path.is_dir() else [path]
    lists = dict(_other_lists(files, path if path.is_dir() else path.parent, strict=not found))
    if not found and (classes or lists):
        file, names = next(iter(lists.items()), (path / native.CLASSES, dict(enumerate(classes))))
        data = YoloData(file, path, {}, names, [("", IMAGES if (path / IMAGES).is_dir() else ".")])
    else:
        data = _read_yaml(files, found[0] if len(found) == 1 else path / DATA)
    for file, others in lists.items():
        check_agree(data.names, data.file, others, file)
    return data


def _read_yaml(files: SetFiles, file: Path) -> YoloData:
    """What a YAML file says. Raises UserError."""
    content = files.yaml(file)
    given = content.get("names")
    if not given:
        raise UserError(file, f"'names' must list the classes, not {show_json(given)}")
    given = dict(enumerate(given)) if isinstance(given, list) else given
    names = fit(given, dict[ClassNumber, str], f"{file}: 'names'", strict=False)
    count = fit(content.get("nc") or len(names), int, f"{file}: 'nc'", strict=False)
    if count not in (len(names), max(names) + 1):
        raise UserError(file, f"its 'nc' says {count} classes, and 'names' lists {len(names)}", "correct the wrong one")
    named = {key: value for key, value in content.items() if part_of(key) and value}
    entries: list[tuple[str, str]] = []
    for key, value in fit(named, dict[str, str | list[str]], str(file)).items():
        entries += [(part_of(key) or "", text) for text in ([value] if isinstance(value, str) else value)]
    return YoloData(file, file.parent, content, dict(sorted(names.items())), entries)


class Category(msgspec.Struct, frozen=True):
    """A class in Label Studio's notes.json."""

    id: int
    name: str


class StudioNotes(msgspec.Struct, frozen=True):
    """Label Studio's notes.json, beside classes.txt."""

    categories: list[Category]


def _other_lists(files: SetFiles, root: Path, strict: bool) -> Iterator[tuple[Path, Mapping[int, str]]]:
    """(file, names from 0 on) of each list of classes in a set or its labels/, besides a YAML file: classes.txt,
    darknet's obj.names, or the file that its obj.data names, Label Studio's notes.json, and id2label.json. Files that
    are no such list are left out; with `strict`, those of lines are refused."""
    for folder in (root, root / LABELS):
        names = [native.CLASSES, DARKNET]
        with suppress(UserError):
            pairs = (line.partition("=") for line in files.lines(folder / "obj.data"))
            names += [Path(value.strip()).name for key, _, value in pairs if key.strip() == "names"]
        for path in (folder / name for name in dict.fromkeys(names)):
            with nullcontext() if strict else suppress(UserError):
                if path.is_file():
                    yield path, parse_class_list(files.lines(path), path, first=0)
        with suppress(UserError):
            notes = files.json(folder / NOTES, StudioNotes)
            if notes.categories:
                yield folder / NOTES, {one.id: one.name for one in notes.categories}
        with suppress(UserError):
            yield folder / ID_LABELS, files.json(folder / ID_LABELS, dict[int, str], strict=False)


def find_images(source: Import, data: YoloData) -> list[Pair]:
    """The pictures of a dataset, each once, with their label files, which may not exist. data: what the YAML file says.

    A label file without a picture counts as a missing picture, because its labels would be lost silently. A picture in
    the folders of several splits belongs to the last of them. Raises UserError.
    """
    root, found = data.root, dict[Path, Pair]()
    places = _places(source, data, data.entries)
    if not places:
        raise UserError(data.file, f"names no images in {root}", how_to_find(False))
    read, folders = list[set[Path]](), dict[Path, Path]()
    groups = [(place, split, sorted(filter(_is_image, place.rglob("*")))) for place, split in places if place.is_dir()]
    lists = [(split, place) for place, split in places if place.is_file()]
    images = sorted(filter(_is_image, root.rglob("*"))) if lists else []
    named, others = read_lists(source.files, lists, [path.relative_to(root).as_posix() for path in images])
    for line, where in others:
        source.leave_out(where, line, [root])
    for split, place in lists:
        listed = [images[i] for i in sorted(named) if named[i].where.startswith(f"{place}, line ")]
        groups.append((place, split, listed))
    for place, split, pictures in groups:
        base = place
        if place.is_file():
            base = Path(os.path.commonpath([path.parent for path in pictures] or [root]))
        if {*pictures} in read:  # many files have `val: images/train`, because there is no other
            continue
        read.append({*pictures})
        for path in pictures:
            name, labels = path.relative_to(base).with_suffix("").as_posix(), label_file(path)
            found[path] = Pair(split or None, name, source.files.inside(path), source.files.inside(labels))
            folders[labels.parent] = path.parent
    if not found:
        raise UserError(root, "has no images", how_to_find(False))
    used = {pair.labels for pair in found.values()}
    for folder, of_pictures in sorted(folders.items()):
        pictured = {path.stem for path in of_pictures.iterdir() if _is_image(path)}
        for path in sorted(visible(folder, "*.txt")) if LABELS in folder.parts else ():
            if path not in used and path.stem not in pictured and path.name != native.CLASSES:
                source.leave_out(path, path.stem, [of_pictures])
    return [*found.values()]


def find_labels(source: Import, data: YoloData, images: Path) -> tuple[list[Pair], list[tuple[str, Path]]]:
    """(pairs, lists): the label files of a dataset, each with the picture of its name in a folder, and the pictures
    without labels, which only a list brings into the set; and the lists that the YAML file names. data: what the YAML
    file says. images: the folder of all pictures, as the user named it. A picture is in the part of its label file's
    folder. Raises UserError, also for a picture with two label files."""
    root, found, finder = data.root, dict[Path, Pair](), PictureFinder()
    texts = [path for path in sorted(walk(root)) if path.suffix == ".txt" and path.name != native.CLASSES]
    below = [path for path in texts if LABELS in path.relative_to(root).parts]
    parts = {_steps(text, IMAGES): split for split, text in reversed(data.entries) if not text.endswith(".txt")}
    for path in below or [path for path in texts if is_label_file(source.files.lines(path))]:
        steps = _steps(path.relative_to(root).as_posix(), LABELS)
        picture = finder.find([images], [Path(*steps).with_suffix("").as_posix()])
        if picture is None:
            source.leave_out(path, path.stem, [images])
            continue
        if picture[0] in found:
            raise UserError(path, f"labels {picture[0]}, and so does {found[picture[0]].labels}", "keep one")
        name = picture[0].relative_to(images).with_suffix("").as_posix()
        part = parts.get(steps[:-1]) or next(filter(part_of, steps[:-1]), None)
        found[picture[0]] = Pair(part, name, picture[0], source.files.inside(path))
    for name, path in images_by_name(images).items():
        found.setdefault(path, Pair(None, name, path, root / LABELS / f"{name}.txt", listed=True))
    lists = _places(source, data, [(split, text) for split, text in data.entries if text.endswith(".txt")])
    return [*found.values()], [(split, place) for place, split in lists]


def _places(source: Import, data: YoloData, entries: Sequence[tuple[str, str]]) -> list[tuple[Path, str]]:
    """(file or folder, split) of each entry of a YAML file that is in the set; a note says which are not."""
    places: list[tuple[Path, str]] = []
    for split, text in entries:
        place = _locate(source.files, data, text)
        if place is None:
            source.note(f"{data.file.name}: {text} is not in {data.root}, and is left out")
        else:
            places.append((place, split))
    return places


def _steps(text: str, without: str) -> tuple[str, ...]:
    """The steps of a path in a set without those that all sets have. without: the name of its folder."""
    steps = os.path.normpath(portable(text)).split("/")
    return tuple(step for step in steps if step not in (without, "..", "."))


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
    root, name = data.root, os.path.normpath(portable(text))
    inner, above = f"/{name}".rpartition(f"/{IMAGES}/")[2].removeprefix("/"), name.removeprefix("../")
    bases = (root / str(data.content.get("path") or "."), root)
    own = root / above.removeprefix(f"{Path(os.path.abspath(root)).name}/")  # Roboflow's paths begin with its name
    for path in (*(base / name for base in bases), root / above, own, root / IMAGES / inner):
        if path.exists() and files.holds(path):
            return Path(os.path.normpath(path))
    return None


def _is_image(path: Path) -> bool:
    """Whether a path is a picture that is not hidden."""
    return path.suffix.lower() in YOLO_SUFFIXES and not path.name.startswith(".") and path.is_file()
