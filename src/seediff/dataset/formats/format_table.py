"""The table of known formats, and how the format of a folder or file is recognised.

A format's codec is the module with its name, which is imported on first use. The table names the options of each
format, in `Dataset` and in the commands: fields of `drivers.Import`, and parameters of the codec's `write`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from ...errors import UserError
from ...files.reading import check_unpacked, parse_json, read_json

if TYPE_CHECKING:
    from ..class_lists import ClassList
    from ..sample import Sample

SourceName = Literal["voc", "coco", "yolo", "masks", "cvat", "labelstudio", "labelme"]
"""Formats that SeeDiff reads: the values of `import --from`."""
FormatName = Literal[SourceName, "trainer", "cutouts"]
"""Formats that SeeDiff writes: the values of `export --to`."""
Layout = Literal["folders", "beside"]
"""Where `trainer` has masks: `folders`: in masks/, with the picture's name; `beside`: beside the picture, as for
OneTrainer."""
VOC_YEAR = "VOC2[0-9][0-9][0-9]"
"""The pattern of the folders in VOCdevkit/, such as VOC2012."""


class Contents(NamedTuple):
    """What a codec reads from a folder or file."""

    listed: ClassList
    """The classes, and what the files' values mean."""
    samples: Iterable[Sample]
    ids: Mapping[int, int] | None = None
    """Value in the stored masks → id in label maps; None if the format stores no values."""
    about: str = ""
    """A description of the set."""
    notes: Sequence[str] = ()
    """Lines about what was left out, which `read_format` adds."""
    parts: Mapping[str | None, int] = MappingProxyType({})
    """Part → number of its pictures, which `read_format` adds."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of ids 1, 2, …, without the background."""
        return self.listed.classes


@dataclass(frozen=True)
class Format:
    """What is known of a format without importing its codec."""

    looked_for: str
    """What a folder of the format contains, for messages; "" if SeeDiff does not read the format."""
    patterns: tuple[str, ...] = ()
    """A folder is of the format if it contains a file or folder of one of these patterns."""
    keys: frozenset[str] = frozenset()
    """The keys of the format's JSON files, as `_keys` returns them; empty if it has no such files. Without patterns and
    keys, the codec's `is_folder` decides."""
    void: bool = True
    """Whether the format reserves names such as `ignore` for 255."""
    names_pictures: bool = False
    """Whether the format's files name pictures. Otherwise a picture and its labels are paired by their paths."""
    flat: bool = False
    """Whether the format keeps all samples in one folder, so that their names contain no folder."""
    reads: tuple[str, ...] = ()
    """Its options for reading, besides those that all formats have, and `boxes`, which those with objects have."""
    writes: tuple[str, ...] = ()
    """Its options for writing, besides `workers`."""
    shown: bool = False
    """Whether the format's tools draw on a picture as its EXIF orientation turns it."""
    objects: bool = False
    """Whether an export contains the samples' objects."""
    corrects: bool = False
    """Whether people correct masks in the format's tools. `export` then says how the masks come back."""


PARTS = ("split", "seed")
TOOL: Any = {"names_pictures": True, "shown": True, "objects": True, "corrects": True}
"""What is known of the formats of tools in which people draw."""
FORMATS: dict[FormatName, Format] = {
    "voc": Format(
        "SegmentationClass/ (VOC)",
        ("SegmentationClass", f"{VOC_YEAR}/SegmentationClass", f"VOCdevkit/{VOC_YEAR}/SegmentationClass"),
        flat=True,
        reads=("classes",),
        writes=(*PARTS, "link", "jpeg"),
    ),
    "yolo": Format(
        "data.yaml, or labels/ and classes.txt (YOLO)",
        void=False,
        flat=True,
        objects=True,
        shown=True,
        reads=("classes",),
        writes=(*PARTS, "link", "min_area"),
    ),
    "cvat": Format(
        "annotations.xml (CVAT)",
        ("annotations.xml",),
        **TOOL,
        writes=(*PARTS, "link"),
    ),
    "labelstudio": Format(
        "tasks.json (Label Studio)",
        keys=frozenset({"[].data"}),
        **TOOL,
        reads=("classes",),
        writes=(*PARTS, "link"),
    ),
    "labelme": Format(
        "*.json with shapes (labelme)",
        keys=frozenset({"shapes"}),
        flat=True,
        **TOOL,
        reads=("classes",),
        writes=("link", "polygons"),
    ),
    "coco": Format(
        "annotations/*.json or *.json (COCO)",
        keys=frozenset({"images", "annotations"}),
        void=False,
        names_pictures=True,
        objects=True,
        reads=("crowds",),
        writes=(*PARTS, "link", "min_area", "polygons"),
    ),
    "masks": Format(
        "images/ and masks/ with PNG files, gtFine/ (Cityscapes), objectInfo150.txt (ADE20K) or trainannot/ (CamVid)",
        void=False,
        reads=("classes", "masks", "num_classes", "void"),
        writes=(*PARTS, "link"),
    ),
    "trainer": Format("", flat=True, writes=("link", "classes", "soft", "layout")),
    "cutouts": Format("", writes=("soft",)),
}
READ: list[Any] = [name for name, one in FORMATS.items() if one.looked_for]
"""The formats that SeeDiff reads, in the order in which it tries them on a folder, the surest first."""
SUFFIXES: dict[str, SourceName] = {".xml": "cvat", ".yaml": "yolo", ".yml": "yolo"}
"""Suffix of a single file that is not JSON → its format."""
JSON_FILES = ("annotations/*.json", "*.json", "*/*.json")
MOST = 8
"""Maximum number of files that are tried per pattern, because a folder may have thousands of JSON files."""


