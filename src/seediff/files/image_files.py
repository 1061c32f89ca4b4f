"""Opens pictures safely: the header must give an allowed number of pixels, and an error of any decoder becomes one
line. Reads photographs as upright, opaque pixels in sRGB, and other pictures as they are stored; removes EXIF
orientations."""

from __future__ import annotations

import io
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

from ..errors import UserError, foreign_errors
from .reading import open_regular, read_bytes

DECODERS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "JPEG2000", "AVIF")
"""Pillow's decoders that SeeDiff uses. Others run programs (EPS) or accept any bytes (TGA)."""
HEIC = re.compile(rb".{4}ftyp(?!.{0,48}avi).{0,48}(hei[cmsx]|hev[cmsx]|mif1)", re.S)
"""Matches the beginning of a HEIC file, as phones write it: its box of brands. AVIF has the same box."""
MAX_MEGAPIXELS = 100.0
"""Default maximum size of a picture: 300 MB of colours."""
REPAIR = "if another program shows it, save it there again"
"""What mends a file that decoders refuse, such as a JPEG that was cut off."""
SPREAD = {"L;2": 85, "L;4": 17}
"""Pillow's name for PNG greys of 2 or 4 bits → the factor by which Pillow multiplies them, so that white becomes
255."""
SHORTEST_SIDE = 8
"""Minimum side of a photograph in pixels."""
_PILLOW_SETTINGS = threading.Lock()
"""A thread holds this lock while it changes settings that Pillow has once in a process."""

# Pillow logs some broken TIFF files; without a handler Python would print that to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def named(source: Path | bytes, where: str | None = None) -> str:
    """The name of a picture in messages: `where`, otherwise the file's path. source: the file, or its bytes."""
    return where or (str(source) if isinstance(source, Path) else "an image")


def stored_bytes(source: Path | bytes) -> bytes:
    """The bytes of a file. source: the file, or its bytes."""
    return read_bytes(source) if isinstance(source, Path) else source


@contextmanager
def open_image(
    source: Path | bytes, where: str | None = None, *, max_megapixels: float = MAX_MEGAPIXELS
) -> Iterator[Image.Image]:
    """Opens a picture and reads its header; its pixels are decoded in the block.

    source: a file, or its bytes. where: the picture's name in messages; None: its path. Raises UserError for anything
    but a whole picture of an allowed size, also if a decoder fails in the block."""
    name = named(source, where)
    opened = nullcontext(io.BytesIO(source)) if isinstance(source, bytes) else open_regular(source)
    with opened as file, foreign_errors(name, "cannot be read as an image", REPAIR):
        try:
            with quiet_pillow():
                image = _opened(file, name)
        except UnidentifiedImageError as error:
            why = f"empty, or an unsupported image format; supported: {', '.join(sorted(DECODERS))}"
            raise UserError(name, f"cannot be read as an image ({why})") from error
        with image:
            check_pixels(image.size, name, max_megapixels)
            yield image


def _opened(file: BinaryIO, name: str) -> Image.Image:
    """The picture in a file. The decoder of HEIC turns it upright, and removes the orientation."""
    start = file.read(64)
    file.seek(0)
    if not HEIC.match(start):
        return Image.open(file, formats=DECODERS)
    try:
        from pi_heif import HeifImageFile  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        fix = "`pip install 'seediff[heic]'`, or save it as JPEG"
        raise UserError(name, "is HEIC, for which the decoder is not installed", fix) from error
    return HeifImageFile(file)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Switches off Pillow's warnings and its size limit in the block. Only one thread at a time is in such a block."""
    with _PILLOW_SETTINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def check_pixels(size: tuple[int, int], name: str, max_megapixels: float = MAX_MEGAPIXELS) -> None:
    """Raises UserError for a picture of more than `max_megapixels`. size: (width, height). name: the picture's name in
    messages."""
    width, height = size
    if width * height > max_megapixels * 1e6:
        megapixels = f"{width * height / 1e6:.4g} megapixels ({width} × {height})"
        raise UserError(name, f"{megapixels}, more than the {max_megapixels:g} allowed", "make it smaller")


