"""Pictures of samples for the browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ..dataset.sample import Sample, open_own
from ..dataset.shapes.objects import Objects
from ..drawing.overlays import compress_image, overlay, shrink
from ..files.image_files import in_rgb
from ..files.reading import read_bytes

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