def codec(name: FormatName) -> Any:
    """The module of a format. It has `read(source)`, which makes `Contents` of an `Import`, and `write(export,
    **options)`, which puts files into an `Export`; without `patterns` and `keys`, also `is_folder(path)`."""
    return importlib.import_module(f".{name}", __package__)


def export_options(name: FormatName) -> list[str]:
    """The names of the options for writing a format."""
    return [*FORMATS[name].writes, "workers"]


def import_options(name: SourceName) -> list[str]:
    """The names of the options for reading a format."""
    one = FORMATS[name]
    return ["split", "images", *one.reads, *["boxes"] * one.objects, "skip_missing"]


def recognise(path: Path, labels_alone: bool = False) -> SourceName:
    """The format of a folder or file, by its files and their contents. labels_alone: label maps are to be compared, so
    a folder of PNG files that is of no other format is of the format `masks`. Raises UserError if no format fits."""
    if not path.exists():
        raise UserError(path, "no such folder or file")
    from ..native import METADATA, check_single, no_dataset  # imports Pillow

    check_unpacked(path)
    if path.is_file():
        return _of_file(path)
    check_single(path)
    kinds: set[Any] = {*map(_kind_of, chain(*(sorted(path.glob(pattern))[:MOST] for pattern in JSON_FILES)))}
    for name in READ:
        one = FORMATS[name]
        if name in kinds or any(any(path.glob(pattern)) for pattern in one.patterns):
            return name
        if not one.patterns and not one.keys and codec(name).is_folder(path):
            return name
    if labels_alone and any(path.rglob("*.[pP][nN][gG]")):
        return "masks"
    if (path / METADATA).is_file():
        raise UserError(path, "is already a native dataset", "`seediff merge` joins datasets")
    raise no_dataset(path, ", ".join([f"{METADATA} (native)", *(FORMATS[name].looked_for for name in READ)]))


def _kind_of(file: Path) -> SourceName | None:
    with suppress(UserError):  # damaged, or JSON lines
        return json_kind(file)
    return None


def _of_file(path: Path) -> SourceName:
    """The format of a single file. Raises UserError if no format fits."""
    suffix = path.suffix.lower()
    kind = json_kind(path) if suffix == ".json" else SUFFIXES.get(suffix)
    if kind is None:
        raise UserError(path, "is not a dataset", "name its folder, or a .json, .xml or .yaml file")
    return kind


def json_kind(file: Path) -> SourceName | None:
    """The format of a JSON file, by its keys; None if it has the keys of no format. Raises UserError for a file that is
    not JSON."""
    keys = {*_keys(file)}
    return next((name for name in READ if FORMATS[name].keys and FORMATS[name].keys <= keys), None)


def _keys(file: Path) -> tuple[str, ...]:
    """The keys of a JSON file. For a list: the keys of its first entry, written `[].data`. Raises UserError for a file
    that is not JSON."""
    parts: Any = dict[str, msgspec.Raw] | list[msgspec.Raw]
    top = read_json(file, parts)
    if isinstance(top, dict):
        return tuple(top)
    keys: list[str] = []
    for first in top[:1]:
        with suppress(UserError):  # a number, text or list
            keys += [f"[].{key}" for key in parse_json(bytes(first), dict[str, Any], "")]
    return tuple(keys)
