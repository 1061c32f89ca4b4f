"""`Item`, a sample of a dataset in any format, and a native folder made of such: what every exporter and importer works with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import tee
from pathlib import Path
from typing import Any
from unicodedata import category

import numpy as np
from PIL import Image

from ..config.names import BACKGROUND, MAX_CLASSES
from ..errors import UserError
from ..files.messages import shown
from ..files.outputs import copy_new
from ..files.pictures import open_picture
from ..files.reading import PICTURE, open_regular, read_bytes
from ..files.staging import put
from ..workers import Result, in_order
from . import native
from .native import read_label_map
from .reviews import is_corrected
from .shapes.joining import Joined, check_joined, read_joined
from .shapes.objects import Objects, find_objects
from .unfinished import check_finished

JPEG_SUFFIXES = ("jpg", "jpeg", "jpe", "jfif")
ENDINGS, TAIL = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}, 16
"""What a whole picture of a format ends with, in its last TAIL bytes."""
CHUNK = 8
"""Samples that go to another process together: one takes a millisecond or two."""
SPLITS = ("train", "val", "test")
"""What `split` of a row may say; a sample without one is for training."""


@dataclass(frozen=True)
class Item:
    """One sample, its files not yet decoded.

    name: unique in the dataset; may have folders, with `/` between. image: the picture's file, or its bytes. suffix: of the picture,
    "png" or "jpg". label_map: reads (H, W) uint8 of class ids, 0 background, 255 ignored; raises UserError. row: its line of
    metadata.jsonl, empty where the format has none. extras: (folder, class id or None) → file of what else a native dataset keeps of
    it: soft/, attention/, steps/.
    """

    name: str
    image: Path | bytes
    suffix: str
    label_map: Callable[[], np.ndarray]
    row: Mapping[str, Any] = field(default_factory=dict)
    extras: Mapping[tuple[str, int | None], Path] = field(default_factory=dict)


@dataclass(frozen=True)
class MaskFile:
    """A label map that is a file as it stands, so that writers may copy its bytes: `label_map` of an item."""

    path: Path

    def __call__(self) -> np.ndarray:
        return read_label_map(self.path)


def no_note(line: str) -> None:
    """Where nobody wants to be told what an import left out."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote. samples: how many. files: of all kinds. notes: a line each on what was lost on the way."""

    samples: int
    files: int
    notes: tuple[str, ...] = ()


def open_native(folder: Path | str) -> tuple[tuple[str, ...], list[Item]]:
    """The classes of a native dataset, without the background, and its samples in the order of metadata.jsonl; with the masks that
    people corrected in place of the originals, and what they decided in their rows' `review`.

    Raises UserError naming the file and row of what is not there, leads out of the folder or is there twice, and for the folder of a run
    that is not finished.
    """
    folder = Path(folder)
    check_finished(folder)
    classes = native.read_classes(folder)
    items: list[Item] = []
    names: set[str] = set()
    extras = find_extras(folder)
    for number, row in enumerate(native.reviewed_rows(folder, classes), 1):
        where = f"{folder / native.METADATA}, row {number}"
        image, mask = native.path_inside(folder, row, "file_name", where), native.path_inside(folder, row, "mask", where)
        for path in (image, mask):
            if not path.is_file():
                raise UserError(f"{where}: {path}: there is no such file")
        name = native.sample_name(row["file_name"])
        if name in names:
            raise UserError(f"{where}: a sample '{name}' is there already")
        names.add(name)
        if unknown := [one for one in row.get("classes") or () if one not in classes]:
            raise UserError(f"{where}: class {shown(unknown[0])} is not in {native.CLASSES}")
        kept = extras.get(name, {})
        if is_corrected(row):  # soft masks say nothing of a mask that a person made
            kept = {key: path for key, path in kept.items() if key[0] != native.SOFT}
        items.append(Item(name, image, picture_suffix(image), MaskFile(mask), row, kept))
    return classes, items


