"""Pictures of data sets: regular files, one limit on pixels that is known from the header, and every decoder's error in one line."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from ..errors import UserError, first_line
from .messages import printable
from .reading import ABSENT, PICTURE, open_regular

MAX_MEGAPIXELS = 100.0
"""What a picture may have unless a caller says otherwise: 300 MB of colours, a float32 of each class for a band at a time."""
_HEADERS = threading.Lock()


@contextmanager
def open_picture(
    source: Path | bytes,
    where: str | None = None,
    *,
    formats: Collection[str] | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
    absent: str = ABSENT,
) -> Iterator[Image.Image]:
    """A picture, its header read: what it is called in messages is `where`, or its path. formats: Pillow's names of those allowed.

    Raises UserError, also for what its block finds while it decodes: missing, no regular file, no picture, cut off, too many pixels.
    Pillow's own warnings and limit, which count other pixels than ours, are put aside while the header is read, in turns.
    """
    name = where or (str(source) if isinstance(source, Path) else "a picture")
    try:
        if isinstance(source, bytes):
            with _header(io.BytesIO(source), name, formats, max_megapixels) as picture:
                yield picture
            return
        with open_regular(source, PICTURE, absent) as file, _header(file, name, formats, max_megapixels) as picture:
            yield picture
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"{name}: cannot be read as a picture: it is none, or of a kind that is not read") from error
    except Exception as error:  # broken files make decoders raise nearly anything
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"{name}: cannot be read as a picture ({printable(reason)})") from error


@contextmanager
def _header(file: BinaryIO, name: str, formats: Collection[str] | None, max_megapixels: float) -> Iterator[Image.Image]:
    with _HEADERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            picture = Image.open(file, formats=None if formats is None else list(formats))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with picture:
        check_pixels(picture.size, name, max_megapixels)
        yield picture


def check_pixels(size: tuple[int, int], name: str, max_megapixels: float = MAX_MEGAPIXELS) -> None:
    """Raise UserError when a picture (width, height) has more pixels than are allowed."""
    width, height = size
    if width * height > max_megapixels * 1e6:
        found = f"{width * height / 1e6:.4g} megapixels ({width} × {height})"
        raise UserError(f"{name}: {found}, more than the {max_megapixels:g} allowed; make it smaller")
