"""The table of known formats, and which of them a folder or file has. The module with a format's name, imported on
first use, is a `Codec`. The parameters of `read` and `write` declare the
format's options, besides those of `drivers`, for `Dataset` and the commands.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

import msgspec

from ...errors import UserError
from ...files.documents import parse_json, read_json
from ...files.reading import check_unpacked, read_bytes

if TYPE_CHECKING:
    from ..sample import Sample

T = TypeVar("T")
Contents = tuple[tuple[str, ...], "Iterable[Sample]"]
"""The classes without the background, and the samples."""
FormatName = Literal["voc", "coco", "panoptic", "yolo", "masks", "cvat", "labelstudio", "labelme", "cutouts"]
"""Values of `export --to`: formats that are written."""
SourceName = Literal["voc", "coco", "panoptic", "yolo", "masks", "cvat", "labelstudio", "labelme"]
"""Values of `import --from`: formats that are read."""


@dataclass(frozen=True)
class Format:
    """looked_for: what a folder of the format contains, "" if it is not read. void: whether names like `ignore` are
    read as 255. flat: names of samples contain no folders. without: options of `drivers` that the format does not have.
    objects: whether it always holds the objects of samples; a format whose `write` has an option `objects` holds them
    on request."""

    looked_for: str
    void: bool = True
    flat: bool = False
    without: tuple[str, ...] = ()
    objects: bool = False


FORMATS: dict[FormatName | SourceName, Format] = {
    "voc": Format("SegmentationClass/ (VOC)", flat=True),
    "yolo": Format("data.yaml, or labels/ and classes.txt (YOLO)", void=False, flat=True, objects=True),
    "cvat": Format("annotations.xml (CVAT)"),
    "labelstudio": Format("tasks.json (Label Studio)", objects=True),
    "labelme": Format("*.json with shapes (labelme)", flat=True, without=("split", "seed"), objects=True),
    "masks": Format(
        "images/ and masks/ with PNG files, gtFine/ (Cityscapes), objectInfo150.txt (ADE20K) or trainannot/ (CamVid)",
        void=False,
    ),
    "coco": Format("annotations/*.json or *.json (COCO)", void=False, objects=True),
    "panoptic": Format("annotations/panoptic*.json (COCO panoptic)", void=False, objects=True),
    "cutouts": Format("", without=("split", "seed", "link")),
}
READ: list[Any] = [name for name, one in FORMATS.items() if one.looked_for]
"""In the order in which a folder is tried: formats that are recognised most surely come first."""
SUFFIXES: dict[str, SourceName] = {".xml": "cvat", ".yaml": "yolo", ".yml": "yolo"}
"""Of single files besides JSON. `masks` reads some YAML files, too."""
JSON_KINDS: tuple[tuple[set[str], str, str], ...] = (
    ({"images", "annotations", "segments_info"}, "panoptic", ""),
    ({"images", "annotations"}, "coco", ""),
    ({"shapes"}, "labelme", ""),
    ({"[].data"}, "labelstudio", ""),
    ({"[].annotation_id"}, "Label Studio's export JSON-MIN", "export the project as JSON"),
    ({"info", "objects"}, "ISAT's own JSON", "export COCO or VOC from ISAT"),
    ({"_via_img_metadata"}, "VIA's own JSON", "export COCO from VIA"),
    ({"items", "categories"}, "Datumaro's own JSON", "`datum convert -f coco_instances` makes COCO of it"),
    ({"videos", "annotations"}, "a file of videos (YouTube-VIS)", "write a COCO file of its frames"),
    ({"[].predicted_iou"}, "a list of masks without classes (Segment Anything)", "write COCO with a category for each"),
    ({"image", "annotations"}, "a file of masks without classes (SA-1B)", "write COCO with a category for each"),
    (
        {"[].image_id", "[].category_id"},
        "a list of COCO's results, which names no pictures,",
        "put it as 'annotations' beside the 'images' and 'categories' of the set",
    ),
)
"""Keys of a JSON file, as in `Candidate.keys`, its format, or what it is, and the way out if it is not read. The first
fitting row counts."""


class Candidate:
    """A folder or file whose format is sought. Each of its JSON files, which may have hundreds of megabytes, is parsed
    once, however many formats ask."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys = cache(_keys)

    def known_json(self, file: Path) -> SourceName | None:
        """The format of a JSON file by `JSON_KINDS`, or None. Raises UserError for one that is not read, and a file
        that is no JSON."""
        keys = self.keys(file)
        for marks, name, way_out in JSON_KINDS:
            if marks <= {*keys}:
                if way_out:
                    raise UserError(file, f"is {name}, which is not read", way_out)
                return cast(SourceName, name)
        return None

    def is_json(self, name: SourceName, file: Path) -> bool:
        """Whether a file is JSON of this format."""
        try:
            return self.known_json(file) == name
        except UserError:
            return False


