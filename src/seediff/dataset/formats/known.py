"""The formats that are known: one table. A format's module has `export_NAME` and `import_NAME`, and is imported when it is first needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from .options import CocoOptions, ExportOptions, FolderOptions, ParquetOptions, VocOptions, WebDatasetOptions

FormatName = Literal["voc", "coco", "yolo", "parquet", "webdataset"]
"""What `export --to` and `import --from` take."""


@dataclass(frozen=True)
class Format:
    """How a folder or a file of a format is told from others. looked_for: in words, for whoever has none of it.

    options: what `export_NAME` takes.
    is_folder: asked in the order of FORMATS, the surest first. suffixes: of single files that are a whole data set.
    takes_split: `import_NAME` reads one part alone, and knows names of parts that rows do not.
    """

    looked_for: str
    is_folder: Callable[[Path], bool]
    options: type[ExportOptions]
    suffixes: tuple[str, ...] = ()
    takes_split: bool = False


def _is_voc(folder: Path) -> bool:
    from .voc import find_voc

    return find_voc(folder) is not None


def _is_yolo(folder: Path) -> bool:
    return (folder / "data.yaml").is_file() or ((folder / "images").exists() and any(folder.glob("*.y*ml")))


def _is_coco(folder: Path) -> bool:
    return (folder / "annotations").is_dir() or any(folder.glob("*.json")) or any(folder.glob("*/_annotations.coco.json"))


FORMATS: dict[FormatName, Format] = {
    "voc": Format("SegmentationClass/ (VOC)", _is_voc, VocOptions, takes_split=True),
    "yolo": Format("data.yaml (YOLO)", _is_yolo, FolderOptions, (".yaml", ".yml"), takes_split=True),
    "parquet": Format("*.parquet", lambda folder: any(folder.rglob("*.parquet")), ParquetOptions, (".parquet",)),
    "webdataset": Format("*.tar (WebDataset)", lambda folder: any(folder.glob("*.tar")), WebDatasetOptions, (".tar",)),
    "coco": Format("annotations/*.json or *.json (COCO)", _is_coco, CocoOptions, (".json",)),
}
assert set(FORMATS) == set(get_args(FormatName))


def exporter(name: FormatName) -> Callable[..., Any]:
    """`export_NAME`."""
    return getattr(importlib.import_module(f".{name}", __package__), f"export_{name}")


def importer(name: FormatName) -> Callable[..., Any]:
    """`import_NAME`."""
    return getattr(importlib.import_module(f".{name}", __package__), f"import_{name}")
