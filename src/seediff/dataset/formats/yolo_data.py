"""What a YOLO dataset's YAML file names, read as Ultralytics does, except for files outside its folder: the pictures of
its splits, the paths of their labels, and the classes. `train`, `val` and `test` are each a folder of pictures, a text
file with one picture per line, or a list of these, below `path` or beside the YAML file. Without such a file, the
pictures are those in images/, and classes.txt or the option `classes` names the classes.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from ...config.class_names import read_class_list
from ...errors import UserError
from ...files.documents import fit, read_yaml
from ...files.label_maps import visible
from ...files.messages import show_json
from ...files.reading import read_lines
from .. import native
from ..rows import SPLITS
from .drivers import Export, Import
from .label_files import portable

DATA, IMAGES, LABELS = "data.yaml", "images", "labels"
YOLO_SUFFIXES = ("bmp", "dng", "heic", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp")
"""Suffixes of pictures in the format. SeeDiff reads those of PNG and JPEG."""
ClassNumber = Annotated[int, msgspec.Meta(ge=0)]
EMPTY = (None, "", "~", "null")
ELSEWHERE = "--images names a folder of pictures elsewhere that may be read"


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


@dataclass(frozen=True)
class YoloImage:
    """A picture of a YOLO dataset."""

    path: Path
    split: str
    base: Path
    """The folder from which the sample's name counts."""
    labels: Path
    """Its label file, which may be missing."""

    @property
    def name(self) -> str:
        """The path below `base`, with `/`."""
        return Path(os.path.relpath(self.path, self.base)).as_posix()


class Located(NamedTuple):
    """A picture, or a folder or list of pictures."""

    path: Path
    in_set: Path
    """Where it would lie in the dataset itself, from which the paths of label files follow. It differs from `path` only
    for pictures in the folder that the user named."""


def find_images(
    source: Import,
    file: Path,
    data: Mapping[str, Any],
    split: str | None,
    images: Path | str | None,
    label: Callable[[Path], Path],
    labelled: Callable[[Path], bool],
) -> list[YoloImage]:
    """The pictures of a split; None: of all splits. file, data: the YAML file and its content. images: the folder of
    pictures that the user named. label: picture's path → label file's path. labelled: whether a label file has labels.

    Label files without a picture count as missing pictures; otherwise their labels would be lost silently.
    """
    wanted = {name: data[name] for name in (*SPLITS, "") if data.get(name) not in EMPTY and split in (None, name)}
    if not wanted:
        there = ", ".join(name for name in SPLITS if data.get(name) not in EMPTY)
        raise UserError(file, f"has no '{split or 'train'}', the folder of the pictures", there and f"it has {there}")
    roots, named = [file.parent / str(data.get("path") or "."), file.parent], [Path(images)] if images else []
    found_images: dict[Path, YoloImage] = {}  # if a picture is named twice, the first with labels counts
    parts: dict[str, set[Path]] = {}
    folders: defaultdict[Path, set[Path]] = defaultdict(set)  # folder of label files → folders of their pictures
    for name, entries in fit(wanted, dict[str, str | list[str]], str(file)).items():
        found: list[YoloImage] = []
        for entry in [entries] if isinstance(entries, str) else entries:
            path, in_set = _locate(entry, roots, named, _is_entry, f"{file}: '{name}'")
            if path.is_file():
                located = _listed(path, roots, named)
                base = _common(one.path for one in located)
            else:
                inner = [one.relative_to(path) for one in sorted(path.rglob("*")) if _is_image(one)]
                located, base = [Located(path / one, in_set / one) for one in inner], path
                folders[label(in_set / "any").parent].add(path)  # also if it has no pictures, but labels
            found += [YoloImage(one.path, name, base, label(one.in_set)) for one in located]
        if len({one.name for one in found}) < len({one.path for one in found}):
            base = _common(one.path for one in found)
            found = [replace(one, base=base) for one in found]
        parts[name] = {one.path for one in found}
        for one in found:
            folders[one.labels.parent].add(one.path.parent)
            if one.path not in found_images or (one.labels.is_file() and not found_images[one.path].labels.is_file()):
                found_images[one.path] = one

    for path in (*found_images, *(one.labels for one in found_images.values()), *folders):
        if not _inside(path, (file.parent, *named)):
            raise UserError(path, f"leads out of {file.parent}", ELSEWHERE)
    for path in _left_labels(found_images, folders, label(Path("any")).suffix):
        if labelled(path):
            source.no_image(path, f"has labels, but there is no picture '{path.stem}' for them")
    held_back: dict[Path, str] = {}
    for name in ("val", "test"):
        elsewhere = [paths for other, paths in parts.items() if other != name]
        if name in parts and parts[name] not in elsewhere:  # `val: images/train` holds nothing back
            held_back |= dict.fromkeys(parts[name] & set(chain(*elsewhere)), name)
    source.count(len(held_back), f"pictures are in several parts of {file.name}: one for validation or testing counts")
    for path, name in held_back.items():
        found_images[path] = replace(found_images[path], split=name)
    return [*found_images.values()]


