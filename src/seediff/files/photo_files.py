"""Finds pictures: the photographs in the files, folders and patterns that a user names, and the pictures of a folder.
Each gets a name that no other has."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ..errors import UserError
from .messages import plural, show_json
from .names import CONFIG, SUFFIXES, folded, looks_like_image, readable, without_suffix
from .reading import composed, is_there, real

MOST_KINDS = 6
"""Maximum number of kinds of other files that a line names."""


def walk(top: Path, leave_out: Callable[[Path], bool] = lambda folder: False) -> Iterator[Path]:
    """Yields every file below a folder, without hidden files and folders. Follows links, but not in circles. top: the
    folder. leave_out: decides whether a folder below it is skipped. Raises UserError for a folder that cannot be
    read."""

    def stop(error: OSError) -> None:
        raise UserError(error.filename, f"the folder cannot be read ({error.strerror})") from error

    seen: set[str] = set()
    for here, folders, names in os.walk(top, followlinks=True, onerror=stop):
        place = os.path.realpath(here)
        if place in seen or (Path(here) != top and leave_out(Path(here))):
            folders.clear()
            continue
        seen.add(place)
        # Sorted, so that every machine comes to a folder and to a link to it in the same order, and takes the first.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in names if not name.startswith("."))


def visible(folder: Path, pattern: str) -> Iterator[Path]:
    """The files in a folder that match a pattern, without hidden files such as macOS's `._NAME`."""
    return (path for path in folder.glob(pattern) if not path.name.startswith("."))


def named_images(folder: Path, suffixes: Collection[str] = (".png",)) -> list[tuple[str, Path]]:
    """(name, file) for each picture below a folder, sorted, without hidden files. A name is the path in the folder
    without suffix, with accents composed and `/` between its parts.

    suffixes: which files are pictures. Raises UserError for two files of one name, which differ in the encoding of
    accents or in the case of the suffix."""
    files = walk(folder) if folder.is_dir() else ()
    pictures = sorted(path for path in files if path.suffix.lower() in suffixes and is_there(path))
    named = [(composed(path.relative_to(folder).with_suffix("").as_posix()), path) for path in pictures]
    seen = dict[tuple[str, str], Path]()
    for name, path in named:
        other = seen.setdefault((name, path.suffix.lower()), path)
        if other is not path:
            raise UserError(path, f"has the same name as {other.name}, written in another way", "rename one of them")
    return named


@dataclass(frozen=True)
class Photo:
    """A photograph of the user."""

    path: Path
    """The path as the user named it."""
    name: str
    """The name for results, such as `trip/IMG_1`. It is a relative path, and unique even if case is ignored."""

    @property
    def file_name(self) -> str:
        """The name with the file's suffix, such as `trip/IMG_1.jpg`. It is unique, too."""
        kept = not looks_like_image(self.path.name) or self.name.rpartition("/")[2] == readable(self.path.name)
        return self.name if kept else self.name + self.path.suffix


@dataclass(frozen=True)
class FoundPhotos:
    """The photographs among the named files, folders and patterns."""

    photos: tuple[Photo, ...]
    """In the order in which the user named them; within a folder, in natural order (img2 before img10)."""
    skipped: Mapping[str, int]
    """Suffix → number of other files in the folders and patterns, such as films, which are not
    read."""

    @property
    def note(self) -> str:
        """A line about the other files, such as "4 other files skipped: 3 .mov, 1 .txt"; "" if there are none."""
        if not self.skipped:
            return ""
        kinds = [f"{count} {suffix or 'without a suffix'}" for suffix, count in self.skipped.items()]
        if len(kinds) > MOST_KINDS:
            kinds[MOST_KINDS:] = ["…"]
        return f"{plural(sum(self.skipped.values()), 'other file')} skipped: {', '.join(kinds)}"

    def __iter__(self) -> Iterator[Photo]:
        return iter(self.photos)


