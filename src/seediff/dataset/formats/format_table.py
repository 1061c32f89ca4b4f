"""The table of known formats. The codec of a format is the module with its name, imported on first use:
`write(export, **options)` if the format is written, `read(source, **options)` and `is_folder(folder)` if it is read.
Their parameters declare the format's options, besides those of `drivers`, for `Dataset` and the commands.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

import msgspec

from ...errors import UserError
from ...files.documents import parse_json, read_json
from ...files.reading import ANNOTATIONS

FormatName = Literal["voc", "coco", "yolo", "masks", "parquet", "cvat", "labelstudio"]
"""Values of `export --to`: formats that are written."""
SourceName = Literal["voc", "coco", "yolo", "masks", "parquet", "cvat", "labelstudio", "labelme"]
"""Values of `import --from`: formats that are read."""


COCO_KEYS = {"images", "annotations"}
TASK_KEYS = {"data", "annotations", "predictions", "annotation_id"}
"""Keys of Label Studio's tasks; the last is of its export JSON-MIN, which is not supported."""


@dataclass(frozen=True)
class Format:
    """looked_for: what a folder of the format contains, if it is read. suffixes: of single files that are, or describe,
    a dataset. flat: names of samples contain no folders. without: options of `drivers` that the format does not have.
    objects: whether it always holds the objects of samples; a format whose `write` has an option `objects` holds them
    on request."""

    looked_for: str = ""
    suffixes: tuple[str, ...] = ()
    flat: bool = False
    without: tuple[str, ...] = ()
    objects: bool = False


FORMATS: dict[SourceName | FormatName, Format] = {
    "voc": Format("SegmentationClass/ (VOC)", flat=True),
    "yolo": Format("data.yaml, or labels/ and classes.txt (YOLO)", (".yaml", ".yml"), flat=True, objects=True),
    "cvat": Format("annotations.xml (CVAT)", (".xml",)),
    "labelstudio": Format("tasks.json (Label Studio)", (".json",), objects=True),
    "labelme": Format("*.json with shapes (labelme)", (".json",)),
    "parquet": Format("*.parquet", (".parquet",), without=("link", "skip_missing")),
    "masks": Format(
        "images/ and masks/, gtFine/ (Cityscapes), objectInfo150.txt (ADE20K) or trainannot/ (CamVid)",
        (".yaml", ".yml"),
    ),
    "coco": Format("annotations/*.json or *.json (COCO)", (".json",), objects=True),
}
"""In the order in which a folder or file is tried: formats that are recognised most surely come first."""
READ: tuple[SourceName, ...] = tuple(name for name in FORMATS if name in get_args(SourceName))
assert {*FORMATS} == {*get_args(SourceName), *get_args(FormatName)}


def codec(name: SourceName | FormatName) -> Any:
    return importlib.import_module(f".{name}", __package__)


def export_options(name: FormatName) -> list[str]:
    shared = [option for option in ("split", "seed", "link", "workers") if option not in FORMATS[name].without]
    return [*shared, *list(signature(codec(name).write).parameters)[1:]]


def import_options(name: SourceName) -> list[str]:
    shared = [option for option in ("skip_missing",) if option not in FORMATS[name].without]
    return [*list(signature(codec(name).read).parameters)[1:], *shared]


def recognise(path: Path, labels_alone: bool = False) -> SourceName:
    """The format of a folder or file, by its files and what is in them. labels_alone: `masks` for any other folder of
    PNG files."""
    if not path.exists():
        raise UserError(path, "no such folder or file")
    from ..native import (
        METADATA,  # imports Pillow
        check_finished,
    )

    if path.is_file():
        suffix = path.suffix.lower()
        named: list[SourceName] = [name for name in READ if suffix in FORMATS[name].suffixes]
        if not named:
            raise UserError(path, "is not a dataset", "name its folder, or a .parquet, .json, .xml or .yaml file")
        if suffix == ".json":
            kind = json_kind(path) or "coco"
            return _not_isat(path) if kind == "isat" else kind
        return "masks" if "masks" in named and codec("masks").semantic_yaml(path) else named[0]
    check_finished(path)
    for name in READ:
        if codec(name).is_folder(path):
            return name
    if labels_alone and any(path.rglob("*.[pP][nN][gG]")):
        return "masks"
    if (path / METADATA).is_file():
        raise UserError(path, "is already a native dataset", "`seediff merge` joins datasets")
    if any(json_kind(file) == "isat" for file in sorted(path.glob("*.json"))[:1]):
        _not_isat(path)
    if any(path.glob("*.tar")):
        fix = "unpack them, rename every NAME.mask.png to NAME_mask.png, and give --from masks"
        raise UserError(path, "holds tar files, as webdataset reads them, which are not read", fix)
    held = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
    looked_for = ", ".join(["metadata.jsonl (native)", *(FORMATS[name].looked_for for name in READ)])
    raise UserError(path, f"not a dataset of a known format: it holds {held}, but none of {looked_for}")


def _not_isat(path: Path) -> NoReturn:
    raise UserError(path, "holds ISAT's own JSON, which is not supported", "export COCO or VOC from ISAT")


def json_kind(file: Path) -> Literal["coco", "labelme", "labelstudio", "isat"] | None:
    """The format of a JSON file by its keys, or of a list by those of its first entry."""
    try:
        parts: Any = dict[str, msgspec.Raw] | list[msgspec.Raw]
        top = read_json(file, parts, limit=ANNOTATIONS)
        keys = parse_json(bytes(top[0]), dict[str, Any], "") if isinstance(top, list) else top
    except (UserError, IndexError):
        return None
    if isinstance(top, list):  # COCO's results are a list, too
        return None if TASK_KEYS.isdisjoint(keys) else "labelstudio"
    if "shapes" in keys and "images" not in keys:
        return "labelme"
    if {"info", "objects"} <= keys.keys():
        return "isat"
    return None if COCO_KEYS.isdisjoint(keys) else "coco"


def load_extra(module: str, extra: str) -> Any:
    """Import a module that only one format needs."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f'needs {module.split(".")[0]}: pip install "seediff[{extra}]"') from error
