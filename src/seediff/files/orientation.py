"""EXIF orientation, by which some readers turn a picture and others do not. Reads it, removes it from PNG and JPEG files, and turns label
maps back that were drawn on the turned picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from .pictures import open_picture
from .reading import PICTURE, read_bytes

EXIF_ORIENTATION = 0x0112
MARKS = (b"Exif", b"eXIf", b"tiff:Orientation", b"com.adobe.xmp", b"Raw profile type ")
"""Every PNG or JPEG with an orientation contains one of these byte strings, which mark EXIF, XMP, or a text by ImageMagick."""
PNG_SIGNATURE = b"\x89PNG"
PNG_PIXELS = b"IDAT"
PNG_METADATA = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
JPEG_METADATA, JPEG_SCAN, FILL = b"\xff\xe1", b"\xff\xda", b"\xff\xff"


def orientation(picture: Image.Image) -> int:
    """The orientation, 1 to 8; 1 if it is missing or broken, because a rotated picture is better than none."""
    try:
        return int(picture.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:
        return 1


def orientation_of(source: Path | bytes, where: str | None = None) -> int:
    """The orientation of a PNG or JPEG file or its bytes. where: its name in messages. Raises UserError if it may have an orientation other
    than 1, but is no picture."""
    data = source if isinstance(source, bytes) else read_bytes(source, PICTURE)
    if not _may_turn(data):  # most pictures
        return 1
    with open_picture(data, where or (str(source) if isinstance(source, Path) else None)) as picture:
        return orientation(picture)


def turned_back(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Pixels (H, W) of a picture as shown, turned as it is stored: (W, H) for an orientation `turn` (EXIF 2.3, tag 0112) of 5 to 8."""
    pixels = pixels[::-1] if turn in (3, 4, 7, 8) else pixels
    pixels = pixels[:, ::-1] if turn in (2, 3, 6, 7) else pixels
    return np.ascontiguousarray(pixels.T if turn >= 5 else pixels)


def as_stored(data: bytes, where: str | None = None) -> bytes:
    """The bytes of a PNG or JPEG. If readers would turn it, they come without EXIF and XMP, and without a PNG's texts, so that all readers
    show it as it is stored. The pixels are bit-identical.

    where: its name in messages. Raises UserError as `orientation_of` does.
    """
    if orientation_of(data, where) == 1:
        return data
    return _png_without_metadata(data) if data.startswith(PNG_SIGNATURE) else _jpeg_without_metadata(data)


def _png_without_metadata(data: bytes) -> bytes:
    return data[:8] + b"".join(data[begin:end] for kind, begin, end in _chunks(data) if kind not in PNG_METADATA)


def _jpeg_without_metadata(data: bytes) -> bytes:
    kept = [(begin, end) for kind, begin, end in _segments(data) if kind != JPEG_METADATA]
    return data[:2] + b"".join(data[begin:end] for begin, end in kept)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, begin, end) of each chunk of a PNG."""
    at = 8
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at, end
        at = end


def _segments(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(marker, begin, end) of each segment of a JPEG before its pixels, which are the last."""
    at = 2
    while (marker := data[at : at + 2]).startswith(b"\xff") and marker != JPEG_SCAN:
        end = at + (1 if marker == FILL else 2 + int.from_bytes(data[at + 2 : at + 4], "big"))
        yield marker, at, end
        at = end
    yield JPEG_SCAN, at, len(data)


def _may_turn(data: bytes) -> bool:
    """Whether a PNG or JPEG may have an orientation: whether one of MARKS is anywhere except in its pixels, which are not searched."""
    parts, pixels = (_chunks(data), PNG_PIXELS) if data.startswith(PNG_SIGNATURE) else (_segments(data), JPEG_SCAN)
    return any(mark in data[begin:end] for kind, begin, end in parts if kind != pixels for mark in MARKS)