def _left_labels(
    images: Mapping[Path, YoloImage], folders: Mapping[Path, Collection[Path]], suffix: str
) -> Iterator[Path]:
    """The label files without a picture. folders: folder of label files → the folders of their pictures, which may also
    hold pictures of other splits."""
    used = {one.labels for one in images.values()}
    for folder, picture_folders in sorted(folders.items()):
        pictures = filter(_is_image, chain(*(one.iterdir() for one in picture_folders)))
        unasked = {path.stem for path in pictures if path not in images}
        for path in sorted(visible(folder, f"*{suffix}")):
            if path not in used and path.stem not in unasked:
                yield path


def _listed(path: Path, roots: Sequence[Path], named: Sequence[Path]) -> list[Located]:
    """The pictures that a text file lists, as `_locate` finds them."""
    found: list[Located] = []
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            found.append(_locate(line.strip(), [path.parent, *roots], named, _is_image, f"{path}, line {number}"))
    if not found:
        raise UserError(path, "lists no pictures")
    return found


def _locate(
    text: str, roots: Sequence[Path], named: Sequence[Path], is_wanted: Callable[[Path], bool], where: str
) -> Located:
    """What a path in the YAML file or in a list names. roots: the folders to which the path may be relative, the
    dataset's last. named: the folder of pictures that the user named, if any. is_wanted: whether a path is of the
    wanted kind."""
    root, name = roots[-1], os.path.normpath(portable(text))
    # Of another machine's path only the part behind the folder images/ counts.
    inner = f"/{name}".rpartition(f"/{IMAGES}/")[2].removeprefix("/")
    # `path` is often a folder of another machine, and some files name ../train/images.
    paths = [*(one / name for one in roots), root / name.removeprefix("../")]
    if not inner.startswith(".."):
        paths += [one / IMAGES / inner for one in roots]
    candidates = [(path, path) for path in paths]
    in_set = root / IMAGES / inner if os.path.isabs(name) else root / name
    for one in named:
        candidates += [(one / part, in_set) for part in (inner, name, "")]
    for candidate in candidates:
        if is_wanted(candidate[0]) and _inside(candidate[0], (root, *named)):
            return Located(*(Path(os.path.normpath(path)) for path in candidate))
    raise UserError(where, f"must name pictures in {root}, not {show_json(text)}", ELSEWHERE)


def _inside(path: Path, roots: Sequence[Path]) -> bool:
    """Whether a file is in one of the folders that may be read, also after following links."""
    return any(Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)) for root in roots)


def _is_entry(path: Path) -> bool:
    """Whether a path is a folder, or a list of pictures."""
    return os.path.isdir(path) or (path.suffix.lower() == ".txt" and os.path.isfile(path))


def _is_image(path: Path) -> bool:
    """Whether a path is a picture that is not hidden."""
    suffix = path.suffix.lower().removeprefix(".")
    return suffix in YOLO_SUFFIXES and not path.name.startswith(".") and os.path.isfile(path)


def _common(paths: Iterable[Path]) -> Path:
    """The folder that holds all pictures."""
    return Path(os.path.commonpath([os.path.abspath(path.parent) for path in paths] or ["."]))


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


def label_file(image: Path, folder: str = LABELS, suffix: str = ".txt") -> Path:
    """The path of a picture's labels: the last folder `images` in the picture's path becomes `folder`; without such a
    folder, the labels are beside the picture."""
    parts = list(image.with_suffix(suffix).parts)
    if IMAGES in parts:
        parts[len(parts) - 1 - parts[::-1].index(IMAGES)] = folder
    return Path(*parts)


def is_data(file: Path) -> bool:
    """Whether a YAML file names classes."""
    try:
        return "names" in read_yaml(file)
    except UserError:
        return False


def read_data(path: Path, classes: Sequence[str] = ()) -> tuple[Path, dict[str, Any], dict[int, str]]:
    """(file, data, names): the YAML file, which is `path` or in it; its content; and class number → name, in rising
    order. classes: the names for a folder that has neither such a file nor classes.txt."""
    listed = path / native.CLASSES
    if path.is_dir() and not any(path.glob("*.y*ml")) and (listed.is_file() or classes):
        names = read_class_list(listed, first=0) if listed.is_file() else dict(enumerate(classes))
        return listed, {"": IMAGES if (path / IMAGES).is_dir() else "."}, names
    file = find_yaml(path)
    data = read_yaml(file)
    given = data.get("names")
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not given:
        raise UserError(file, f"'names' must list the classes, not {show_json(given)}")
    names = fit(given, dict[ClassNumber, str], f"{file}: 'names'", strict=False)
    return file, data, dict(sorted(names.items()))