def find_extras(folder: Path) -> dict[str, dict[tuple[str, int | None], Path]]:
    """Sample name → the `extras` of its item. Raises UserError for one that a link takes from outside of the dataset."""
    found: dict[str, dict[tuple[str, int | None], Path]] = {}
    for kind in native.EXTRAS:
        beyond = native.leads_out(folder, folder / kind)
        for path in sorted((folder / kind).rglob("*.*")):
            if beyond or (path.is_symlink() and native.leads_out(folder, path)):
                raise UserError(f"{path}: is a link that leads out of the dataset folder; what is there is nothing to copy")
            name, class_id = path.relative_to(folder / kind).with_suffix("").as_posix(), None
            if kind != native.ATTENTION:
                name, _, number = name.rpartition("_")
                class_id = int(number) if number.isdecimal() else None
            if path.suffix in (".png", ".safetensors") and (class_id is None) == (kind == native.ATTENTION):
                found.setdefault(name, {})[kind, class_id] = path
    return found


def described(item: Item, labels: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """The item's row with classes, class_ids and area as the label map has them. Classes that it named come first, even without a pixel."""
    counts = np.bincount(labels.ravel(), minlength=256)
    named = list(item.row.get("classes") or ())
    if unknown := [name for name in named if name not in classes]:
        raise UserError(f"sample '{item.name}': class '{unknown[0]}' is not one of the dataset's: {', '.join(classes)}")
    found = [classes[i - 1] for i in np.flatnonzero(counts[1:255]) + 1]
    shown = list(dict.fromkeys([*named, *found]))
    ids = [tuple(classes).index(name) + 1 for name in shown]
    rest = {key: value for key, value in item.row.items() if key not in ("file_name", "mask")}
    area = {name: round(float(counts[i] / labels.size), 6) for name, i in zip(shown, ids, strict=True)}
    return {**rest, "classes": shown, "class_ids": ids, "area": area}


@contextmanager
def worked_on(items: Iterable[Item], function: Callable[[Item], Result], workers: int) -> Iterator[Iterable[tuple[Item, Result]]]:
    """Each item with what `function` makes of it, in this process or in several; they end with the block."""
    with in_order(function, workers, chunk=CHUNK) as work:
        given, sent = tee(items)
        yield zip(given, work(sent), strict=True)


def put_image(item: Item, target: Path, *, link: bool = False) -> None:
    """Copy an item's picture to `target`, byte by byte, or link it there (a hard link, where the file system allows one)."""
    if isinstance(item.image, bytes):
        return put(target, item.image)
    copy_file(item.image, target, link=link)


def copy_file(path: Path, target: Path, *, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    copy_new(path, target, link=link)


def mask_bytes(item: Item, labels: np.ndarray) -> bytes:
    """The PNG of an item's label map, which is `labels`: its own file's bytes where that is one as `encode_mask` writes it, which takes a
    fraction of the time, else encoded anew."""
    if isinstance(item.label_map, MaskFile) and native.is_own_mask(data := read_bytes(item.label_map.path, PICTURE)):
        return data
    return native.encode_mask(labels)


def read_picture(item: Item) -> Image.Image:
    """An item's picture in RGB. Raises UserError naming the sample whose picture cannot be read."""
    where = f"sample '{item.name}': its picture" if isinstance(item.image, bytes) else str(item.image)
    with open_picture(item.image, where) as picture:
        return picture.convert("RGB")


def image_bytes(item: Item) -> bytes:
    """The bytes of an item's picture. Raises UserError naming a file that cannot be read."""
    if isinstance(item.image, bytes):
        return item.image
    return read_bytes(item.image, PICTURE)


def image_size(item: Item) -> tuple[int, int]:
    """(height, width) of an item's picture, from its header. Raises UserError, also for a picture that is cut off: one that does not end
    as its format does is decoded."""
    with open_picture(item.image, f"sample '{item.name}'" if isinstance(item.image, bytes) else str(item.image)) as picture:
        if ENDINGS.get(picture.format or "", b"") not in _tail(item):
            picture.load()
        return picture.height, picture.width


def _tail(item: Item) -> bytes:
    """The last bytes of an item's picture."""
    if isinstance(item.image, bytes):
        return item.image[-TAIL:]
    with open_regular(item.image, PICTURE) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        return file.read()


def labels_of(item: Item, classes: int) -> np.ndarray:
    """An item's label map (H, W) uint8, checked: of its picture's size, ids from 0 to `classes` and 255. Raises UserError naming it."""
    labels = item.label_map()
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise UserError(f"sample '{item.name}': label map must be (height, width) uint8, not {labels.shape} {labels.dtype}")
    if labels.shape != (size := image_size(item)):
        raise UserError(f"sample '{item.name}': label map is {labels.shape}, but its picture is {size}; both are (height, width)")
    # A tenth of the time that np.unique takes.
    if (highest := int((labels + np.uint8(1)).max()) - 1) > classes:
        raise UserError(f"sample '{item.name}': id {highest} in its label map, but there are {classes} classes (0 to {classes}, and 255)")
    return labels


def joined_of(item: Item, shape: tuple[int, ...]) -> Joined:
    """The pieces of an item's label map, of `shape` (H, W), that a person said are one object. Raises UserError naming it."""
    joined = read_joined(item.row.get("review", {}).get("joined"))
    check_joined(joined, shape, f"sample '{item.name}'")
    return joined


def objects_of(item: Item, labels: np.ndarray, min_area: int = 1) -> Objects:
    """The objects of an item whose label map is `labels`: connected pieces of a class, and as one those that a person joined."""
    return find_objects(labels, min_area, joined_of(item, labels.shape))


def picture_suffix(path: Path) -> str:
    """ "png" or "jpg" for a picture's file. Raises UserError for one of another kind."""
    suffix = path.suffix.lower().removeprefix(".")
    if suffix in JPEG_SUFFIXES:
        return "jpg"
    if suffix != "png":
        raise UserError(f"{path}: pictures of datasets are PNG or JPEG files")
    return suffix


def check_name(name: str, taken: set[str]) -> None:
    """Add a sample's name to those taken. Raises UserError when it is there, or could lead out of a dataset's folder."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or part.startswith(".") or not part.isprintable() or "\\" in part or ":" in part for part in parts):
        raise UserError(f"sample name {name!r} cannot be a file's: folders with / between, none empty or beginning with a dot")
    if name in taken:
        raise UserError(f"two samples are called '{name}'")
    taken.add(name)


def flat_name(name: str) -> str:
    """A sample's name for formats without folders: `trip/1` → `trip_1`."""
    return name.replace("/", "_")


def assign_splits(names: Sequence[str], rows: Sequence[Mapping[str, Any]], share: float | None, seed: int = 0) -> list[str]:
    """One of SPLITS for each sample: with a share in [0, 1], that many are "val", the same ones every time, by a hash of their names and
    the seed, the others "train"; without one, what the row's `split` says, else "train"."""
    if share is None:
        return [str(row["split"]) if row.get("split") in SPLITS else "train" for row in rows]
    if not 0 <= share <= 1:
        raise UserError(f"split = {share}: must be the share of samples for validation, in [0, 1]")
    check_seed(seed)
    salt = seed.to_bytes(hashlib.blake2b.SALT_SIZE, "little")
    ranked = sorted(names, key=lambda name: hashlib.blake2b(name.encode("utf-8"), salt=salt).digest())
    chosen = set(ranked[: round(share * len(names))])
    return ["val" if name in chosen else "train" for name in names]


def check_seed(seed: int) -> None:
    """Raise UserError for a seed that cannot be."""
    if not 0 <= seed < 2**63:
        raise UserError(f"seed = {seed}: must be in [0, 2^63)")


def check_class_list(classes: Sequence[str]) -> None:
    """Raise UserError unless these can be the lines of classes.txt below the background; `names.check_classes` asks more of new ones."""
    if len(classes) > MAX_CLASSES:
        raise UserError(f"{len(classes)} classes; label maps hold at most {MAX_CLASSES}")
    for name in classes:
        if not name.strip() or name != name.strip() or len(name.splitlines()) != 1 or name == BACKGROUND:
            raise UserError(f"class name {name!r}: must be a line of text without spaces around it, and not '{BACKGROUND}'")
        if any(
            category(letter) in ("Cc", "Cs") or letter in "\ufffe\uffff" for letter in name
        ):  # XML and YAML cannot hold them, and terminals obey some
            raise UserError(f"class name {name!r}: must have no control characters")
    if len(set(classes)) < len(classes):
        twice = next(name for i, name in enumerate(classes) if name in classes[:i])
        raise UserError(f"class '{twice}' is there twice")
