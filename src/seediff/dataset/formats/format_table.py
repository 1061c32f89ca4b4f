"""The table of known formats, and how the format of a folder or file is recognised.

A format's codec is the module with its name, which is imported on first use. `ExportOptions` and `ImportOptions` are
the options that only some formats have, in `Dataset` and in the commands; the table says which format has which.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from cyclopts import Group, Parameter

from ...config.class_names import name_of_zero, parse_classes, reserved_id
from ...config.fields import WORD, Count, Seed, Share, check_fields, read_names
from ...errors import UserError
from ...files.reading import parse_json, read_json

SourceName = Literal["voc", "coco", "yolo", "masks", "cvat", "labelstudio", "labelme"]
"""Formats that SeeDiff reads: the values of `import --from`."""
SetFormat = Literal[SourceName, "native"]
"""What `Dataset.open` reads."""
FormatName = Literal[SourceName, "trainer", "cutouts"]
"""Formats that SeeDiff writes: the values of `export --to`."""
VOC_YEAR = "VOC2[0-9][0-9][0-9]"
"""The pattern of the folders in VOCdevkit/, such as VOC2012."""


@dataclass(frozen=True)
class Format:
    """What is known of a format without importing its codec."""

    looked_for: str
    """What a folder of the format contains, for messages; "" if SeeDiff does not read the format."""
    patterns: tuple[str, ...] = ()
    """A folder is of the format if it contains a file or folder of one of these patterns."""
    keys: frozenset[str] = frozenset()
    """The keys of the format's JSON files, those of a list's first entry written `[].data`; empty if it has no such
    files. Without patterns and keys, the codec's `is_folder` decides."""
    reserves_void: bool = True
    """Whether the format reserves names such as `ignore` for 255."""
    names_pictures: bool = False
    """Whether the format's files name pictures. Otherwise a picture and its labels are paired by their paths."""
    flat: bool = False
    """Whether the format keeps all samples in one folder, so that their names contain no folder."""
    reads: tuple[str, ...] = ()
    """Its `ImportOptions`, besides those that all formats have, and `boxes`, which those with objects have."""
    compares: tuple[str, ...] = ()
    """Its options of `Dataset.open` that are no `ImportOptions`: for label maps that are compared."""
    writes: tuple[str, ...] = ()
    """Its `ExportOptions`."""
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
        reads=("classes", "masks"),
        writes=(*PARTS, "link", "jpeg"),
    ),
    "yolo": Format(
        "data.yaml, or labels/ and classes.txt (YOLO)",
        reserves_void=False,
        flat=True,
        objects=True,
        shown=True,
        reads=("classes", "labels"),
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
        reserves_void=False,
        names_pictures=True,
        objects=True,
        reads=("crowds",),
        writes=(*PARTS, "link", "min_area", "polygons"),
    ),
    "masks": Format(
        "images/ and masks/ with PNG files, gtFine/ (Cityscapes), objectInfo150.txt (ADE20K) or trainannot/ (CamVid)",
        reserves_void=False,
        reads=("classes", "masks", "numbers"),
        compares=("void",),
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
    """The module of a format. It has `read(source)`, which makes `Contents` of a `Source` (source.py), and
    `write(export)`, which puts files into an `Export`; without `patterns` and `keys`, also `is_folder(path)`."""
    return importlib.import_module(f".{name}", __package__)


def read_class_names(classes: str) -> tuple[str, ...]:
    """The names in the text of an option `classes`. Raises UserError."""
    zero = name_of_zero(classes)
    if reserved_id(zero):
        problem = f"{classes}: calls id 0 {zero!r}, but with this option 0 is the background"
        raise UserError("classes", problem, "put the file into the folder as classes.txt, and leave out the option")
    return parse_classes(classes)


CLASSES = read_names(read_class_names)
OF_FORMATS = Parameter(name="*", group=Group("Format", sort_key=6), negative=())


@OF_FORMATS
@dataclass(frozen=True)
class ExportOptions:
    """Options of some formats of `export`. Raises UserError, with the field's name, for a value out of range."""

    link: bool = False
    """Hard-link images instead of copying them, where the file system allows it."""
    split: Annotated[Share | None, Parameter(show_default="`split` in metadata.jsonl, else 0")] = None
    """Share of the samples for validation, from 0 to 1."""
    seed: Seed = 0
    """With --split: random seed; a different seed chooses different samples."""
    min_area: Annotated[Count | Literal["auto"], WORD] = 1
    """Smallest object in pixels; smaller pieces are left out. `auto`: 1 % of the image in masks that a model made and
    nobody checked."""
    polygons: bool = False
    """Write objects as polygons instead of run lengths."""
    classes: Annotated[tuple[str, ...] | None, CLASSES, Parameter(show_default="all")] = None
    """The trained classes, separated by commas; one mask shows all of them."""
    soft: bool = False
    """Soft masks, if there are any: as grey masks, or as the transparency of cut-outs."""
    layout: Annotated[Literal["folders", "beside"], WORD] = "folders"
    """Masks in a folder masks/, or beside the image as NAME-masklabel.png."""
    jpeg: bool = False
    """Convert PNG images to JPEG of quality 95."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.seed and self.split is None:
            raise UserError("seed", "works only with --split SHARE")


@OF_FORMATS
@dataclass
class ImportOptions:
    """Options of some formats of `import`."""

    split: Annotated[str | None, Parameter(show_default="all")] = None
    """Only this part, such as val."""
    classes: Annotated[
        Sequence[str] | None, CLASSES, Parameter(show_default="the set's own; for voc without any, VOC's twenty")
    ] = None
    """Names separated by commas, a file of names, or `voc`."""
    images: Annotated[Path | None, Parameter(show_default="found in the set")] = None
    """Folder of the images."""
    masks: Annotated[Path | None, Parameter(show_default="found in the set")] = None
    """Folder of the masks."""
    numbers: Annotated[Literal["objects"] | None, WORD, Parameter(show_default="of classes")] = None
    """`objects`: the numbers in masks are of objects, which are all of the set's only class."""
    labels: Annotated[Path | None, Parameter(show_default="found in the set")] = None
    """Folder of the label files."""
    crowds: Annotated[
        Literal["ignored", "objects"] | None, Parameter(show_default="ignored; an error if there are no others")
    ] = None
    """How to read annotations with iscrowd 1."""
    boxes: Annotated[
        Literal["masks"] | None,
        WORD,
        Parameter(show_default="their pixels are ignored; an error if nine shapes of ten are boxes"),
    ] = None
    """`masks`: read boxes, also polygons that are boxes, as masks."""
    skip_missing: bool = False
    """Leave out labels whose image is missing."""


def options_of(options: type, name: FormatName) -> list[str]:
    """The names of a format's options. options: ExportOptions or ImportOptions. Raises UserError for another format."""
    known = get_args({ExportOptions: FormatName, ImportOptions: SetFormat}[options])
    if name not in known:
        raise UserError("format", f"{name} is none of {', '.join(known)}")
    one = FORMATS[name]
    has = one.writes
    if options is ImportOptions:
        has = ("split", "images", *one.reads, "skip_missing")
        if one.objects:
            has += ("boxes",)
    return [field.name for field in fields(options) if field.name in has]


def formats_with(options: type, option: str) -> list[str]:
    """The formats that have an option. options: ExportOptions or ImportOptions; other classes have no such options."""
    formats: dict[type, Any] = {ExportOptions: FormatName, ImportOptions: SourceName}
    return [name for name in get_args(formats.get(options)) if option in options_of(options, name)]


def recognise(path: Path) -> Iterator[SourceName]:
    """The formats that fit a folder or file, by its files and their contents, the surest first. Raises UserError for a
    file that is not JSON although its name says so."""
    if path.is_file():
        suffix = path.suffix.lower()
        found = json_format(path) if suffix == ".json" else SUFFIXES.get(suffix)
        if found is not None:
            yield found
        return
    by_json = set[Any]()
    for file in chain(*(sorted(path.glob(pattern))[:MOST] for pattern in JSON_FILES)):
        with suppress(UserError):  # damaged, or JSON lines
            by_json.add(json_format(file))
    for name in READ:
        one = FORMATS[name]
        fits = name in by_json or any(any(path.glob(pattern)) for pattern in one.patterns)
        if fits or (not one.patterns and not one.keys and codec(name).is_folder(path)):
            yield name


def json_format(file: Path) -> SourceName | None:
    """The format of a JSON file, by its keys; None if it has the keys of no format. Raises UserError for a file that is
    not JSON."""
    parts: Any = dict[str, msgspec.Raw] | list[msgspec.Raw]
    top = read_json(file, parts)
    keys = {*top} if isinstance(top, dict) else set[str]()
    if isinstance(top, list) and top:
        with suppress(UserError):  # a number, text or list
            keys = {f"[].{key}" for key in parse_json(bytes(top[0]), dict[str, Any], "")}
    return next((name for name in READ if FORMATS[name].keys and FORMATS[name].keys <= keys), None)
