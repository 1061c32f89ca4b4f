"""Pictures of samples for the browser, and `Cache`, which keeps what was used last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from ..dataset.sample import Sample, open_own
from ..dataset.shapes.objects import Objects
from ..drawing.overlays import overlay, shrink
from ..files.image_files import compress_image, in_rgb
from ..files.reading import read_bytes

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """Keeps the most recently used values. Several threads may use it. limit: the maximum sum of their sizes, except
    that a single value may be larger. size: the size of a value; by default, 1."""

    def __init__(self, limit: int, size: Callable[[Value], int] = lambda value: 1) -> None:
        self._limit = limit
        self._size = size
        self._values: dict[Hashable, Value] = {}
        """The most recently used one is the last."""
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values[key] = self._values.pop(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> Value:
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = value
            total = sum(map(self._size, self._values.values()))
            for oldest in list(self._values)[:-1]:
                if total > self._limit:
                    total -= self._size(self._values.pop(oldest))
        return value

    def get_or_make(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key. If the cache lacks the key, `make` makes the value."""
        value = self.get(key)
        return self.put(key, make()) if value is None else value


THUMB = 208
"""Pixels of a thumbnail's longer side."""


def read_image(sample: Sample, side: int | None = None) -> np.ndarray:
    """(H, W, 3) uint8: a sample's picture, turned as its label map is. side: a JPEG may be decoded faster at a smaller
    size whose longer side has at least this many pixels; None for the full size. Raises UserError."""
    with open_own(sample.image_file, sample.where) as image:
        if side:
            image.draft("RGB", (side, side))
        return np.asarray(in_rgb(image, sample.where))


def image_bytes(sample: Sample) -> tuple[bytes, str]:
    """(bytes, media type) of a sample's picture file. Raises UserError."""
    assert isinstance(sample.source, Path)
    data = read_bytes(sample.source)
    with open_own(data, sample.where) as image:
        return data, "image/png" if image.format == "PNG" else "image/jpeg"


def thumbnail(sample: Sample, labels: np.ndarray | None, objects: Objects | None, side: int = THUMB) -> bytes:
    """The bytes of a JPEG of a sample. labels: (H, W) uint8 ids to draw over the picture; None for only the picture.
    objects: the objects to draw lines around; None for lines around classes. side: the maximum pixels of the longer
    side. Raises UserError."""
    small = shrink(read_image(sample, side), side, Image.Resampling.BILINEAR)
    if labels is not None:
        regions = labels if objects is None else objects.numbers.astype(np.int32)
        size = small.shape[1], small.shape[0]
        ids, of_regions = (
            np.asarray(Image.fromarray(each).resize(size, Image.Resampling.NEAREST)) for each in (labels, regions)
        )
        small = overlay(small, ids, of_regions)
    return compress_image(small, "JPEG", quality=80)
