"""What a YOLO dataset's YAML file names: the classes, the pictures of its splits, and the paths of their labels.

`train`, `val` and `test` in the file each name a folder of pictures, a text file with one picture per line, or a list
of these; `validation` means `val`, as other names in parts.py do. Their paths are relative to the folder `path`, or
else to the YAML file. They are read as Ultralytics reads them, except for files outside the folder. Without a YAML
file, the pictures are in images/, whose folders may be called like splits, and the names of the classes are in
classes.txt or in the option `classes`.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from ...config.class_names import parse_class_list
from ...errors import UserError
from ...files.label_maps import visible
from ...files.messages import show_json
from ...files.reading import fit
from ...rows.parts import SPLITS, part_of
from .. import native
from .drivers import Import, Pair
from .exporting import Export
from .pictures import portable
from .set_files import SetFiles

DATA, IMAGES, LABELS = "data.yaml", "images", "labels"
YOLO_SUFFIXES = ("bmp", "dng", "heic", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp")
"""Suffixes of pictures in YOLO datasets. SeeDiff reads only PNG and JPEG files."""
ClassNumber = Annotated[int, msgspec.Meta(ge=0)]
EMPTY = (None, "", "~", "null")
"""Values in a YAML file that name no folder."""
ELSEWHERE = "--images names a folder of pictures elsewhere that may be read"


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
    """The file's keys and values. Without a YAML file: the folder of all pictures under the key ""."""
    names: Mapping[int, str]
    """Class number → name, in rising order."""


def find_yaml(folder: Path) -> Path:
    """data.yaml in a folder, or else the folder's only YAML file; `folder` itself if it is a file. Raises UserError if
    there are several other YAML files, or none."""
    if not folder.is_dir():
        return folder
    others = sorted(path for path in visible(folder, "*.y*ml") if path.suffix in (".yaml", ".yml"))
    if (folder / DATA).exists():
        return folder / DATA
    if len(others) == 1:
        return others[0]
    fix = ""
    if others:
        fix = f"it holds {', '.join(path.name for path in others[:5])}: name one of them"
    raise UserError(folder / DATA, "no such file", fix)


def is_data(file: Path) -> bool:
    """Whether a YAML file names classes."""
    try:
        return "names" in SetFiles(file).yaml(file)
    except UserError:
        return False


def read_data(files: SetFiles, path: Path, classes: Sequence[str] = ()) -> YoloData:
    """What a YAML file says. path: the file or its folder. classes: the names for a folder that has neither a YAML file
    nor classes.txt. Raises UserError for a folder without a YAML file and names."""
    listed = path / native.CLASSES
    if path.is_dir() and not any(path.glob("*.y*ml")) and (listed.is_file() or classes):
        names = dict(enumerate(classes))
        if listed.is_file():
            names = parse_class_list(files.lines(listed), listed, first=0)
        return YoloData(listed, {"": IMAGES if (path / IMAGES).is_dir() else "."}, names)
    file = find_yaml(path)
    content = files.yaml(file)
    given = content.get("names")
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not given:
        raise UserError(file, f"'names' must list the classes, not {show_json(given)}")
    names = fit(given, dict[ClassNumber, str], f"{file}: 'names'", strict=False)
    return YoloData(file, content, dict(sorted(names.items())))


@dataclass(frozen=True)
class LabelFiles:
    """Where the label files of a dataset are, and which text files are label files."""

    are_labels: Callable[[Path], bool]
    """Whether a file contains labels."""
    folder: str = LABELS
    suffix: str = ".txt"

    def of(self, picture: Path) -> Path:
        """The label file of a picture: labels/train/a.txt for images/train/a.jpg. The last folder named `images` is
        replaced by `folder`. The label file of a picture in no such folder is beside the picture."""
        parts = list(picture.with_suffix(self.suffix).parts)
        if IMAGES in parts:
            parts[len(parts) - 1 - parts[::-1].index(IMAGES)] = self.folder
        return Path(*parts)


class Located(NamedTuple):
    """A picture, a folder of pictures or a list of pictures, and where it was found.

    For example, /set/data.yaml has `train: images/train`, and the user names --images /photos. Then `path` is
    /photos/train, and `in_set` is /set/images/train. The label file of /photos/train/1.jpg is /set/labels/train/1.txt.
    """

    path: Path
    """Where it is."""
    in_set: Path
    """Where it would be in the dataset's own folder. The paths of label files follow from this."""