def find_photos(paths: str | Path | Sequence[str | Path], *, exclude: Path | None = None) -> FoundPhotos:
    """Finds photographs in one or several files, folders (with subfolders) and patterns such as `photos/*.jpg`. A file
    that is found twice, also through a link, is taken once. Hidden files are skipped, and so are outputs of earlier
    runs (folders with a seediff.toml) below the given folders.

    A photograph's name is its path below the given folder, or its file name, without suffix: `photos` → `trip/IMG_1`.
    If files of several folders would have equal names, all names are paths below the common folder (`a/1`, `b/1`).
    Files that differ only in their suffix keep it (`1.jpg`, `1.png`).

    paths: what the user named. exclude: the output folder, which is skipped. Raises UserError if a path or pattern
    matches nothing, a folder cannot be listed, a path is inside `exclude`, no picture is found, or two pictures still
    have one name (`1.jpg`, `1.JPG`).
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not paths or not all(str(given).strip() for given in paths):
        raise UserError("photos", "there must be a file, a folder or a pattern, such as 'photos/*.jpg'")
    out = real(exclude) if exclude is not None else None

    def is_output(folder: Path) -> bool:
        return (folder / CONFIG).is_file() or (out is not None and real(folder).is_relative_to(out))

    files: dict[str, tuple[Path, Path]] = {}  # real path → path, and path below the given folder
    skipped: set[str] = set()
    for given in map(str, paths):
        is_pattern = not os.path.lexists(given)
        tops = [Path(given)]
        if is_pattern:
            tops = [Path(match) for match in glob.glob(given, recursive=True)]
            if not tops:
                raise UserError(given, "no such file or folder")
            tops = sorted((path for path in tops if not is_output(path)), key=_reading_order)
        if not is_pattern and out is not None and real(given).is_relative_to(out):
            raise UserError(given, f"is inside the output folder {out}", "write the results elsewhere")
        for top in tops:
            folder, below = top.parent, iter([top])
            if top.is_dir():
                folder, below = top, walk(top, is_output)
            for path in sorted(below, key=_reading_order):
                if looks_like_image(path.name) or (path == top and not is_pattern):
                    files.setdefault(os.path.realpath(path), (path, path.relative_to(folder)))
                else:
                    skipped.add(os.path.realpath(path))
    if not files:
        read = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise UserError(paths[0], f"has no images among {plural(len(skipped), 'file')}", f"supported: {read}")
    kinds = Counter(os.path.splitext(path)[1].lower() for path in sorted(skipped))
    photos = zip(files.values(), _unique_names([*files.values()]), strict=True)
    return FoundPhotos(tuple(Photo(path, name) for (path, _), name in photos), dict(kinds.most_common()))


def photo_list(photos: Iterable[Photo]) -> list[Photo]:
    """The photographs as a list. Raises UserError for anything else, such as the name of a folder."""
    found: list[Any] = [photos] if isinstance(photos, str | Path) else [*photos]
    for photo in found:
        if not isinstance(photo, Photo):
            named = show_json(str(photo))
            raise UserError("photos", f"must be what `find_photos` returns, not {named}", f"give find_photos({named})")
    return found


def _reading_order(path: Path) -> tuple[list[list[str | int]], Path]:
    """A sort key by which img2 comes before img10, whatever their case. Paths that differ only in case are sorted by
    the path itself."""
    parts = [re.split("([0-9]+)", part.casefold()) for part in path.parts]  # every second text is a number
    return [[int(text) if i % 2 else text for i, text in enumerate(texts)] for texts in parts], path


def _unique_names(files: Sequence[tuple[Path, Path]]) -> list[str]:
    """A name for each file, as `find_photos` describes. files: (path, path below the given folder)."""
    # 1. Take the paths below the given folders. If files of several folders would have one name, take all paths below
    # the common folder.
    full = [Path(os.path.abspath(path)) for path, _ in files]
    below = [name for _, name in files]
    folders: dict[str, set[Path]] = {}
    for path, name in zip(full, below, strict=True):
        folders.setdefault(folded(without_suffix(name.as_posix())), set()).add(path.parent)
    if any(len(parents) > 1 for parents in folders.values()):
        common = os.path.commonpath([path.parent for path in full])
        below = [path.relative_to(common) for path in full]

    # 2. Leave out the suffix of each name that stays unique without it.
    whole = [readable(name.as_posix()) for name in below]
    short = [readable(without_suffix(name)) for name in whole]
    count = Counter(map(folded, short))
    names = [name if count[folded(name)] == 1 else long for long, name in zip(whole, short, strict=True)]

    # 3. Refuse names that still are not unique.
    taken: dict[str, Path] = {}
    for (path, _), name in zip(files, names, strict=True):
        other = taken.setdefault(folded(name), path)
        if other is not path:
            raise UserError(path, f"would have the same name as {other}", "rename one of them")
    return names


PHOTOS_AND_MAPS = (("images", "masks"), ("JPEGImages", "SegmentationClass"), ("leftImg8bit", "gtFine"))
"""(folder of photographs, folder of label maps) in datasets of SeeDiff, VOC and Cityscapes."""


def check_photos(paths: Sequence[Path]) -> None:
    """Raise UserError for a folder that is a dataset or contains one, because its label maps would be taken for
    photographs. Outputs of SeeDiff inside the folder are allowed, because `find_photos` leaves them out."""
    for path in filter(Path.is_dir, paths):
        below = [folder for folder in sorted(path.iterdir()) if not (folder / CONFIG).is_file()]
        for folder, (photos, maps) in product([path, *below], PHOTOS_AND_MAPS):
            if (folder / photos).is_dir() and (folder / maps).is_dir():
                problem = "is a dataset, whose label maps are not photographs"
                raise UserError(folder, problem, f"give {folder / photos}")
