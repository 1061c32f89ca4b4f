"""EXIF orientation, by which some readers turn a picture and others do not. Reads it, removes it from PNG and JPEG
files, and turns label maps back that were drawn on the turned picture."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import UserError
from .pictures import open_picture
from .reading import PICTURE, read_bytes

EXIF_ORIENTATION = 0x0112
PNG_SIGNATURE, PNG_MARKS = b"\x89PNG", (b"eXIf", b"com.adobe.xmp", b"Raw profile type ")
"""Every PNG with an orientation contains one of PNG_MARKS, which mark EXIF, XMP, or a text by ImageMagick."""
JPEG_SIGNATURE, JPEG_XMP = b"\xff\xd8", b"http://ns.adobe.com/xap/1.0/\0"


def orientation(picture: Image.Image) -> int:
    """The orientation, 1 to 8; 1 if it is missing or broken, because a rotated picture is better than none."""
    try:
        return int(picture.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:
        return 1


def orientation_of(source: Path | bytes, where: str | None = None) -> int:
    """The orientation of a PNG or JPEG file or its bytes. where: its name in messages. Raises UserError if it may have
    an orientation other than 1, but is no picture."""
    data = source if isinstance(source, bytes) else read_bytes(source, PICTURE)
    # Pillow would decode all pixels of a PNG to look behind them.
    if not data.startswith(JPEG_SIGNATURE) and not (
        data.startswith(PNG_SIGNATURE) and any(mark in data for mark in PNG_MARKS)
    ):
        return 1
    with open_picture(data, where or (str(source) if isinstance(source, Path) else None)) as picture:
        return orientation(picture)


def turned_back(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Pixels (H, W) of a picture as shown, turned as it is stored: (W, H) for an orientation `turn` (EXIF 2.3, tag
    0112) of 5 to 8.
    """
    pixels = pixels[::-1] if turn in (3, 4, 7, 8) else pixels
    pixels = pixels[:, ::-1] if turn in (2, 3, 6, 7) else pixels
    return np.ascontiguousarray(pixels.T if turn >= 5 else pixels)


def as_stored(data: bytes, where: str | None = None) -> bytes:
    """The bytes of a PNG or JPEG. If readers would turn it, they come without EXIF and XMP, so that all readers show it
    as it is stored, with the same pixels: a PNG is written anew, without texts; from a JPEG these segments are cut.

    where: its name in messages. Raises UserError as `orientation_of` does.
    """
    if orientation_of(data, where) == 1:
        return data
    with open_picture(data, where) as picture:
        if picture.format == "PNG":
            buffer = io.BytesIO()
            picture.save(buffer, "PNG", compress_level=1, dpi=picture.info.get("dpi"))
            return buffer.getvalue()
        for payload in (picture.info.get("exif", b""), JPEG_XMP + picture.info.get("xmp", b"")):
            data = data.replace(b"\xff\xe1" + struct.pack(">I", len(payload) + 2)[2:] + payload, b"", 1)
    if orientation_of(data, where) != 1:
        raise UserError(where or "the picture", "has an EXIF orientation that cannot be removed", "save it without one")
    return data
