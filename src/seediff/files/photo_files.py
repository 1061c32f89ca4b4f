"""Photographs: from the files, folders and patterns that the user names to upright, opaque pixels in sRGB."""

from __future__ import annotations

import glob
import io
import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps
from PIL.ExifTags import Base

from ..errors import UserError
from .image_files import MAX_MEGAPIXELS, check_bright, eight_bits, on_white, open_image, quiet_pillow, whole_pages
from .label_maps import walk
from .messages import plural
from .outputs import CONFIG, IMAGES
from .reading import composed

SUFFIXES = (
    ".avif", ".bmp", ".dib", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo",
    ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""Suffixes by which pictures in folders are recognised. A file that is named directly may have any."""

LONGEST_PART = 200
"""Maximum bytes of a part of a name; file systems allow 255."""
FAILED = "failed.jsonl"
"""The file about photographs that could not be used: a row {"photo": file name, "reason"} each. It is only written if
there are such photographs."""
SHORTEST_SIDE = 8
"""Minimum side in pixels."""

# Pillow logs some broken TIFF files; without a handler Python would print that to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Photo:
    """A photograph of the user."""

    path: Path
    """The path as the user named it."""
    name: str
    """The name of the photograph's results, such as `trip/IMG_1`: relative, and unique even if case is ignored."""

    @property
    def file_name(self) -> str:
        """The name with the file's suffix. It is unique, too."""
        kept = not looks_like_image(self.path.name) or self.name.rpartition("/")[2] == _readable(self.path.name)
        return self.name if kept else self.name + self.path.suffix


@dataclass(frozen=True)
class FoundPhotos:
    """The photographs among the named files, folders and patterns."""

    photos: tuple[Photo, ...]
    """In the given order, each folder in natural order (img2 before img10)."""
    skipped: int
    """Number of files in folders and patterns without a suffix of pictures."""

    def __iter__(self) -> Iterator[Photo]:
        return iter(self.photos)


def find_photos(paths: str | Path | Sequence[str | Path], *, exclude: Path | None = None) -> FoundPhotos:
    """Finds photographs. paths: one or several files, folders (with subfolders) and patterns such as `photos/*.jpg`. A
    file that is named twice, also through a link, is taken once. exclude: the output folder. It is skipped, and so are
    hidden files, and outputs of earlier runs (folders with a seediff.toml) below the given folders.

    A photograph's name is its path below the given folder, or its file name, without suffix: `photos` → `trip/IMG_1`.
    If files of several folders would have equal names, all names are paths below the common folder (`a/1`, `b/1`).
    Files that differ only in their suffix keep it (`1.jpg`, `1.png`); names that still differ only in case get numbers
    (`1.JPG`, `1.jpg~2`).

    Raises UserError if a path or pattern matches nothing, a folder cannot be listed, input is inside `exclude`, or no
    picture is found.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not paths or not all(str(given).strip() for given in paths):
        raise UserError("photos", "there must be a file, a folder or a pattern, such as 'photos/*.jpg'")
    out = os.path.realpath(exclude) if exclude is not None else None

    def is_output(folder: Path) -> bool:
        return (folder / CONFIG).is_file() or (out is not None and Path(os.path.realpath(folder)).is_relative_to(out))

    depths: dict[str, tuple[Path, int]] = {}  # real path → path, and number of its last parts below the given path
    skipped: set[str] = set()
    for given in map(str, paths):
        named = os.path.lexists(given)
        tops = [given] if named else glob.glob(given, recursive=True)
        if not tops:
            raise UserError(given, "no such file or folder")
        if named and out is not None and Path(os.path.realpath(given)).is_relative_to(out):
            raise UserError(given, f"is inside the output folder {out}", "write the results elsewhere")
        fixed = len(list(takewhile(lambda part: not glob.has_magic(part), Path(given).parts)))
        for top in sorted(map(Path, tops), key=_reading_order):
            if not named and any(map(is_output, (top, *top.parents)[: len(top.parts) - fixed])):
                continue
            files = walk(top, is_output) if top.is_dir() else [top]
            for path in sorted(files, key=_reading_order):
                if looks_like_image(path.name) or (named and path == top):
                    depths.setdefault(os.path.realpath(path), (path, len(path.relative_to(top).parts) or 1))
                else:
                    skipped.add(os.path.realpath(path))
    if not depths:
        read = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise UserError(paths[0], f"has no pictures among {plural(len(skipped), 'file')}", f"supported: {read}")
    named_photos = zip(depths.values(), _unique_names([*depths.values()]), strict=True)
    return FoundPhotos(tuple(Photo(path, name) for (path, _), name in named_photos), len(skipped))


def looks_like_image(name: str) -> bool:
    """Whether a file's name has a suffix of pictures."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _reading_order(path: Path) -> tuple[list[list[str | int]], Path]:
    """A sort key by which img2 comes before img10. Case does not matter, but equal paths are sorted by the path
    itself."""
    return [
        [int(t) if i % 2 else t for i, t in enumerate(re.split("([0-9]+)", part.casefold()))] for part in path.parts
    ], path


def _unique_names(depths: Sequence[tuple[Path, int]]) -> list[str]:
    """A name for each file, as `find_photos` describes. depths: path, and number of its last parts below the given
    folder."""
    # Paths below the given folders, or below the common folder if those of several folders are equal.
    full = [Path(os.path.abspath(path)) for path, _ in depths]
    below = [Path(*path.parts[-depth:]) for path, (_, depth) in zip(full, depths, strict=True)]
    folders: dict[str, set[Path]] = {}
    for path, name in zip(full, below, strict=True):
        folders.setdefault(_folded(without_suffix(name.as_posix())), set()).add(path.parent)
    if any(len(homes) > 1 for homes in folders.values()):
        common = os.path.commonpath([path.parent for path in full])
        below = [path.relative_to(common) for path in full]

    # Without suffix where that is unique, and numbered where even the name with suffix is not.
    whole = [_readable(name.as_posix()) for name in below]
    short = [_readable(without_suffix(name)) for name in whole]
    count = Counter(map(_folded, short))
    names = [name if count[_folded(name)] == 1 else long for long, name in zip(whole, short, strict=True)]
    taken: set[str] = set()
    for i, name in enumerate(names):
        number = 1
        while _folded(names[i]) in taken:
            number += 1
            names[i] = f"{name}~{number}"
        taken.add(_folded(names[i]))
    return names


def _folded(name: str) -> str:
    """The same text for all names that some file system cannot tell apart."""
    return composed(name).casefold()


def _readable(name: str) -> str:
    """A sample's name from a relative path, as `rows.check_name` allows it. Bytes that are not UTF-8 are replaced, and
    so are characters that some file system, list of names or terminal refuses. No part is hidden, and each part has
    room for endings."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = "".join(letter if letter.isprintable() and letter not in "\\:" else "_" for letter in text)
    text = "/".join(part.encode("utf-8")[:LONGEST_PART].decode("utf-8", "ignore") for part in text.split("/"))
    return re.sub(r"(?<![^/])[. ]| (?=/|$)", "_", text)


def without_suffix(name: str) -> str:
    """The name without the suffix of a picture. Other suffixes are part of the name, as in scan.0001."""
    return os.path.splitext(name)[0] if looks_like_image(name) else name


def sample_name(file_name: str) -> str:
    """The name of a sample from its picture's path in the dataset: `images/trip/1.png` → `trip/1`."""
    return without_suffix(file_name).removeprefix(f"{IMAGES}/")


def read_photo(path: Path | str, *, max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """Reads a picture as upright sRGB pixels (H, W, 3) uint8. max_megapixels: a larger picture is refused from its
    header.

    The EXIF orientation is applied, transparency laid on white, 16-bit grey scaled as in `eight_bits`, and a valid ICC
    profile converted. A fourth band of a TIFF is only transparency if at least half of it is 0 or 255, whatever the
    file says. Further pictures in an MPO, and smaller copies and masks in a TIFF, are ignored.

    Raises UserError for a file that is no whole picture, too large, or has a side below 8 pixels; for animations and
    several pages; for pixels that do not say which value is white, and colours of 16 bits that are nearly black.
    """
    path = Path(path)
    with open_image(path, max_megapixels=max_megapixels) as image, quiet_pillow():
        return _decode(image, path)


def failed_row(photo: Photo, error: UserError) -> dict[str, str]:
    """The row of failed.jsonl for a photograph."""
    # without the path, so that an output does not reveal where its input was
    reason = error.reason if error.subject == str(photo.path) else str(error)
    return {"photo": photo.file_name, "reason": reason}


ImageInput = Path | str | Image.Image | np.ndarray
"""A file's path, a Pillow picture, or an array (H, W, 3) uint8."""


def as_pixels(image: ImageInput) -> np.ndarray:
    """The pixels (H, W, 3) uint8 of a file or a Pillow picture, as `read_photo` reads them, or of an array of this
    form. Raises UserError."""
    if isinstance(image, Path | str):
        return read_photo(image)
    if isinstance(image, Image.Image):
        with quiet_pillow():
            _check_frames(image, "the picture")  # a copy no longer knows them
            own: Any = image.copy()
            own.format, own.tag_v2 = image.format, getattr(image, "tag_v2", {})
            return _decode(own, "the picture")
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or min(pixels.shape[:2]) < SHORTEST_SIDE:
        least = f"(H, W, 3) of uint8 with both sides at least {SHORTEST_SIDE}"
        raise UserError("the picture", f"is an array {pixels.shape} of {pixels.dtype}", f"give {least}")
    return pixels


def _check_frames(image: Image.Image, name: Path | str) -> None:
    """Raises UserError for a picture with several frames or pages. name: the picture's name in messages."""
    several = image.format != "MPO" and getattr(image, "is_animated", False)
    if several and image.format == "TIFF":
        several = len(whole_pages(image)) > 1
    if several:
        raise UserError(name, "has several frames or pages; save the one you want as a separate picture")


def _decode(image: Image.Image, name: Path | str) -> np.ndarray:
    """The pixels of an opened picture, as `read_photo` returns them. name: the picture's name in messages."""
    if min(image.size) < SHORTEST_SIDE:
        sides = f"{image.width} × {image.height} pixels"
        raise UserError(name, f"{sides}; both sides must have at least {SHORTEST_SIDE}")
    _check_frames(image, name)
    check_bright(image, name)
    kind, multiplied = image.format, 1 in getattr(image, "tag_v2", {}).get(Base.ExtraSamples, ())
    image.load()  # some formats know their orientation only now
    with suppress(Exception):  # broken EXIF: a turned picture is better than none
        ImageOps.exif_transpose(image, in_place=True)
    profile = image.info.get("icc_profile")

    # To 8 bits of grey, RGB, CMYK or RGBA, then by the profile to sRGB.
    image = eight_bits(image, name)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        counts = image.getchannel("A").histogram()
        between = sum(counts[1:255])
        if kind == "TIFF" and between > counts[0] + counts[255]:  # such as near infrared, whatever it is called
            if multiplied:
                problem = (
                    "says that its colours were multiplied by its last band, which is no transparency by its values"
                )
                raise UserError(name, problem, "save it without that band")
            image = image.convert("RGB")
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


def find_named(
    path: Path, rows: Sequence[tuple[int, dict[str, str]]], photos: Sequence[Photo]
) -> Iterator[tuple[Photo, dict[str, str]]]:
    """Yields (photograph, row) for each row of a table. The column `file` names a photograph by its path in the folder,
    or else by its file's name alone. path: the table, for messages. rows: (line number, row). Raises UserError unless a
    row names exactly one photograph, and no two rows name the same."""
    by_path, by_name = defaultdict[str, set[Photo]](set), defaultdict[str, set[Photo]](set)
    for photo in photos:
        for whole in (photo.name, photo.file_name, photo.path.as_posix()):
            by_path[composed(whole)].add(photo)
        for name in (photo.path.name, photo.path.stem):
            by_name[composed(name)].add(photo)
    found: set[Photo] = set()
    for number, row in rows:
        name = composed(row["file"].strip().replace("\\", "/"))
        matches = by_path.get(name) or by_name.get(name, set())
        if len(matches) != 1 or matches <= found:
            why = f"is the name of {len(matches)} photographs given"
            if len(matches) == 1:
                why = "appears twice"
            raise UserError(f"{path}, line {number}", f"file '{row['file']}' {why}")
        found |= matches
        yield next(iter(matches)), row
