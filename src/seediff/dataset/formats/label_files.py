"""Label maps as formats have them that keep pixels: PNG files, in a folder or in a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...config.names import BACKGROUND
from ...errors import UserError
from ...files.documents import parse_json
from ...files.label_maps import voc_palette
from ...files.messages import shown
from ...files.pictures import open_picture
from .. import native
from ..encoding import decode_label_map, encode_grey, read_label_map
from ..rows import check_row
from ..sample import Sample
from .drivers import Source

IGNORED = ("ignored", "ignore", "void", "unlabeled", "unlabelled", "__ignore__")
"""Names of labels that mean 255, where a format has no other way to say it; the second is what we write."""
GROUNDS = (BACKGROUND, f"_{BACKGROUND}_", f"__{BACKGROUND}__")
"""What tools call id 0; the second is labelme's."""
PICTURES = (".png", ".jpg", ".jpeg")


def grey(sample: Sample, *, classes: Sequence[str]) -> bytes:
    """A sample's label map as an 8-bit grey PNG, for readers that make colours of a palette. Raises UserError naming the sample."""
    return encode_grey(sample.labels(len(classes)))


def palette(sample: Sample, *, classes: Sequence[str]) -> bytes:
    """A sample's label map as a palette PNG. Raises UserError naming the sample."""
    return sample.mask_data(sample.labels(len(classes)))


@dataclass(frozen=True)
class Mapped:
    """A label map that is a file whose values mean ids, by `ids`; 255 is what it says there, else ignored. `label_map` of a sample.

    named: what says which values there are, for messages.
    """

    path: Path
    ids: Mapping[int, int]
    named: str

    def __call__(self) -> np.ndarray:
        """(H, W) uint8. Raises UserError naming the file and a value that means nothing."""
        values = read_label_map(self.path)
        table, known = np.zeros(256, np.uint8), np.zeros(256, bool)
        for value, class_id in {native.IGNORE: native.IGNORE, **self.ids}.items():
            table[value], known[value] = class_id, True
        if not (meant := known[values]).all():
            raise UserError(f"{self.path}: has the value {int(values[~meant][0])}, which is no class of {self.named}")
        return table[values]


def pictures_below(folder: Path) -> list[Path]:
    """PNG and JPEG files at any depth of a folder, hidden ones apart, in the order of their paths."""
    files = [path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file()]
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def check_ignored(classes: Sequence[str]) -> None:
    """Raise UserError for a class whose name means 255 in this format."""
    if meant := next((name for name in classes if name.casefold() in IGNORED), None):
        raise UserError(f"class '{meant}': means pixels that are ignored in this format; give it another name in {native.CLASSES}")


def label_ids(classes: Sequence[str]) -> dict[str, int]:
    """The id of each class, of the background, and of what means 255."""
    return {BACKGROUND: 0, **dict.fromkeys(IGNORED, native.IGNORE), **{name: number for number, name in enumerate(classes, 1)}}


def named_colours(classes: Sequence[str]) -> list[tuple[str, str]]:
    """The classes, and what 255 is called, with their colours, VOC's."""
    colours = bytes(voc_palette())
    named = [*enumerate(classes, 1), (native.IGNORE, IGNORED[1])]
    return [(name, f"#{colours[3 * i : 3 * i + 3].hex()}") for i, name in named]


def from_record(source: Source, name: Any, image: Any, mask: Any, row: dict[str, Any], where: str) -> Sample:
    """The sample of a record that holds the bytes of its files. where: how an error calls the record. Raises UserError."""
    for what, value, kind in (("name", name, str), ("image", image, bytes), ("mask", mask, bytes)):
        if not isinstance(value, kind):
            raise UserError(f"{where}: its {what} must be {'a text' if kind is str else 'the bytes of a picture'}, not {shown(value)}")
    sample = source.sample(name, image, partial(decode_label_map, mask, f"{where}: its label map"), row, where)
    with open_picture(image, f"{where}: its image") as picture:
        kind = picture.format or "of no known kind"
    if kind not in ("PNG", "JPEG"):
        raise UserError(f"{where}: its image is {kind}; pictures of datasets are PNG or JPEG files")
    check_row(row, f"{where}, metadata")
    return sample


def row_text(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)


def parse_row(text: Any, where: str) -> dict[str, Any]:
    """A row of metadata from its JSON; nothing at all is an empty row."""
    if text is not None and not isinstance(text, str | bytes):
        raise UserError(f"{where}: its metadata must be a text, not {shown(text)}")
    return parse_json(text or "{}", dict[str, Any], f"{where}: its metadata")


HUB_SPLITS = {"train": "train", "val": "validation", "test": "test"}
"""Our splits in the words of the Hugging Face hub."""


def hub_card(classes: Sequence[str], front_matter: str = "") -> str:
    """README.md for the hub: what `label_map` and `metadata` are, and the ids of the classes. YAML reads JSON's texts, and nothing in those
    is a line break or a fence of Markdown's."""
    ids = "".join(f"{i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate([BACKGROUND, *classes]))
    return (
        f"---\ntask_categories:\n- image-segmentation\n{front_matter}---\n\n# Images with segmentation masks\n\n"
        '`label_map` is a palette picture whose pixels are class ids, 255 where ignored: `numpy.array(row["label_map"])`. '
        f"`metadata` is JSON. Class ids:\n\n```yaml\n{ids}```\n"
    )
