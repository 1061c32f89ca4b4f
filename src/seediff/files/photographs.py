"""Photographs: from the user's files, folders and patterns to upright, opaque pixels in sRGB."""

from __future__ import annotations

import glob
import io
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from ..errors import UserError
from .messages import plural
from .outputs import CONFIG
from .pictures import MAX_MEGAPIXELS, eight_bits, open_picture, quiet_pillow

SUFFIXES = (
    ".avif", ".bmp", ".dib", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo",
    ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""Suffixes, in lower case, by which pictures in folders are recognised. A file that is named directly may have any
suffix.
"""

SHORTEST_SIDE = 8
"""Minimum side in pixels; smaller pictures show nothing to segment."""

# Pillow logs some broken TIFF files; without a handler Python would print that to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Photo:
    """path: as named by the user. name: the name of its results, such as `trip/IMG_1`: relative, with `/`, unique even
    if the file system ignores case, and never leading outside."""

    path: Path
    name: str

    @property
    def file_name(self) -> str:
        """The name with the file's suffix, as unique as the name."""
        kept = not _looks_like_picture(self.path.name) or self.name.rpartition("/")[2] == _readable(self.path.name)
        return self.name if kept else self.name + self.path.suffix


@dataclass(frozen=True)
class Found:
    """photos: in the given order, folders in natural order (img2 before img10). skipped: the number of files in folders
    and patterns that have no picture suffix. Hidden files, and outputs of earlier runs, are neither read nor
    counted."""

    photos: tuple[Photo, ...]
    skipped: int


def find_photos(paths: str | Path | Sequence[str | Path], *, exclude: Path | None = None) -> Found:
    """Find photographs. paths: one or several files, folders (with subfolders) and patterns such as `photos/*.jpg`. A
    file that is named twice, also through a link, is taken once.

    exclude: the output folder, which is skipped if it is inside a folder to read. Outputs of earlier runs (folders with
    a seediff.toml) inside a folder to read, or matching a pattern, are skipped too.

    A photograph's name is its path below the given folder, or its file name, without suffix: `photos` → `trip/IMG_1`.
    If files of several folders would have equal names, all names are paths below the common folder (`a/1`, `b/1`).
    Files that differ only in their suffix keep it (`1.jpg`, `1.png`). So adding a photograph never renames one with
    another stem.

    Raises UserError if nothing is given, if a path or pattern matches nothing, if a folder cannot be listed, if input
    is inside `exclude`, or if no picture is found.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not paths or not all(str(given).strip() for given in paths):
        raise UserError("photos", "there must be a file, a folder or a pattern, such as 'photos/*.jpg'")
    out = Path(os.path.realpath(exclude)) if exclude is not None else None
    depths: dict[Path, int] = {}  # path → number of its last parts below the given path
    seen: set[str] = set()
    skipped: set[str] = set()
    for given in paths:
        for path, depth, is_picture in _files(str(given), out):
            real = os.path.realpath(path)
            if not is_picture:
                skipped.add(real)
            elif real not in seen:
                seen.add(real)
                depths[path] = depth
    if not depths:
        read = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise UserError(paths[0], f"has no picture among {plural(len(skipped), 'file')}", f"recognised are {read}")
    return Found(tuple(Photo(p, n) for p, n in zip(depths, _unique_names(depths), strict=True)), len(skipped))


def _files(given: str, out: Path | None) -> Iterator[tuple[Path, int, bool]]:
    """The files for one given path: (path, number of parts below the given path, whether to read it as a picture)."""
    if os.path.lexists(given):
        if out is not None and Path(os.path.realpath(given)).is_relative_to(out):
            raise UserError(given, f"is inside the output folder {out}", "write the results elsewhere")
        yield from _walk(Path(given), out) if os.path.isdir(given) else [(Path(given), 1, True)]
        return
    if not glob.has_magic(given):
        raise UserError(given, "there is no such file or folder")
    matches = sorted(map(Path, glob.glob(given, recursive=True)), key=_reading_order)
    if not matches:
        raise UserError(given, "no file or folder matches this pattern")
    named = Path(*takewhile(lambda part: not glob.has_magic(part), Path(given).parts))
    for path in matches:
        below = takewhile(lambda folder: folder != named, (path, *path.parents))
        if any(_is_output(folder, out) for folder in below):
            continue
        yield from _walk(path, out) if path.is_dir() else [(path, 1, _looks_like_picture(path.name))]


def _is_output(folder: Path, out: Path | None) -> bool:
    """Whether a folder is an earlier run's output, or a path is in the output folder."""
    return (folder / CONFIG).is_file() or (out is not None and Path(os.path.realpath(folder)).is_relative_to(out))


def _walk(top: Path, out: Path | None) -> Iterator[tuple[Path, int, bool]]:
    """Every file below a folder that is not hidden, in natural order. Follows links, but not in circles."""

    def stop(error: OSError) -> None:
        raise UserError(error.filename, f"the folder cannot be read ({error.strerror})") from error

    files: list[Path] = []
    seen: set[str] = set()
    for here, folders, names in os.walk(top, followlinks=True, onerror=stop):
        real = os.path.realpath(here)
        if real in seen or (Path(here) != top and _is_output(Path(here), out)):
            folders.clear()
            continue
        seen.add(real)
        # Sorted, because the first of a folder and a link to it is taken.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(here, name) for name in names if not name.startswith(".")]
    for path in sorted(files, key=_reading_order):
        yield path, len(path.relative_to(top).parts), _looks_like_picture(path.name)


def _looks_like_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _reading_order(path: Path) -> tuple[list[list[str | int]], Path]:
    """Sort key: img2 before img10, ignoring case; ties by the path itself."""
    return [
        [int(t) if i % 2 else t for i, t in enumerate(re.split("([0-9]+)", part.casefold()))] for part in path.parts
    ], path


def _unique_names(depths: dict[Path, int]) -> list[str]:
    """A name for each file, made from its last parts; see `find_photos`. No two are equal, whatever their case."""
    full = [Path(os.path.abspath(path)).parts[1:] for path in depths]
    parts = [path[-depth:] for path, depth in zip(full, depths.values(), strict=True)]
    folders: dict[str, set[tuple[str, ...]]] = {}
    for path, below in zip(full, parts, strict=True):
        folders.setdefault(_without_suffix("/".join(below)).casefold(), set()).add(path[:-1])
    if any(len(homes) > 1 for homes in folders.values()):
        shared = takewhile(lambda level: len(set(level)) == 1, zip(*(path[:-1] for path in full), strict=False))
        common = len(list(shared))
        parts = [path[common:] for path in full]
    whole = [_readable("/".join(below)) for below in parts]
    short = list(map(_without_suffix, whole))
    count = Counter(map(str.casefold, short))
    taken: set[str] = set()
    names = []
    for long, name in zip(whole, short, strict=True):
        first = name = name if count[name.casefold()] == 1 else long
        number = 1
        while name.casefold() in taken:
            name = f"{first}~{(number := number + 1)}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _readable(name: str) -> str:
    """The name with bytes that are not UTF-8 replaced, because JSON and terminals could not hold them."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _without_suffix(name: str) -> str:
    """The name without a picture's suffix. Other suffixes are part of the name: scan.0001, scan.0002."""
    return os.path.splitext(name)[0] if _looks_like_picture(name) else name


def read_photo(path: Path | str, *, max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """Read a picture as upright sRGB pixels (H, W, 3) uint8.

    - EXIF orientation is applied.
    - Transparency is laid on white, as in browsers and viewers, because colours beneath it are arbitrary.
    - 16-bit grey and 12-bit TIFF are scaled so that white is 255. Floating point and 32-bit grey are refused, because
      they do not say which value is white.
    - A valid ICC profile (Display P3, Adobe RGB, a printer's CMYK) is converted to sRGB. A broken or unsuitable profile
      is ignored. CMYK without a profile is converted directly.
    - The content decides the format, not the suffix.
    - Animations and documents with several pages are refused. Further pictures in an MPO (a phone's depth map, the
      other eye's view) are ignored.

    max_megapixels: a larger picture is refused from its header, before anything is decoded.

    Threads take turns, because warnings and Pillow's own size limit are global to the process and are switched off
    while a picture is read.

    Raises UserError naming a file that is missing, empty, unreadable, truncated or too large, or has a side below 8
    pixels.
    """
    path = Path(path)
    with open_picture(path, max_megapixels=max_megapixels) as image, quiet_pillow():
        return _decode(image, path)


def read_picture(picture: Path | str | Image.Image | np.ndarray) -> np.ndarray:
    """The pixels (H, W, 3) uint8 of a file or a Pillow picture, as `read_photo` reads them, or of an array, which must
    have this form.

    Raises UserError as `read_photo` does, and for any other array.
    """
    if isinstance(picture, Path | str):
        return read_photo(picture)
    if isinstance(picture, Image.Image):
        with quiet_pillow():
            _check_frames(picture, Path("the picture"))  # a copy no longer knows them
            return _decode(picture.copy(), Path("the picture"))
    pixels = np.asarray(picture)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or min(pixels.shape[:2]) < SHORTEST_SIDE:
        least = f"(H, W, 3) of uint8 with both sides at least {SHORTEST_SIDE}"
        raise UserError("the picture", f"is an array {pixels.shape} of {pixels.dtype}", f"give {least}")
    return pixels


def _check_frames(image: Image.Image, path: Path) -> None:
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UserError(path, "has several frames or pages; save the one to segment as a picture of its own")


def _decode(image: Image.Image, path: Path) -> np.ndarray:
    # 1. From the header: is it worth decoding?
    width, height = image.size
    if min(width, height) < SHORTEST_SIDE:
        raise UserError(path, f"{width} × {height} pixels; both sides must have at least {SHORTEST_SIDE}")
    _check_frames(image, path)

    # 2. Upright pixels. Some formats know their orientation only now; TIFF has already applied it.
    image.load()
    with suppress(Exception):  # broken EXIF: a turned picture is better than none
        ImageOps.exif_transpose(image, in_place=True)

    # 3. Colours.
    return np.array(_opaque(_to_srgb(eight_bits(image, path), image.info.get("icc_profile"))))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB: RGB, or RGBA if anything is transparent."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("RGB")
    target = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile or image.mode == "LAB":
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.createProfile("LAB")
                if image.mode == "LAB"
                else ImageCms.ImageCmsProfile(io.BytesIO(profile or b"")),
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode=target,
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            pass  # such as an RGB profile in a grey picture: use the colours unchanged
    return image if image.mode == target else image.convert(target)


def _opaque(image: Image.Image) -> Image.Image:
    """RGB, with transparent parts on white."""
    if image.mode == "RGB":
        return image
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def find_named(
    path: Path, rows: Sequence[tuple[int, dict[str, str]]], photos: Sequence[Photo]
) -> Iterator[tuple[Photo, dict[str, str]]]:
    """(photograph, row) for rows whose column `file` names a photograph, each once. Raises UserError naming `path` and
    the line for other rows."""
    by_name: dict[str, set[Photo]] = {}
    for photo in photos:
        for name in (photo.name, photo.path.name, photo.path.as_posix(), photo.path.stem, photo.file_name):
            by_name.setdefault(name, set()).add(photo)
    found: set[Photo] = set()
    for number, row in rows:
        matches = by_name.get(row["file"].strip().replace("\\", "/"), set())
        if len(matches) != 1 or matches <= found:
            why = "is there twice" if len(matches) == 1 else f"is the name of {len(matches)} photographs given"
            raise UserError(f"{path}, line {number}", f"file '{row['file']}' {why}")
        found |= matches
        yield next(iter(matches)), row