class Codec(Protocol):
    """The module of a format. A format that is read has the first two, and one that is written has the last.

    read: `read(source, **options)`, where `source` is an `Import`. is_folder: whether a folder is of the format; of
    `masks`, also whether a YAML file is. write: `write(export, **options)`, where `export` is an `Export`."""

    read: Callable[..., Contents]
    is_folder: Callable[[Candidate], bool]
    write: Callable[..., None]


def codec(name: FormatName | SourceName) -> Codec:
    return cast(Codec, importlib.import_module(f".{name}", __package__))


def export_options(name: FormatName) -> list[str]:
    shared = [option for option in ("split", "seed", "link", "workers") if option not in FORMATS[name].without]
    return [*shared, *list(signature(codec(name).write).parameters)[1:]]


def import_options(name: SourceName) -> list[str]:
    shared = [option for option in ("skip_missing",) if option not in FORMATS[name].without]
    return [*list(signature(codec(name).read).parameters)[1:], *shared]


def recognise(candidate: Candidate, labels_alone: bool = False) -> SourceName:
    """The format of a folder or file, by its files and what is in them. labels_alone: `masks` for any other folder of
    PNG files."""
    path = candidate.path
    if not path.exists():
        raise UserError(path, "no such folder or file")
    from ..native import METADATA, check_finished, check_single, how_to_paint  # imports Pillow

    check_unpacked(path)
    if path.is_file():
        return _of_file(candidate)
    check_finished(path)
    check_single(path)
    for name in READ:
        if codec(name).is_folder(candidate):
            return name
    if labels_alone and any(path.rglob("*.[pP][nN][gG]")):
        return "masks"
    if (path / METADATA).is_file():
        raise UserError(path, "is already a native dataset", "`seediff merge` joins datasets")
    for file in sorted(path.glob("*.json"))[:1]:
        candidate.known_json(file)
    for entry in path.iterdir():
        check_unpacked(entry)
    held = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
    fix = how_to_paint(path)
    if fix:
        raise UserError(path, f"holds pictures without labels ({held})", fix)
    looked_for = ", ".join(["metadata.jsonl (native)", *(FORMATS[name].looked_for for name in READ)])
    raise UserError(path, f"not a dataset of a known format: it holds {held}, but none of {looked_for}")


def _of_file(candidate: Candidate) -> SourceName:
    """The format of a single file."""
    path = candidate.path
    suffix = path.suffix.lower()
    if suffix == ".json":
        kind = candidate.known_json(path)
        if kind is None:
            problem = f"is JSON of no format that is read; it has {', '.join(candidate.keys(path)[:5]) or 'no keys'}"
            raise UserError(path, problem, "COCO has images, annotations and categories, labelme shapes")
        return kind
    if suffix not in SUFFIXES:
        raise UserError(path, "is not a dataset", "name its folder, or a .json, .xml or .yaml file")
    if SUFFIXES[suffix] == "yolo" and codec("masks").is_folder(candidate):
        return "masks"
    return SUFFIXES[suffix]


def others_like(candidate: Candidate, name: SourceName) -> list[SourceName]:
    """The formats besides this one that a folder looks like."""
    return [other for other in READ if candidate.path.is_dir() and other != name and codec(other).is_folder(candidate)]


def read_known(file: Path, kind: type[T], *, strict: bool = True) -> T:
    """A JSON document as `kind`. strict: as for `fit`. Raises UserError; for a file of another format, the error of
    `Candidate.known_json`, which names that format."""
    try:
        return parse_json(read_bytes(file), kind, str(file), strict=strict)
    except UserError:
        Candidate(file).known_json(file)
        raise


def _keys(file: Path) -> tuple[str, ...]:
    """The keys of a JSON object, and `segments_info` if COCO's annotations have this; of a list, those of its first
    entry as `[].key`."""
    parts: Any = dict[str, msgspec.Raw] | list[msgspec.Raw]
    top = read_json(file, parts)
    if isinstance(top, dict):
        annotations = bytes(memoryview(top.get("annotations", b""))[: 1 << 20])  # the first is enough
        if b'"segments_info"' in annotations:
            return (*top, "segments_info")
        return tuple(top)
    keys: list[str] = []
    for first in top[:1]:
        with suppress(UserError):  # a number, text or list
            keys += [f"[].{key}" for key in parse_json(bytes(first), dict[str, Any], "")]
    return tuple(keys)
