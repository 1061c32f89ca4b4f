"""Photographs: from what the user names (files, folders, patterns) to pixels in sRGB, upright and opaque."""

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
from .outputs import CONFIG
from .pictures import MAX_MEGAPIXELS, open_picture, quiet_pillow

SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""What a picture in a folder is recognised by, in small letters. A file that is named itself is taken whatever it is called."""

SHORTEST_SIDE = 8
"""Pixels. Less than that shows nothing to segment."""

RESULT_SUFFIXES = (".png", ".jpg")
"""What a photograph's name gets behind it in folders of results: a folder of photographs called like that would be in the way."""

UPRIGHT = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
"""EXIF orientation → the transposition (of PIL.Image.Transpose) that turns the picture upright."""

# Pillow logs some broken TIFF files; without a handler Python would print that to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Photo:
    """path: as the user named it or its folder. name: of its results, like `trip/IMG_1`: relative, with `/`, unique also where
    file systems ignore case, and never outside the folder it is appended to."""

    path: Path
    name: str

    @property
    def file_name(self) -> str:
        """The name with the file's suffix, as unique as the name."""
        kept = not _looks_like_picture(self.path.name) or self.name.rpartition("/")[2] == _readable(self.path.name)
        return self.name if kept else self.name + self.path.suffix


@dataclass(frozen=True)
class Found:
    """photos: in the order named, folders in natural order (img2 before img10). skipped: files in folders and patterns that are no
    pictures by their suffix or belong to the output of an earlier run; hidden files are neither read nor counted."""

    photos: tuple[Photo, ...]
    skipped: int


def find_photos(paths: str | Path | Sequence[str | Path], *, exclude: Path | None = None) -> Found:
    """The photographs that `paths` name, one path or several: files, folders with all that is below them, and patterns such as
    `photos/*.jpg`, which stand for the files and folders that they match. A file that is named twice, or once more through a link, is
    taken once.

    exclude: the output folder; it is not searched where it lies inside a folder to read, whether it exists yet or not. Outputs of
    earlier runs, which are folders with a seediff.toml, are not read either where they lie inside a folder to read or match a pattern.

    A name is the path below the folder named, or the file's own, without its suffix: `photos` → `trip/IMG_1`. Where two would be the
    same, all names are the paths below the folder that holds everything (`a/1`, `b/1`), and files that differ in their suffix alone
    keep it (`1.jpg`, `1.png`), as does one whose result would be called like a folder (`trip.png` beside `trip.jpg/`). So one
    photograph more in a folder renames none of another stem.

    Raises UserError: nothing named, a path or pattern that leads nowhere, a folder that cannot be listed, input inside `exclude`, no
    picture found.
    """
    if isinstance(paths, (str, Path)):
        paths = [paths]
    if not paths:
        raise UserError('no picture named: name files, folders or patterns such as "photos/*.jpg"')
    out = Path(os.path.realpath(exclude)) if exclude is not None else None
    depths: dict[Path, int] = {}  # path → how many of its last parts stand below what was named
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
    """What one path of the command line stands for: (path, parts below what was named, whether it is to be read as a picture)."""
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
    """Whether a path is, or lies in, the output of an earlier run below the folder that the user named."""
    below = takewhile(lambda folder: folder != named, (path, *path.parents))
    return any((folder / CONFIG).is_file() for folder in below)


def _walk(folder: Path, out: Path | None, old: bool = False) -> Iterator[tuple[Path, int, bool]]:
    """Every file below a folder that is not hidden, in natural order; links are followed, circles of them broken.

    old: the folder is an earlier run's output: nothing in it is to be read.
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
        folders[:] = [name for name in folders if not name.startswith(".")]
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
    """Sorts img2 before img10, without regard to case; paths that are equal so far by themselves."""
    return [[int(t) if i % 2 else t for i, t in enumerate(re.split("([0-9]+)", part.casefold()))] for part in path.parts], path


def _unique_names(depths: dict[Path, int]) -> list[str]:
    """A name for each file, of its last parts; see `find_photos`."""
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
        longer = [w if count[_folded(n)] > 1 or _is_in_the_way(n, homes) else n for n, w in zip(names, whole, strict=True)]
        if longer == names:
            return _numbered(names, homes)  # what is left differs in case alone
        names = longer


def _readable(name: str) -> str:
    """A name that is not UTF-8 could be written neither to JSON nor to a terminal."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _is_in_the_way(name: str, homes: Container[str]) -> bool:
    """Whether a file of results with this name would lie where a folder of results must be."""
    return any(_folded(name) + suffix in homes for suffix in RESULT_SUFFIXES)