class Places:
    """Finds the files that paths in a YAML file or a list mean. files: the set's. data: what the YAML file says.
    images: the folder of pictures that the user named."""

    def __init__(self, files: SetFiles, data: YoloData, images: Path | None) -> None:
        self.files, self.root = files, data.file.parent
        self.bases = [self.root / str(data.content.get("path") or "."), self.root]
        """The folders to which paths in the YAML file may be relative."""
        self.named = [] if images is None else [images]

    def locate(
        self, text: str, is_wanted: Callable[[Path], bool], where: str, *bases: Path, fix: str = ELSEWHERE
    ) -> Located:
        """The first of `_candidates` that is of the wanted kind and may be read.

        text: the path as it is written. is_wanted: returns whether a path exists and is of the wanted kind. where: the
        text's place in errors. bases: further folders to which the path may be relative. fix: for the error. Raises
        UserError.
        """
        for candidate in self._candidates(text, (*bases, *self.bases)):
            if is_wanted(candidate.path) and self.files.holds(candidate.path):
                return Located(*(Path(os.path.normpath(path)) for path in candidate))
        raise UserError(where, f"must name pictures in {self.root}, not {show_json(text)}", fix)

    def _candidates(self, text: str, bases: Sequence[Path]) -> Iterator[Located]:
        """What a path may mean, the likeliest first. text: the path as it is written. bases: the folders to which it
        may be relative. The examples are for /set/data.yaml and --images /photos."""
        name = os.path.normpath(portable(text))
        # The part behind the folder images/, for paths from another machine.
        inner = f"/{name}".rpartition(f"/{IMAGES}/")[2].removeprefix("/")
        paths = [base / name for base in bases]  # images/train → /set/images/train
        paths.append(self.root / name.removeprefix("../"))  # ../train/images → /set/train/images
        if not inner.startswith(".."):
            paths += [base / IMAGES / inner for base in bases]  # /home/anna/cats/images/train → /set/images/train
        yield from (Located(path, path) for path in paths)
        in_set = self.root / name
        if os.path.isabs(name):
            in_set = self.root / IMAGES / inner
        for folder in self.named:  # images/train → /photos/train, /photos/images/train, /photos
            yield from (Located(folder / part, in_set) for part in (inner, name, ""))


def find_images(
    source: Import, data: YoloData, labels: LabelFiles, images: Path | None, split: str | None
) -> list[Pair]:
    """The pictures of a dataset, each once, with their label files, which may not exist. data: what the YAML file says.
    labels: the dataset's label files. images: the folder of pictures that the user named. split: only what the YAML
    file names for this split; None: all.

    A label file without a picture counts as a missing picture, because its labels would be lost silently. Raises
    UserError.
    """
    places = Places(source.files, data, images)
    # Split → the folders and lists that the YAML file names
    entries, named = dict[str, list[Located]](), _entries(data, split)
    for name, texts in named.items():
        others = [f"remove the line, or read one part alone with --split {part}" for part in named if part != name]
        fix = "; ".join([*others[:1], ELSEWHERE])
        entries[name] = [places.locate(text, _is_entry, f"{data.file}: '{key}'", fix=fix) for key, text in texts]
    # Split → the pictures in them
    parts = {
        name: list(chain(*(_images_of(places, entry, name, labels) for entry in located)))
        for name, located in entries.items()
    }
    # Each picture once, by its path
    found: dict[Path, Pair] = {}
    for path, pair in chain(*parts.values()):
        # If a picture is named twice, the first with labels counts.
        if path not in found or (pair.labels.is_file() and not found[path].labels.is_file()):
            found[path] = pair

    folders = _picture_folders(chain(*entries.values()), chain(*parts.values()), labels)
    for path in (*found, *(pair.labels for pair in found.values()), *folders):
        if not source.files.holds(path):
            raise UserError(path, f"leads out of {places.root}", ELSEWHERE)
    for path in _lone_labels(found, folders, labels):
        source.leave_out(path, f"has labels, but there is no picture '{path.stem}' for them")
    for key, value in data.content.items():
        texts = value if isinstance(value, list) else [value]
        if split or part_of(key) or key in ("path", "names"):
            continue
        for text in texts:
            with suppress(UserError):  # most keys name no pictures
                entry = places.locate(str(text), _is_entry, str(data.file))
                unread = {*dict(_images_of(places, entry, key, labels))} - found.keys()
                count = len(unread) * (text != labels.folder)
                of_key = f"pictures of '{key}' in {data.file.name} are not read"
                source.count(count, f"{of_key}: parts are {', '.join(SPLITS)}")
    splits = source.splits_of({name: [*dict(part)] for name, part in parts.items()}, data.file.name)
    return [pair._replace(part=splits[path] or None) for path, pair in found.items()]