def check_plain(image: Image.Image, name: Path | str) -> None:
    """Raises UserError for a picture of more than 8 bits per channel, which does not say which value is white, and for
    one of several frames or pages. image: opened, and not decoded yet. name: its name in messages."""
    if image.mode.startswith(("I", "F")) or is_wide(image):
        raise UserError(name, "has more than 8 bits per channel", "save it with 8 bits")
    if image.format not in ("MPO", "HEIF") and getattr(image, "is_animated", False):
        raise UserError(name, "has several frames or pages", "save the one you want as a separate image")


def in_rgb(image: Image.Image, name: Path | str) -> Image.Image:
    """The opened picture in RGB. Raises UserError as `check_plain` does."""
    check_plain(image, name)
    return image if image.mode == "RGB" else image.convert("RGB")


def on_white(image: Image.Image) -> Image.Image:
    """The picture in RGB, laid on white where it is transparent."""
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def stored_pixels(image: Image.Image) -> tuple[np.ndarray, str]:
    """(pixels, mode) of an opened picture. pixels: the numbers as stored; for a palette picture the indices. mode:
    Pillow's name of the kind of pixels. It ends in ";16" for colours of 16 bits, of which Pillow keeps the upper 8."""
    # `tile` says how the file stores the numbers, such as "L;2" for two bits. Decoding removes it.
    wide = is_wide(image)
    layout = str(getattr(image, "tile", ""))
    pixels, mode = np.asarray(image), image.mode
    for name, step in SPREAD.items():
        if name in layout:
            pixels = pixels // step
    if wide:
        mode += ";16"
    return pixels, mode


def is_wide(image: Image.Image) -> bool:
    """Whether a picture has colours of 16 bits. image: opened, and not decoded yet."""
    return image.mode in ("RGB", "RGBA") and ";16" in str(getattr(image, "tile", ""))


def read_pixels(source: Path | bytes, where: str | None = None) -> tuple[np.ndarray, str | None, str]:
    """(pixels, format, mode) of a picture. pixels, mode: as from `stored_pixels`. format: Pillow's name of the file's
    format, such as PNG. source, where: as for `open_image`. Raises UserError, also for a PNG with a wrong checksum:
    Pillow decodes it, to other pixels."""
    data = stored_bytes(source)
    with open_image(data, named(source, where)) as image:
        if image.format == "PNG":
            Image.open(io.BytesIO(data), formats=["PNG"]).verify()
        pixels, mode = stored_pixels(image)
        return pixels, image.format, mode


# Photographs.


def read_photo(path: Path | str, *, max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """The upright sRGB pixels (H, W, 3) uint8 of a picture's file.

    The EXIF orientation is applied, transparency laid on white, and a valid ICC profile converted. Further pictures in
    an MPO or HEIC file are ignored.

    path: the file. max_megapixels: a picture with more is refused after reading its header. Raises UserError for a file
    that is no whole picture, is too large, or has a side below 8 pixels; and as `check_plain` does.
    """
    path = Path(path)
    with open_image(path, max_megapixels=max_megapixels) as image, quiet_pillow():
        check_plain(image, path)
        return _decode(image, path)


ImageInput = Path | str | Image.Image | np.ndarray
"""A file's path, a Pillow picture, or an array (H, W, 3) uint8."""


def as_pixels(image: ImageInput) -> np.ndarray:
    """The pixels (H, W, 3) uint8 of an image. A file and a Pillow picture are read as by `read_photo`; an array must
    already have this shape. Raises UserError."""
    if isinstance(image, Path | str):
        return read_photo(image)
    if isinstance(image, Image.Image):
        with quiet_pillow():
            check_plain(image, "the image")  # before copying, because a copy has one frame
            return _decode(image.copy(), "the image")
    pixels = np.asarray(image)
    if not is_rgb(pixels) or min(pixels.shape[:2]) < SHORTEST_SIDE:
        least = f"(H, W, 3) of uint8 with both sides at least {SHORTEST_SIDE}"
        raise UserError("the image", f"is an array {pixels.shape} of {pixels.dtype}", f"give {least}")
    return pixels


def is_rgb(pixels: np.ndarray) -> bool:
    """Whether an array is a picture, (H, W, 3) uint8."""
    return pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8


def _decode(image: Image.Image, name: Path | str) -> np.ndarray:
    """The pixels of an opened picture, as `read_photo` returns them. name: the picture's name in messages."""
    if min(image.size) < SHORTEST_SIDE:
        sides = f"{image.width} × {image.height} pixels"
        raise UserError(name, f"{sides}; both sides must have at least {SHORTEST_SIDE}")
    image.load()  # some formats know their orientation only now
    with suppress(UserError), foreign_errors(name, "has broken EXIF"):  # a turned picture is better than none
        ImageOps.exif_transpose(image, in_place=True)
    profile = image.info.get("icc_profile")

    # To grey, RGB, CMYK or RGBA, then by the profile to sRGB.
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    target = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile:
        with suppress(ImageCms.PyCMSError, OSError, TypeError, ValueError):  # such as an RGB profile in a grey picture
            image = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode=target,
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            ) or image  # fmt: skip
    return np.array(on_white(image))


