"""The photographs of `mask` and `segment`: those that could not be used, and a photograph's bytes for a dataset."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..dataset import native
from ..errors import UserError
from ..files.documents import read_csv
from ..files.messages import plural
from ..files.outputs import write_atomic
from ..files.photographs import Photo, find_named
from ..files.pictures import open_picture
from ..files.reading import PICTURE, read_bytes

FAILED = "failed.jsonl"
"""A row {"photo": file name, "reason"} for every photograph that could not be used. Written only if there are any."""
EXIF_ORIENTATION = 274
COPIED = {"JPEG": "jpg", "PNG": "png"}
"""Format → suffix of files that go into a dataset unchanged if any reader decodes the pixels of `read_photo`."""
Seen = TypeVar("Seen")
PhotoBatch = tuple[list[Seen], list[dict[str, str]]]
"""The photographs that were captured, and a row of failed.jsonl for each that could not be used."""


@dataclass(frozen=True)
class PhotoSpec:
    """One photograph of a run. words: to look for. label: for `k="truth"`, the name of its label map, if it has one."""

    index: int
    photo: Photo
    words: tuple[str, ...]
    label: str | None = None


def read_all(batch: Sequence[PhotoSpec], read: Callable[[PhotoSpec], Seen]) -> PhotoBatch[Seen]:
    readable, failed = list[Seen](), list[dict[str, str]]()
    for spec in batch:
        try:
            readable.append(read(spec))
        except UserError as error:
            # without the path, so that an output does not reveal where its input was
            reason = error.reason if error.subject == str(spec.photo.path) else str(error)
            failed.append({"photo": spec.photo.file_name, "reason": reason})
    return readable, failed


def fingerprint_photos(photos: Sequence[Photo], own: Sequence[str]) -> str:
    """`12 photographs (3f2a…)`: identifies photographs by names, sizes in bytes, and settings of their own."""
    digest = hashlib.blake2b(digest_size=6)
    for photo, settings in zip(photos, own, strict=True):
        size = photo.path.stat().st_size if photo.path.is_file() else -1
        digest.update(repr((photo.name, size, settings)).encode("utf-8", "surrogateescape"))
    return f"{plural(len(photos), 'photograph')} ({digest.hexdigest()})"


def write_failures(out: Path, failed: Sequence[Mapping[str, str]]) -> None:
    """Write failed.jsonl if photographs failed; otherwise remove that of an earlier run."""
    if failed:
        write_atomic(out / FAILED, native.jsonl(failed))
    else:
        (out / FAILED).unlink(missing_ok=True)


def read_failures(out: Path) -> list[dict[str, str]]:
    return native.read_rows(out, FAILED) if (out / FAILED).is_file() else []


def picture_file(path: Path, photo: np.ndarray) -> tuple[str, bytes]:
    """(suffix, bytes) of a photograph for a dataset: the file itself if any reader decodes these pixels, else a PNG."""
    data = read_bytes(path, PICTURE)
    with open_picture(data, str(path), max_megapixels=math.inf) as picture:  # `read_photo` has checked its size
        suffix = COPIED.get(picture.format or "")
        plain = suffix and picture.mode == "RGB" and picture.getexif().get(EXIF_ORIENTATION, 1) == 1
        if suffix and plain and np.array_equal(np.asarray(picture), photo):
            return suffix, data
    return "png", native.encode_image(photo, "png")


def read_classes_csv(path: Path, photos: Sequence[Photo]) -> dict[str, tuple[str, ...]]:
    """Photo name → classes, from a `classes.csv` with the columns file and classes (names separated by commas or
    semicolons). Files are named as in their folder, with or without suffix. Raises UserError naming a line.
    """
    named = find_named(path, read_csv(path, ("file", "classes")), photos)
    lists = {photo.name: row["classes"].replace(";", ",").split(",") for photo, row in named}
    return {name: tuple(dict.fromkeys(part.strip() for part in parts if part.strip())) for name, parts in lists.items()}