def _picture_folders(
    entries: Iterable[Located], images: Iterable[tuple[Path, Pair]], labels: LabelFiles
) -> dict[Path, set[Path]]:
    """Folder of label files → the folders of their pictures. entries: the folders and lists that the YAML file names.
    Their folders count also without a picture, because they may have labels. images: what `_images_of` yields."""
    pairs = [(labels.of(in_set / "any").parent, path) for path, in_set in entries if path.is_dir()]
    pairs += [(pair.labels.parent, path.parent) for path, pair in images]
    folders: defaultdict[Path, set[Path]] = defaultdict(set)
    for of_labels, of_pictures in pairs:
        folders[of_labels].add(of_pictures)
    return folders


def _entries(data: YoloData, split: str | None) -> dict[str, list[tuple[str, str]]]:
    """Split → (key, folder or list) for what the YAML file names for it, as written. Without a YAML file, the folder of
    all pictures has the split "". split: only this split; None: all. Raises UserError if the file names no folder."""
    content, file = data.content, data.file
    wanted = (*SPLITS, "") if split is None else (part_of(split) or split, "")
    named = {key: value for key, value in content.items() if value not in EMPTY and (part_of(key) or not key)}
    found: dict[str, list[tuple[str, str]]] = {}
    for key, value in fit(named, dict[str, str | list[str]], str(file)).items():
        texts = [value] if isinstance(value, str) else value
        found.setdefault(part_of(key) or "", []).extend((key, text) for text in texts)
    if not found.keys() & {*wanted}:
        there = ", ".join(filter(None, named))
        raise UserError(file, f"has no '{split or 'train'}', the folder of the pictures", there and f"it has {there}")
    return {part: found[part] for part in wanted if part in found}


def _images_of(places: Places, entry: Located, split: str, labels: LabelFiles) -> Iterator[tuple[Path, Pair]]:
    """Yields (picture, picture with its labels) for a folder or list. The name is the picture's path in the folder, or
    in the folder that all pictures of the list have in common. entry: the folder or list. split: its split. Raises
    UserError."""
    if entry.path.is_file():
        located = _images_in_list(places, entry.path)
        base = Path(os.path.commonpath([os.path.abspath(picture.path.parent) for picture in located]))
    else:
        inner = [path.relative_to(entry.path) for path in sorted(entry.path.rglob("*")) if _is_image(path)]
        located, base = [Located(entry.path / path, entry.in_set / path) for path in inner], entry.path
    for path, in_set in located:
        name = Path(os.path.relpath(path, base)).with_suffix("").as_posix()
        yield path, Pair(split, name, path, labels.of(in_set))


def _images_in_list(places: Places, path: Path) -> list[Located]:
    """The pictures in a list. path: the text file of the list. Raises UserError."""
    found: list[Located] = []
    for number, line in enumerate(places.files.lines(path), 1):
        if line.strip():
            found.append(places.locate(line.strip(), _is_image, f"{path}, line {number}", path.parent))
    if not found:
        raise UserError(path, "lists no pictures")
    return found


def _lone_labels(
    images: Mapping[Path, Pair], folders: Mapping[Path, Collection[Path]], labels: LabelFiles
) -> Iterator[Path]:
    """The label files without a picture. The label file of a picture in a split that is not read is not among them.

    images: the pictures that are read, by path. folders: what `_picture_folders` returned.
    """
    used = {one.labels for one in images.values()}
    for folder, picture_folders in sorted(folders.items()):
        pictures = filter(_is_image, chain(*(one.iterdir() for one in picture_folders)))
        others = {path.stem for path in pictures if path not in images}
        for path in sorted(visible(folder, f"*{labels.suffix}")):
            if path not in used and path.stem not in others and labels.are_labels(path):
                yield path


def _is_entry(path: Path) -> bool:
    """Whether a path is a folder, or a list of pictures."""
    return os.path.isdir(path) or (path.suffix.lower() == ".txt" and os.path.isfile(path))


def _is_image(path: Path) -> bool:
    """Whether a path is a picture that is not hidden."""
    suffix = path.suffix.lower().removeprefix(".")
    return suffix in YOLO_SUFFIXES and not path.name.startswith(".") and os.path.isfile(path)