# EXIF orientation: some programs turn a picture by it when they read it, and others do not.

MARKS = {b"\x89PNG": (b"eXIf", b"com.adobe.xmp", b"Raw profile type "), b"\xff\xd8": (b"\xff\xe1",)}
"""First bytes of a PNG or JPEG → markers, of which a file with an orientation has at least one. The bytes are searched
for them, because Pillow would decode a whole PNG to look."""
JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
"""The beginning of a JPEG segment with XMP."""


def orientation_of(source: Path | bytes, where: str | None = None) -> int:
    """The EXIF orientation of a picture, from 1 (upright) to 8; 1 if it is missing or broken, and for formats other
    than PNG and JPEG. source, where: as for `open_image`. Raises UserError for a file with one of MARKS that cannot be
    opened as a picture."""
    data = stored_bytes(source)
    if not any(data.startswith(start) and any(mark in data for mark in marks) for start, marks in MARKS.items()):
        return 1
    name = named(source, where)
    with open_image(data, name) as image, suppress(UserError), foreign_errors(name, "has broken EXIF"):
        return int(image.getexif().get(Base.Orientation, 1))
    return 1


def turned_back(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Pixels in the order in which the file stores them. pixels: (H, W), in the order in which programs show them.
    turn: the file's EXIF orientation; for 5 to 8 the result is (W, H)."""
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turn >= 5:
        pixels = pixels.T
    return np.ascontiguousarray(pixels)


def as_stored(data: bytes, where: str | None = None) -> bytes:
    """The bytes of a picture without an orientation, so that every program shows it as it is stored. Unchanged if it
    has none. Otherwise a PNG is written anew without EXIF and XMP, and the segments with EXIF and XMP are cut from a
    JPEG.

    data: the file's bytes. where: the picture's name in messages. Raises UserError as `orientation_of` does, and if the
    orientation cannot be removed."""
    if orientation_of(data, where) == 1:
        return data
    with open_image(data, where) as image:
        if image.format == "PNG":
            buffer = io.BytesIO()
            image.save(buffer, "PNG", compress_level=1, dpi=image.info.get("dpi"))
            return buffer.getvalue()
        for payload in (image.info.get("exif", b""), JPEG_XMP + image.info.get("xmp", b"")):
            data = data.replace(b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload, b"", 1)
    if orientation_of(data, where) != 1:
        raise UserError(where or "the image", "has an EXIF orientation that cannot be removed", "save it without one")
    return data


def compress_image(image: np.ndarray, image_format: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture file. image: (H, W) or (H, W, 3) uint8. image_format: Pillow's name of it. options: of
    Pillow's `save`."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, image_format, **options)
    return buffer.getvalue()
