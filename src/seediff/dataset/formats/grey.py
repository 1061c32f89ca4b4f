"""What formats share that are folders of pictures and label maps: grey PNG files, for readers that make colours of a palette."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import UserError
from ...files.places import put
from ...files.reading import leads_out
from .. import native
from ..encoding import MaskFile
from ..rows import check_name, flat_name
from ..sample import Sample
from ..split import assign_splits
from .exporting import worked_on
from .options import LinkOptions


def as_grey(item: Sample, *, classes: int) -> bytes:
    """The bytes of an item's label map as an 8-bit grey PNG, after a look at it."""
    buffer = io.BytesIO()
    Image.fromarray(item.labels(classes)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@dataclass(frozen=True)
class Mapped:
    """A label map that is a file whose values mean ids, by `ids`; 255 is what it says there, else ignored. `label_map` of an item.

    named: what says which values there are, for messages.
    """

    path: Path
    ids: Mapping[int, int]
    named: str

    def __call__(self) -> np.ndarray:
        """(H, W) uint8. Raises UserError naming the file and a value that means nothing."""
        values = native.read_label_map(self.path)
        table, known = np.zeros(256, np.uint8), np.zeros(256, bool)
        for value, number in {native.IGNORE: native.IGNORE, **self.ids}.items():
            table[value], known[value] = number, True
        if not (named := known[values]).all():
            raise UserError(f"{self.path}: has the value {int(values[~named][0])}, which is no class of {self.named}")
        return table[values]


def put_pairs(
    part: Path,
    classes: Sequence[str],
    items: Iterable[Sample],
    options: LinkOptions,
    place: Callable[[str, str, str], tuple[str, str]],
    *,
    encode: Callable[..., bytes] = as_grey,
    flat: bool = False,
) -> list[Placed]:
    """Write every item's picture and label map below `part`. place: (name, split, suffix) → both files' paths. flat: names without folders.

    Raises UserError naming the sample that cannot be used.
    """
    items = list(items)
    names = [flat_name(item.name) if flat else item.name for item in items]
    splits = assign_splits(names, [item.metadata for item in items], options.split, options.seed)
    placed: list[Placed] = []
    taken: set[str] = set()
    with worked_on(items, partial(encode, classes=len(classes)), options.workers) as encoded:
        for name, split, (item, mask) in zip(names, splits, encoded, strict=True):
            check_name(name, taken)
            picture, label_map = place(name, split, item.suffix)
            item.put_image(part / picture, link=options.link)
            put(part / label_map, mask)
            placed.append(Placed(name, split, item, picture, label_map))
    return placed


@dataclass(frozen=True)
class Placed:
    """A sample that was written. picture, label_map: paths in the folder."""

    name: str
    split: str
    item: Sample
    picture: str
    label_map: str


def read_pair(
    folder: Path, name: str, picture: Path, label_map: Callable[[], np.ndarray], row: Mapping[str, Any], taken: set[str]
) -> Sample:
    """The item of a picture and a label map, files below `folder`, whose name is added to those taken. Raises UserError for a name that
    cannot be, and for links that lead out of the folder."""
    try:
        check_name(name, taken)
    except UserError as error:
        raise UserError(f"{picture}: {error}") from error
    for path in (picture, *([label_map.path] if isinstance(label_map, (Mapped, MaskFile)) else [])):
        if leads_out(folder, path):
            raise UserError(f"{path}: is a link that leads out of {folder}; what is outside of it is not read")
    return Sample(picture, label_map, metadata=row, name=name)


PICTURES = (".png", ".jpg", ".jpeg")


def pictures_below(folder: Path) -> list[Path]:
    """PNG and JPEG files at any depth of a folder, hidden ones apart, in the order of their paths."""
    found = [path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file()]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