def _without_suffix(name: str) -> str:
    """Without a picture's suffix. Any other is part of the name: scan.0001, scan.0002."""
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
    """The pixels (H, W, 3) uint8 of a picture in sRGB, upright.

    - EXIF orientation is applied.
    - Transparency is laid on white, as browsers and viewers show it; the colours beneath are arbitrary, often black.
    - 16-bit grey is scaled, white to 255, not clipped; 12-bit TIFF likewise. Floating point and 32-bit grey, which say nowhere what is
      white, are refused.
    - A valid ICC profile (Display P3, Adobe RGB, a printer's CMYK) is converted to sRGB; one that is broken or of another kind of
      colour is ignored. CMYK without a profile is converted plainly.
    - The content decides about the format, not the suffix.
    - Of several frames: a moving picture or a document of several pages is refused. Smaller versions in a TIFF and the further pictures
      of an MPO (a phone's depth, the other eye's view) are left out.

    max_megapixels: a larger picture is refused from its header, before anything is decoded.

    Threads take turns: warnings and Pillow's own limit on size are the process's, and both are put aside while a picture is read.

    Raises UserError, one line with the file's name: missing, empty, unreadable, truncated, too large, or a side below 8 pixels.
    """
    path = Path(path)
    with open_picture(path, max_megapixels=max_megapixels) as image, quiet_pillow():
        return _decode(image, path)


def read_picture(picture: Path | str | Image.Image | np.ndarray) -> np.ndarray:
    """The pixels (H, W, 3) uint8 of a file as `read_photo` reads it, of a picture of Pillow's likewise, or of an array, which must be that.

    Raises UserError as `read_photo` does, and for an array of another kind.
    """
    if isinstance(picture, Path | str):
        return read_photo(picture)
    if isinstance(picture, Image.Image):
        with quiet_pillow():
            return _decode(picture, Path("the picture"))
    pixels = np.asarray(picture)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or min(pixels.shape[:2]) < SHORTEST_SIDE:
        least = f"(H, W, 3) of uint8 with both sides at least {SHORTEST_SIDE}"
        raise UserError("the picture", f"is an array {pixels.shape} of {pixels.dtype}", f"give {least}, a file's path or Pillow's picture")
    return pixels


def _decode(image: Image.Image, path: Path) -> np.ndarray:
    # 1. From the header: is it worth decoding?
    width, height = image.size
    if min(width, height) < SHORTEST_SIDE:
        raise UserError(path, f"{width} × {height} pixels; both sides must have at least {SHORTEST_SIDE}")
    if _is_sequence(image):
        raise UserError(path, "has several frames or pages; save the one to segment as a picture of its own")

    # 2. Pixels. Some formats know their orientation only now, and TIFF has applied it by itself.
    image.load()
    turn = UPRIGHT.get(_orientation(image))

    # 3. Colours.
    rgb = _opaque(_to_srgb(_eight_bits(image, path), image.info.get("icc_profile")))
    return np.array(rgb.transpose(Image.Transpose[turn]) if turn else rgb)


def _is_sequence(image: Image.Image) -> bool:
    """Whether the file holds more pictures than one that are equals."""
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


def _orientation(image: Image.Image) -> int:
    """EXIF's, 1 to 8; 1 where it is missing or broken: a picture lying on its side is better than none."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:
        return 1


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """The picture in a mode of 8 bits a channel that Pillow converts further."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        # Pillow brings PGM's range to 16 bits; a TIFF of 12 bits keeps its own, and says so in BitsPerSample.
        tags = getattr(image, "tag_v2", {})
        white = 4095 if tags.get(258) == (12,) else 65535
        levels = np.minimum((np.arange(65536) * 255 + white // 2) // white, 255).astype(np.uint8)
        if tags.get(262) == 0:  # PhotometricInterpretation: zero is white
            levels = 255 - levels
        if isinstance(clear := image.info.get("transparency"), int):
            levels[clear] = 255  # white, as `_opaque` has it
        return Image.fromarray(levels[np.asarray(image)])
    if image.mode in ("I", "F"):
        kind = "floating-point" if image.mode == "F" else "32-bit or signed"
        raise UserError(path, f"{kind} pixels say nowhere which value is white; save it with 8 or 16 bits")
    return image.convert("LA") if image.mode == "La" else image


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB, or RGBA where anything is transparent, in sRGB."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("RGB")
    target = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile or image.mode == "LAB":
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.createProfile("LAB") if image.mode == "LAB" else ImageCms.ImageCmsProfile(io.BytesIO(profile or b"")),
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode=target,
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            pass  # such as RGB's profile in a grey picture: its colours are then taken as they are
    return image if image.mode == target else image.convert(target)


def _opaque(image: Image.Image) -> Image.Image:
    """RGB; what is transparent on white."""
    if image.mode == "RGB":
        return image
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def find_named(
    path: Path, rows: Sequence[tuple[int, dict[str, str]]], photos: Sequence[Photo]
) -> Iterator[tuple[int, Photo, dict[str, str]]]:
    """(line, photograph, row) of rows whose column `file` names photographs; UserError, naming `path` and the line, where one does not."""
    by_name: dict[str, list[Photo]] = {}
    for photo in photos:
        for name in {photo.name, photo.path.name, photo.path.as_posix(), photo.path.stem, photo.name + photo.path.suffix}:
            by_name.setdefault(name, []).append(photo)
    for number, row in rows:
        matches = by_name.get(row["file"].strip().replace("\\", "/"), [])
        if len(matches) != 1:
            why = f"{len(matches)} photographs are called that; name its folder too" if matches else "not among the photographs given"
            raise UserError(f"{path}, line {number}", f"file '{row['file']}': {why}")
        yield number, matches[0], row
