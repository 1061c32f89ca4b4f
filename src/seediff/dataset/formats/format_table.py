"""The table of known formats, and which of them a folder or file has. The module with a format's name is a `Codec`,
which is imported on first use. The parameters of its `read` and `write` are the format's options, for `Dataset` and the
commands, besides those of `drivers`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, cast

import msgspec

from ...errors import UserError
from ...files.documents import parse_json, read_json
from ...files.reading import check_unpacked, read_bytes

if TYPE_CHECKING:
    from ..sample import Sample

T = TypeVar("T")
SourceName = Literal["voc", "coco", "panoptic", "yolo", "masks", "cvat", "labelstudio", "labelme"]
"""Values of `import --from`: formats that are read."""
FormatName = Literal[SourceName, "cutouts"]
"""Values of `export --to`: formats that are written."""


class Contents(NamedTuple):
    """What is read of a folder or file in a format."""

    classes: tuple[str, ...]
    """The names of ids 1, 2, …, without the background."""
    samples: Iterable[Sample]
    ids: Mapping[int, int] | None = None
    """Stored value → id, if the format has a list of values."""
    about: str = ""
    """The set, in words."""
    notes: Sequence[str] = ()
    """Lines about what was left out. `read_format` adds them, not the codec."""


@dataclass(frozen=True)
class Format:
    """What is known of a format without importing its module."""

    looked_for: str
    """What a folder of the format contains; "" if the format is not read."""
    void: bool = True
    """Whether names such as `ignore` are read as 255."""
    flat: bool = False
    """Whether names of samples contain no folders."""
    without: tuple[str, ...] = ()
    """Options of `drivers` that the format does not have."""
    objects: bool = False
    """Whether the format always holds the objects of samples. One whose `write` has an option `objects` holds them on
    request."""
    shown: bool = False
    """Whether the format's tools draw on pictures as their EXIF orientation turns them."""


FORMATS: dict[FormatName, Format] = {
    "voc": Format("SegmentationClass/ (VOC)", flat=True),
    "yolo": Format("data.yaml, or labels/ and classes.txt (YOLO)", void=False, flat=True, objects=True, shown=True),
    "cvat": Format("annotations.xml (CVAT)", shown=True),
    "labelstudio": Format("tasks.json (Label Studio)", objects=True, shown=True),
    "labelme": Format("*.json with shapes (labelme)", flat=True, without=("split", "seed"), objects=True, shown=True),
    "masks": Format(
        "images/ and masks/ with PNG files, gtFine/ (Cityscapes), objectInfo150.txt (ADE20K) or trainannot/ (CamVid)",
        void=False,
    ),
    "coco": Format("annotations/*.json or *.json (COCO)", void=False, objects=True),
    "panoptic": Format("annotations/panoptic*.json (COCO panoptic)", void=False, objects=True),
    "cutouts": Format("", without=("split", "seed", "link")),
}
READ: list[Any] = [name for name, one in FORMATS.items() if one.looked_for]
"""The formats that are read, in the order in which a folder is tried: the most surely recognised come first."""
SUFFIXES: dict[str, SourceName] = {".xml": "cvat", ".yaml": "yolo", ".yml": "yolo"}
"""Suffix of a single file that is not JSON → its format. `masks` also reads some YAML files."""
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
"""(keys of a JSON file, its format, ""), or for a file that is not read (keys, what it is, the way out). Keys are those
of `_keys`. The first row whose keys the file has counts."""


class Candidate:
    """A folder or file whose format is sought. Each of its JSON files, which may have hundreds of megabytes, is parsed
    once, however many formats ask."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys = cache(_keys)

    def known_json(self, file: Path) -> SourceName | None:
        """The format of a JSON file by `JSON_KINDS`, or None. Raises UserError for a kind that is not read, and for a
        file that is not JSON."""
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
    """The module of a format. A format that is read has the first two functions, one that is written the last."""

    read: Callable[..., Contents]
    """`read(source, **options)`, where `source` is an `Import`."""
    is_folder: Callable[[Candidate], bool]
    """Whether a folder is of the format; in `masks`, also whether a YAML file is."""
    write: Callable[..., None]
    """`write(export, **options)`, where `export` is an `Export`."""


def codec(name: FormatName) -> Codec:
    return cast(Codec, importlib.import_module(f".{name}", __package__))


def export_options(name: FormatName) -> list[str]:
    """The names of the options with which a format is written."""
    shared = [option for option in ("split", "seed", "link", "workers") if option not in FORMATS[name].without]
    return [*shared, *list(signature(codec(name).write).parameters)[1:]]


def import_options(name: SourceName) -> list[str]:
    """The names of the options with which a format is read."""
    shared = [option for option in ("skip_missing",) if option not in FORMATS[name].without]
    return [*list(signature(codec(name).read).parameters)[1:], *shared]


def recognise(candidate: Candidate, labels_alone: bool = False) -> SourceName:
    """The format of a folder or file, by its files and their contents. labels_alone: any other folder of PNG files is
    of the format `masks`. Raises UserError for anything else."""
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
    """The keys of a JSON object, and `segments_info` if COCO's annotations have this key. For a list: the keys of its
    first entry, as `[].key`."""
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
