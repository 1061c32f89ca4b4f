"""What formats share that keep a sample in one record, with the bytes of its files, instead of files of their own: parquet, WebDataset."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...config.names import BACKGROUND
from ...errors import UserError
from ...files.documents import parse_json
from ...files.messages import shown
from ...files.pictures import open_picture
from ..rows import check_class_list, check_name, check_row
from ..sample import Sample


def pack_mask(item: Sample, *, classes: int) -> bytes:
    """The bytes of an item's label map as a palette PNG, after a look at it. Raises UserError naming the sample."""
    return item.mask_data(item.labels(classes))


def unpack(name: str, image: bytes, mask: bytes, row: Mapping[str, Any], where: str, taken: set[str]) -> Sample:
    """The item of a record, whose name is added to those taken. where: how an error calls the record. Raises UserError."""
    for what, value, kind in (("name", name, str), ("image", image, bytes), ("mask", mask, bytes)):
        if not isinstance(value, kind):
            raise UserError(f"{where}: its {what} must be {'a text' if kind is str else 'the bytes of a picture'}, not {shown(value)}")
    try:
        check_name(name, taken)
        _check_picture(image)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    check_row(dict(row), f"{where}, metadata")
    return Sample(image, lambda: decode_label_map(mask, where), metadata=row, name=name)


def _check_picture(image: bytes) -> None:
    with open_picture(image, "its image") as picture:
        kind = picture.format or "of no known kind"
    if kind not in ("PNG", "JPEG"):
        raise UserError(f"its image is {kind}; pictures of datasets are PNG or JPEG files")


def decode_label_map(data: bytes, where: str) -> np.ndarray:
    """(H, W) uint8: the ids in the bytes of an 8-bit palette or grey PNG."""
    with open_picture(data, f"{where}: its label map") as picture:
        kind, mode = picture.format, picture.mode
        array = np.asarray(picture)
    if kind != "PNG" or mode not in ("P", "L"):
        raise UserError(f"{where}: its label map is {kind} {mode}; it must be an 8-bit palette or grey PNG, whose pixels are ids")
    return array


def class_list(classes: Sequence[str]) -> str:
    """Lines of `id: name` for the card of a set, the background's among them. YAML reads JSON's texts, and nothing in those is a line break
    or a fence of Markdown's."""
    return "".join(f"{i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate([BACKGROUND, *classes]))


def row_text(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)


def parse_row(text: Any, where: str) -> dict[str, Any]:
    """A row of metadata from its JSON; nothing at all is an empty row."""
    if text is not None and not isinstance(text, str | bytes):
        raise UserError(f"{where}: its metadata must be a text, not {shown(text)}")
    return parse_json(text or "{}", dict[str, Any], f"{where}: its metadata")


def checked_classes(classes: Any, where: str | Path) -> tuple[str, ...]:
    """Class names that a file holds, without the background. Raises UserError when they are no such list."""
    if not isinstance(classes, Sequence) or isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise UserError(f"{where}: classes must be a list of texts, not {classes!r}")
    try:
        check_class_list(tuple(classes))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return tuple(classes)


def load_extra(module: str, extra: str) -> Any:
    """A module that only one format needs. Raises UserError saying how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f'needs {module.split(".")[0]}: pip install "seediff[{extra}]"') from error
