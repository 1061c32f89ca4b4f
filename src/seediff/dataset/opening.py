"""A dataset of any format, opened by what lies in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..errors import UserError
from . import native
from .formats.known import FORMATS, FormatName, importer
from .sample import Sample
from .store import open_native
from .unfinished import check_finished

LOOKED_FOR = ", ".join([f"{native.METADATA} (native)", *(known.looked_for for known in FORMATS.values())])


def open_dataset(path: Path | str, *, split: str | None = None) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes, without the background, and samples of a folder of any format that SeeDiff writes, or of one file of such a format.

    split: only samples of this part, such as "train"; samples of no part belong to "train". Raises UserError naming what was looked for
    when the folder is of no known format, and what cannot be used in it.
    """
    path = Path(path)
    format_ = format_of(path)
    if format_ == "native":
        classes, items = open_native(path)
    elif FORMATS[format_].takes_split:
        # A folder may have more parts than rows tell of.
        classes, items = importer(format_)(path, split=split)
        return classes, list(items)
    else:
        classes, items = importer(format_)(path)
    if split is not None:
        items = (item for item in items if item.metadata.get("split", "train") == split)
    return classes, list(items)


def format_of(path: Path) -> FormatName | Literal["native"]:
    """The format of a folder or file. Raises UserError for anything else."""
    if path.is_file():
        for name, known in FORMATS.items():
            if path.suffix.lower() in known.suffixes and known.is_file(path):
                return name
        raise UserError(f"{path}: is no dataset; name its folder, or a .parquet, .tar, .json or .xml file or a data.yaml")
    if not path.is_dir():
        raise UserError(f"{path}: there is no such folder or file")
    if (path / native.METADATA).is_file():
        return "native"
    check_finished(path)
    for name, known in FORMATS.items():
        if known.is_folder(path):
            return name
    held = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
    raise UserError(f"{path}: no dataset of a known format: it holds {held}, but none of {LOOKED_FOR}")
