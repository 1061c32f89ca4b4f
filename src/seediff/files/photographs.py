"""Photographs: from the user's files, folders and patterns to upright, opaque pixels in sRGB."""

from __future__ import annotations

import glob
import io
import logging
import os
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from ..errors import UserError
from .orientation import orientation
from .outputs import CONFIG
from .pictures import MAX_MEGAPIXELS, eight_bits, open_picture, quiet_pillow

SUFFIXES = (
    *(
        ".avif",
        ".bmp",
        ".dib",
        ".gif",
        ".j2c",
        ".j2k",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpf",
        ".jpg",
        ".jpx",
        ".mpo",
    ),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""Suffixes, in lower case, by which pictures in folders are recognised. A file that is named directly may have any
suffix.
"""

SHORTEST_SIDE = 8
"""Minimum side in pixels; smaller pictures show nothing to segment."""

RESULT_SUFFIXES = (".png", ".jpg")
"""Suffixes of result files. A folder of photographs with such a name would collide with them."""

UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""EXIF orientation → the transposition (of PIL.Image.Transpose) that turns the picture upright."""

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
    and patterns that have no picture suffix, or that belong to an earlier run's output. Hidden files are neither read
    nor counted."""

    photos: tuple[Photo, ...]
    skipped: int


def find_photos(paths: str | Path | Sequence[str | Path], *, exclude: Path | None = None) -> Found:
    """Find photographs. paths: one or several files, folders (with subfolders) and patterns such as `photos/*.jpg`. A
    file that is named twice, also through a link, is taken once.

    exclude: the output folder, which is skipped if it is inside a folder to read. Outputs of earlier runs (folders with
    a seediff.toml) inside a folder to read, or matching a pattern, are skipped too.

    A photograph's name is its path below the given folder, or its file name, without suffix: `photos` → `trip/IMG_1`.
    If two names would be equal, all names are paths below the common folder (`a/1`, `b/1`). Files that differ only in
    their suffix keep it (`1.jpg`, `1.png`), and so does a file whose result would collide with a folder (`trip.png`
    beside `trip.jpg/`). So adding a photograph never renames one with another stem.

    Raises UserError if nothing is given, if a path or pattern matches nothing, if a folder cannot be listed, if input
    is inside `exclude`, or if no picture is found.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not paths:
        raise UserError('no picture named: name files, folders or patterns such as "photos/*.jpg"')
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
        shown = ", ".join(map(str, paths[:3])) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
        others = f" among {len(skipped)} file{'s' * (len(skipped) != 1)}" if skipped else ""
        read = ", ".join(sorted(s[1:] for s in SUFFIXES))
        raise UserError(shown, f"no picture found{others}; recognised in folders are {read}")
    return Found(tuple(Photo(p, n) for p, n in zip(depths, _unique_names(depths), strict=True)), len(skipped))


def _files(given: str, out: Path | None) -> Iterator[tuple[Path, int, bool]]:
    """The files for one given path: (path, number of parts below the given path, whether to read it as a picture)."""
    if not given.strip():
        raise UserError("a picture is named by an empty text; name a file, a folder or a pattern")
    if os.path.lexists(given):
        _check_outside(given, out)
        yield from _walk(Path(given), out) if os.path.isdir(given) else [(Path(given), 1, True)]
        return
    if not glob.has_magic(given):
        raise UserError(given, "there is no such file or folder")
    matches = sorted(map(Path, glob.glob(given, recursive=True)), key=_reading_order)
    if not matches:
        raise UserError(given, "no file or folder matches this pattern")
    named = Path(*takewhile(lambda part: not glob.has_magic(part), Path(given).parts))
    for path in matches:
        if out is not None and Path(os.path.realpath(path)).is_relative_to(out):
            continue
        old = _in_output(path, named)
        if path.is_dir():
            yield from _walk(path, out, old)
        else:
            yield path, 1, not old and _looks_like_picture(path.name)


def _in_output(path: Path, named: Path) -> bool:
    """Whether a path is, or is inside, an earlier run's output below the given folder."""
    below = takewhile(lambda folder: folder != named, (path, *path.parents))
    return any((folder / CONFIG).is_file() for folder in below)


def _walk(folder: Path, out: Path | None, old: bool = False) -> Iterator[tuple[Path, int, bool]]:
    """Every file below a folder that is not hidden, in natural order. Follows links, but not in circles.

    old: the folder is an earlier run's output, so none of its files is a picture to read.
    """

    def stop(error: OSError) -> None:
        raise UserError(error.filename, f"the folder cannot be read ({error.strerror})") from error

    files: list[Path] = []
    seen: set[str] = set()
    outputs: set[Path] = {folder} if old else set()
    for here, folders, names in os.walk(folder, followlinks=True, onerror=stop):
        real = os.path.realpath(here)
        if real in seen or (out is not None and Path(real).is_relative_to(out)):
            folders.clear()
            continue
        seen.add(real)
        if Path(here) != folder and (CONFIG in names or Path(here).parent in outputs):
            outputs.add(Path(here))
        # Sorted, because the first of a folder and a link to it is taken.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(here, name) for name in names if not name.startswith(".")]
    for path in sorted(files, key=_reading_order):
        yield path, len(path.relative_to(folder).parts), path.parent not in outputs and _looks_like_picture(path.name)


def _check_outside(given: str, out: Path | None) -> None:
    real = Path(os.path.realpath(given))
    if out is not None and real.is_relative_to(out):
        where = "is the output folder itself" if real == out else f"lies inside the output folder {out}"
        raise UserError(given, f"{where}; results would be read as photographs: write them elsewhere")


def _looks_like_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _reading_order(path: Path) -> tuple[list[list[str | int]], Path]:
    """Sort key: img2 before img10, ignoring case; ties by the path itself."""
    return [
        [int(t) if i % 2 else t for i, t in enumerate(re.split("([0-9]+)", part.casefold()))] for part in path.parts
    ], path


def _unique_names(depths: dict[Path, int]) -> list[str]:
    """A name for each file, made from its last parts; see `find_photos`."""
    full = [Path(os.path.abspath(path)).parts[1:] for path in depths]
    parts = [path[-depth:] for path, depth in zip(full, depths.values(), strict=True)]
    folders: dict[str, set[tuple[str, ...]]] = {}
    for path, path_parts in zip(full, parts, strict=True):
        folders.setdefault(_folded(_without_suffix("/".join(path_parts))), set()).add(path[:-1])
    if any(len(homes) > 1 for homes in folders.values()):
        shared = takewhile(lambda level: len(set(level)) == 1, zip(*(path[:-1] for path in full), strict=False))
        common = len(list(shared))
        parts = [path[common:] for path in full]
    whole = [_readable("/".join(path_parts)) for path_parts in parts]
    names = [_without_suffix(name) for name in whole]
    homes = {_folded(parent.as_posix()) for name in whole for parent in Path(name).parents}
    while True:
        count = Counter(map(_folded, names))
        longer = [
            w if count[_folded(n)] > 1 or _is_in_the_way(n, homes) else n for n, w in zip(names, whole, strict=True)
        ]
        if longer == names:
            return _numbered(names, homes)  # the remaining names differ only in case
        names = longer


def _readable(name: str) -> str:
    """The name with bytes that are not UTF-8 replaced, because JSON and terminals could not hold them."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _is_in_the_way(name: str, homes: Container[str]) -> bool:
    """Whether a result file with this name would collide with a folder of results."""
    return any(_folded(name) + suffix in homes for suffix in RESULT_SUFFIXES)


def _without_suffix(name: str) -> str:
    """The name without a picture's suffix. Other suffixes are part of the name: scan.0001, scan.0002."""
    return os.path.splitext(name)[0] if _looks_like_picture(name) else name


def _numbered(names: Sequence[str], homes: Container[str]) -> list[str]:
    taken, result = set(map(_folded, names)), []
    used: set[str] = set()
    for name in names:
        unique, number = name, 2
        while _folded(unique) in used or (unique != name and _folded(unique) in taken) or _is_in_the_way(unique, homes):
            unique, number = f"{name}~{number}", number + 1
        used.add(_folded(unique))
        result.append(unique)
    return result


def _folded(name: str) -> str:
    return name.casefold()


def read_photo(path: Path | str, *, max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """Read a picture as upright sRGB pixels (H, W, 3) uint8.

    - EXIF orientation is applied.
    - Transparency is laid on white, as in browsers and viewers, because colours beneath it are arbitrary.
    - 16-bit grey and 12-bit TIFF are scaled so that white is 255. Floating point and 32-bit grey are refused, because
      they do not say which value is white.
    - A valid ICC profile (Display P3, Adobe RGB, a printer's CMYK) is converted to sRGB. A broken or unsuitable profile
      is ignored. CMYK without a profile is converted directly.
    - The content decides the format, not the suffix.
    - Animations and documents with several pages are refused. Smaller versions in a TIFF, and further pictures in an
      MPO (a phone's depth map, the other eye's view), are ignored.

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
            return _decode(picture, Path("the picture"))
    pixels = np.asarray(picture)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or min(pixels.shape[:2]) < SHORTEST_SIDE:
        least = f"(H, W, 3) of uint8 with both sides at least {SHORTEST_SIDE}"
        raise UserError(
            "the picture",
            f"is an array {pixels.shape} of {pixels.dtype}",
            f"give {least}, a file's path or Pillow's picture",
        )
    return pixels


def _decode(image: Image.Image, path: Path) -> np.ndarray:
    # 1. From the header: is it worth decoding?
    width, height = image.size
    if min(width, height) < SHORTEST_SIDE:
        raise UserError(path, f"{width} × {height} pixels; both sides must have at least {SHORTEST_SIDE}")
    if _is_sequence(image):
        raise UserError(path, "has several frames or pages; save the one to segment as a picture of its own")

    # 2. Pixels. Some formats know their orientation only now; TIFF has already applied it.
    image.load()
    turn = UPRIGHT.get(orientation(image))

    # 3. Colours.
    rgb = _opaque(_to_srgb(eight_bits(image, path), image.info.get("icc_profile")))
    return np.array(rgb.transpose(Image.Transpose[turn]) if turn else rgb)


def _is_sequence(image: Image.Image) -> bool:
    """Whether the file holds several pictures of equal rank."""
    if image.format != "TIFF" or not getattr(image, "is_animated", False):
        return image.format != "MPO" and getattr(image, "is_animated", False)
    for number in range(1, image.n_frames):  # type: ignore[attr-defined]
        image.seek(number)
        tags = image.tag_v2  # type: ignore[attr-defined]
        # NewSubfileType: bit 0 a reduced version, bit 2 a transparency mask; SubfileType 2 a reduced version.
        if not (tags.get(254, 0) & 0b101 or tags.get(255) == 2):
            return True
    image.seek(0)
    return False


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
    by_name: dict[str, list[Photo]] = {}
    for photo in photos:
        for name in {
            photo.name,
            photo.path.name,
            photo.path.as_posix(),
            photo.path.stem,
            photo.name + photo.path.suffix,
        }:
            by_name.setdefault(name, []).append(photo)
    found: set[str] = set()
    for number, row in rows:
        matches = by_name.get(row["file"].strip().replace("\\", "/"), [])
        if len(matches) != 1:
            why = (
                f"{len(matches)} photographs are called that; name its folder too"
                if matches
                else "not among the photographs given"
            )
            raise UserError(f"{path}, line {number}", f"file '{row['file']}': {why}")
        if matches[0].name in found:
            raise UserError(f"{path}, line {number}", f"file '{row['file']}' is there twice")
        found.add(matches[0].name)
        yield matches[0], row
