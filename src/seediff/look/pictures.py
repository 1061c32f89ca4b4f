"""Pictures for the page: thumbnails with their labels over them, whole pictures, label maps and heat maps as bytes. Decoded when asked for;
what was asked for lately is kept, within a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from ..dataset.native import encode_image
from ..errors import UserError
from ..files.label_maps import voc_palette
from ..files.photographs import read_photo
from ..files.pictures import open_picture, read_pixels
from ..files.reading import PICTURE, read_bytes
from ..report.pictures import encoded, overlay, shrink
from .subject import Sample, Subject

THUMB = 208
"""Pixels of a thumbnail's longer side."""
SENT = {"PNG": "image/png", "JPEG": "image/jpeg"}
"""Formats whose files go to the browser as they are."""

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """What was made lately, at most `limit` of `size`; the longest unused goes first. Safe between threads."""

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self.limit, self.size, self.held = limit, size, 0
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        return None

    def put(self, key: Hashable, value: Value) -> Value:
        with self._lock:
            if key in self._values:
                self.held -= self.size(self._values.pop(key))
            self._values[key] = value
            self.held += self.size(value)
            while self.held > self.limit and len(self._values) > 1:
                self.held -= self.size(self._values.popitem(last=False)[1])
        return value


def read_image(subject: Subject, sample: Sample) -> np.ndarray | None:
    """(H, W, 3) uint8 of a sample's picture, as its label map lies over it; None where there is none. Raises UserError."""
    path = subject.image_path(sample)
    if path is None:
        return None
    return read_pixels(path, "RGB")[0] if subject.kind == "dataset" or sample.drawn else read_photo(path)


def image_bytes(subject: Subject, sample: Sample) -> tuple[bytes, str]:
    """A sample's picture for the browser, and its media type, by its content and never by its name. Raises UserError."""
    path = subject.image_path(sample)
    if path is None:
        raise UserError(f"sample '{sample.name}' has no picture here; --photos names the folder of the photographs")
    if subject.kind == "dataset":
        data = read_bytes(path, PICTURE)
        with open_picture(data, str(path)) as picture:
            if picture.format in SENT:
                return data, SENT[picture.format]
    image = read_image(subject, sample)
    assert image is not None
    return encode_image(image, "jpg"), "image/jpeg"


def thumbnail(subject: Subject, sample: Sample, mask: str, *, labels: bool = True) -> bytes:
    """A JPEG of at most THUMB pixels a side; labels: with those of `mask`, a path in the set, over it. Raises UserError."""
    path = subject.image_path(sample)
    found = None if sample.drawn or not labels else shrink(subject.read_labels(mask), THUMB, Image.Resampling.NEAREST)
    if path is None:
        assert found is not None or sample.drawn
        found = shrink(subject.read_labels(mask), THUMB, Image.Resampling.NEAREST) if found is None else found
        small = np.full((found.shape[0], found.shape[1], 3), 128, np.uint8)
    elif subject.kind == "dataset" or sample.drawn:
        with open_picture(path) as picture:
            size = picture.size
            picture.draft("RGB", (THUMB, THUMB))  # a JPEG is decoded at a fraction of its size
            scale = min(1.0, THUMB / max(size))
            shape = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
            small = np.asarray(picture.convert("RGB").resize(shape, Image.Resampling.BILINEAR, reducing_gap=2.0))
    else:
        small = shrink(read_photo(path), THUMB, Image.Resampling.BILINEAR)
    if found is not None:
        if found.shape != small.shape[:2]:
            found = np.asarray(Image.fromarray(found).resize((small.shape[1], small.shape[0]), Image.Resampling.NEAREST))
        small = overlay(small, found, voc_palette(), alpha=0.45)
    return encoded(small, "JPEG", quality=80)
