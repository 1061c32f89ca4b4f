"""The formats that are known: one table. A format's module has `export_NAME` and `import_NAME`, and is imported when it is first needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from .options import CocoOptions, CvatOptions, ExportOptions, FolderOptions, LinkOptions, ParquetOptions, VocOptions, WebDatasetOptions

FormatName = Literal[
    "voc",
    "coco",
    "yolo",
    "parquet",
    "webdataset",
    "ultralytics",
    "cvat",
    "cvat-masks",
    "labelstudio",
    "fiftyone",
    "roboflow",
    "imagefolder",
]
"""What `export --to` and `import --from` take. NAME of functions and modules has _ for -."""


@dataclass(frozen=True)
class Format:
    """How a folder or a file of a format is told from others. looked_for: in words, for whoever has none of it.

    options: what `export_NAME` takes.
    is_folder: asked in the order of FORMATS, the surest first. suffixes: of single files that are a whole data set, or name one; of two
    formats with the same, is_file tells.
    takes_split: `import_NAME` reads one part alone, and knows names of parts that rows do not.
    """

    looked_for: str
    is_folder: Callable[[Path], bool]
    options: type[ExportOptions]
    suffixes: tuple[str, ...] = ()
    is_file: Callable[[Path], bool] = lambda path: True
    takes_split: bool = False


def _asks(module: str, function: str) -> Callable[[Path], bool]:
    """A function of a format's module, which is imported when it is first asked."""
    return lambda path: bool(getattr(importlib.import_module(f".{module}", __package__), function)(path))


def _is_yolo(folder: Path) -> bool:
    return (folder / "data.yaml").is_file() or ((folder / "images").exists() and any(folder.glob("*.y*ml")))


def _is_coco(folder: Path) -> bool:
    return (folder / "annotations").is_dir() or any(folder.glob("*.json")) or any(folder.glob("*/_annotations.coco.json"))


FORMATS: dict[FormatName, Format] = {
    "cvat-masks": Format("SegmentationClass/ and labelmap.txt (CVAT)", _asks("cvat_masks", "is_cvat_masks"), CvatOptions, takes_split=True),
    "voc": Format("SegmentationClass/ (VOC)", _asks("voc", "find_voc"), VocOptions, takes_split=True),
    "ultralytics": Format(
        "data.yaml with masks_dir (Ultralytics)",
        _asks("ultralytics", "is_ultralytics"),
        LinkOptions,
        (".yaml", ".yml"),
        _asks("ultralytics", "names_masks"),
        takes_split=True,
    ),
    "yolo": Format("data.yaml (YOLO)", _is_yolo, FolderOptions, (".yaml", ".yml"), takes_split=True),
    "imagefolder": Format("train/metadata.jsonl (imagefolder)", _asks("imagefolder", "is_imagefolder"), LinkOptions),
    "cvat": Format("annotations.xml (CVAT)", _asks("cvat", "is_cvat"), CvatOptions, (".xml",)),
    "labelstudio": Format(
        "tasks.json (Label Studio)",
        _asks("labelstudio", "is_labelstudio"),
        LinkOptions,
        (".json",),
        _asks("labelstudio", "is_task_list"),
    ),
    "roboflow": Format("_classes.csv (Roboflow)", _asks("roboflow", "is_roboflow"), LinkOptions),
    "parquet": Format("*.parquet", lambda folder: any(folder.rglob("*.parquet")), ParquetOptions, (".parquet",)),
    "webdataset": Format("*.tar (WebDataset)", lambda folder: any(folder.glob("*.tar")), WebDatasetOptions, (".tar",)),
    "fiftyone": Format("data/ and labels/ (FiftyOne)", _asks("fiftyone", "is_fiftyone"), LinkOptions),
    "coco": Format("annotations/*.json or *.json (COCO)", _is_coco, CocoOptions, (".json",)),
}
assert set(FORMATS) == set(get_args(FormatName))


def exporter(name: FormatName) -> Callable[..., Any]:
    """`export_NAME`."""
    return _named("export", name)


def importer(name: FormatName) -> Callable[..., Any]:
    """`import_NAME`."""
    return _named("import", name)


def _named(what: str, name: FormatName) -> Callable[..., Any]:
    module = name.replace("-", "_")
    return getattr(importlib.import_module(f".{module}", __package__), f"{what}_{module}")
