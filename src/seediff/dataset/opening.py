"""A dataset of any format, opened by what lies in its folder."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from . import native
from .store import Item, open_native

LOOKED_FOR = (
    "metadata.jsonl (native), SegmentationClass/ (VOC), data.yaml (YOLO), *.parquet, *.tar (WebDataset), "
    "annotations/*.json or *.json (COCO)"
)


def open_dataset(path: Path | str, *, split: str | None = None) -> tuple[tuple[str, ...], list[Item]]:
    """Classes, without the background, and samples of a folder of any format that SeeDiff writes, or of one file of such a format.

    split: only samples of this part, such as "train"; samples of no part belong to "train". Raises UserError naming what was looked for
    when the folder is of no known format, and what cannot be used in it.
    """
    path = Path(path)
    format_ = format_of(path)
    if format_ == "native":
        classes, items = open_native(path)
    elif format_ == "voc":
        from .formats.voc import import_voc

        # A VOC folder may hold more lists than train and val.
        return import_voc(path, split=split)
    elif format_ == "yolo":
        from .formats.yolo import import_yolo

        classes, items = import_yolo(path, split=split)
    elif format_ == "parquet":
        from .formats.parquet import import_parquet

        classes, found = import_parquet(path)
        items = list(found)
    elif format_ == "webdataset":
        from .formats.webdataset import import_webdataset

        classes, found = import_webdataset(path)
        items = list(found)
    else:
        from .formats.coco import import_coco

        classes, items = import_coco(path)
    if split is not None:
        items = [item for item in items if item.row.get("split", "train") == split]
    return classes, items


def format_of(path: Path) -> str:
    """ "native", "voc", "yolo", "parquet", "webdataset" or "coco". Raises UserError for anything else."""
    if path.is_file():
        kinds = {".parquet": "parquet", ".tar": "webdataset", ".json": "coco", ".yaml": "yolo", ".yml": "yolo"}
        if path.suffix.lower() in kinds:
            return kinds[path.suffix.lower()]
        raise UserError(f"{path}: is no dataset; name its folder, or a .parquet, .tar or .json file or a data.yaml")
    from .formats.voc import find_voc

    if not path.is_dir():
        raise UserError(f"{path}: there is no such folder or file")
    if (path / native.METADATA).is_file():
        return "native"
    if find_voc(path):
        return "voc"
    if (path / "data.yaml").is_file() or ((path / "images").exists() and next(path.glob("*.y*ml"), None)):
        return "yolo"
    if next(path.rglob("*.parquet"), None):
        return "parquet"
    if next(path.glob("*.tar"), None):
        return "webdataset"
    if (path / "annotations").is_dir() or next(path.glob("*.json"), None) or next(path.glob("*/_annotations.coco.json"), None):
        return "coco"
    held = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
    raise UserError(f"{path}: no dataset of a known format: it holds {held}, but none of {LOOKED_FOR}")
