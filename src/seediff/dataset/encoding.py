"""Encodes pictures as PNG or JPEG files, and label maps, soft masks and objects as PNG files. Reads label maps and
objects."""

from __future__ import annotations

import hashlib
import io
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from ..errors import UserError
from ..files.image_files import compress_image, named, open_image, read_pixels, stored_bytes
from ..files.label_maps import soft_levels, voc_palette
from ..files.reading import read_bytes
from .shapes.objects import Objects

COPIED = "JPEG", "PNG"
"""The formats of photographs whose files may go into a dataset unchanged."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_OBJECTS = 65535
"""Maximum number of objects in a picture, because their numbers have 16 bits in files."""


def encode_image(image: np.ndarray, image_format: str) -> bytes:
    """A picture (H, W, 3) uint8 as the bytes of a PNG, or of a JPEG if `image_format` is "jpg". The JPEG keeps colours
    in full resolution, so that edges stay where the mask has them."""
    if image_format == "jpg":
        return compress_image(image, "JPEG", quality=95, subsampling=0)
    return png(Image.fromarray(image))


def as_saved(image: np.ndarray, image_format: str) -> np.ndarray:
    """The pixels (H, W, 3) uint8 that a picture's file gives back: a JPEG changes them a little. Masks are made from
    these, so that they can be made again from the file and the kept attention. An image that is not uint8 is returned
    as it is; `make_masks` refuses it."""
    changed = image_format == "jpg" and image.dtype == np.uint8
    return read_pixels(encode_image(image, image_format))[0] if changed else image


def encode_photo(path: Path, photo: np.ndarray) -> bytes:
    """A photograph's file for a dataset: the file itself if every program decodes the same pixels from it, or else a
    PNG. path: the photograph. photo: its pixels (H, W, 3) uint8, as `read_photo` returns them."""
    data = read_bytes(path)
    with open_image(data, str(path), max_megapixels=math.inf) as image:  # `read_photo` has checked its size
        plain = image.format in COPIED and image.mode == "RGB" and image.getexif().get(Base.Orientation, 1) == 1
        if plain and np.array_equal(np.asarray(image), photo):
            return data
    return encode_image(photo, "png")


def png(image: Image.Image, **options: Any) -> bytes:
    """A picture as a PNG. options: for Pillow's `save`."""
    buffer = io.BytesIO()
    # Several times faster than the default for a tenth more bytes.
    image.save(buffer, "PNG", compress_level=1, **options)
    return buffer.getvalue()


def encode_grey(values: np.ndarray) -> bytes:
    """Values (H, W) uint8 or uint16 as a grey PNG of 8 or 16 bits."""
    return png(Image.fromarray(values))


def encode_soft(soft: np.ndarray) -> bytes:
    """A soft mask (H, W) in [0, 1] as a grey PNG with 255 = 1."""
    return encode_grey(soft_levels(soft))


def encode_mask(label_map: np.ndarray) -> bytes:
    """A label map (H, W) uint8 as a PNG whose palette has VOC's colours."""
    image = Image.fromarray(label_map)
    image.putpalette(voc_palette())
    # Label maps are runs of equal ids, for which this strategy is fast and makes the smallest files.
    return png(image, compress_type=zlib.Z_RLE)


def read_label_map(source: Path | bytes, sha256: str | None = None) -> np.ndarray:
    """(H, W) uint8: the ids in an 8-bit palette or grey PNG. source: the file, or its contents. sha256: the digest that
    the file must have, if a person corrected the mask. Raises UserError for any other file."""
    where = named(source)
    if sha256:
        source = stored_bytes(source)
        if hashlib.sha256(source).hexdigest() != sha256:
            problem = "is not the corrected mask that was saved (its SHA-256 differs from review.jsonl)"
            raise UserError(where, problem)
    pixels, kind, mode = read_pixels(source, where)
    if kind != "PNG" or mode not in ("P", "L"):
        expected = "a label map is an 8-bit palette or grey PNG, whose pixels are ids"
        raise UserError(where, f"is {kind} {mode} data; {expected}")
    return pixels


ReadLabels = Callable[[], np.ndarray]
"""A function that reads a label map (H, W) uint8. It raises UserError."""
ReadObjects = Callable[[], Objects]
"""A function that reads the objects of a picture. It raises UserError."""


def encode_objects(instances: Objects, where: str) -> bytes:
    """The numbers of objects as a grey PNG of 16 bits. where: the sample's name in errors. Raises UserError for more
    objects than MOST_OBJECTS."""
    count = len(instances.class_ids)
    if count > MOST_OBJECTS:
        raise UserError(where, f"has {count} objects; at most {MOST_OBJECTS} can be numbered in one image")
    return encode_grey(instances.numbers.astype(np.uint16, copy=False))


def read_objects(path: Path, class_ids: tuple[int, ...], scores: tuple[float, ...]) -> Objects:
    """The objects of a picture. path: a grey PNG of 8 or 16 bits with their numbers. class_ids, scores: as in
    `Objects`. Raises UserError for any other file."""
    numbers, kind, mode = read_pixels(path)
    if kind != "PNG" or mode not in ("L", "I;16"):
        expected = "objects are a grey PNG of 8 or 16 bits, whose pixels are their numbers"
        raise UserError(path, f"is {kind} {mode} data; {expected}")
    return Objects(numbers.astype(np.int32), class_ids, scores)
