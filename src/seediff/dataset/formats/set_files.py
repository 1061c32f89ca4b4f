"""The files of a set in another format: `SetFiles` reads them, and no others. Among them are the lists of the set's
parts, such as train.txt and val.txt. Which files the pictures are, what their samples are called, and how labels of
turned pictures are turned back.

A line of a list is the path of an image, perhaps of another machine, or its name; further columns are left out. It
means the image whose path ends like it, the longest end first.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, product
from pathlib import Path, PureWindowsPath
from typing import NamedTuple, TypeVar
from urllib.parse import unquote

import numpy as np

from ...errors import UserError
from ...files.image_files import check_pixels, orientation_of, read_pixels, turned_back
from ...files.messages import show_json
from ...files.names import without_suffix
from ...files.photo_files import named_images, visible
from ...files.reading import (
    ABSENT,
    ARCHIVES,
    Json,
    Node,
    composed,
    inside,
    parse_json,
    read_bytes,
    read_lines,
    read_text,
    read_xml,
    read_yaml,
    real,
)
from ...rows.values import part_of
from ..sample import JPEG_SUFFIXES, image_size

T = TypeVar("T")


@dataclass(frozen=True)
class SetFiles:
    """Reads the files of a set. Each method raises UserError for a file that cannot be read, that is not of the wanted
    kind, or that lies outside of the set, also after following links.

    Codecs read files in no other way, so that foreign files cannot bring in anything else.
    """

    named: Path
    """The folder or file that the user named."""
    others: Sequence[Path] = ()
    """Other folders that the user named, such as that of the pictures."""

    @property
    def folder(self) -> Path:
        """`named` itself, or the folder of the file."""
        return self.named if self.named.is_dir() else self.named.parent

    def holds(self, path: Path) -> bool:
        """Whether a file may be read."""
        if path == self.named:
            return True
        return any(real(path).is_relative_to(root) for root in self._roots)

    @cached_property
    def _roots(self) -> list[Path]:
        """The folders whose files may be read, after following links."""
        return [real(folder) for folder in (self.folder, *self.others)]

    def inside(self, path: Path) -> Path:
        """The path itself, of a file that may be read."""
        with suppress(OSError, ValueError):  # a path that no file can have
            if self.holds(path):
                return path
        return inside(self.folder, path)

    def text(self, path: Path) -> str:
        """The text of a UTF-8 file."""
        return read_text(self.inside(path))

    def lines(self, path: Path) -> list[str]:
        """The lines of a UTF-8 file, as `read_lines` returns them."""
        return read_lines(self.inside(path))

    def json(self, path: Path, kind: type[T], *, strict: bool = True) -> T:
        """The JSON document in a file, as a `kind`. strict: as for `parse_json`."""
        return parse_json(read_bytes(self.inside(path)), kind, str(path), strict=strict)

    def yaml(self, path: Path) -> Json:
        """The content of a YAML file, as `read_yaml` returns it."""
        return read_yaml(self.inside(path))

    def xml(self, path: Path, root: str, *, absent: str = ABSENT) -> Node:
        """The root element of an XML file. root, absent: as for `read_xml`."""
        return read_xml(self.inside(path), root, absent=absent)


def pixels_in(data: bytes, where: str) -> tuple[np.ndarray, str]:
    """(pixels, mode) of a picture, as `stored_pixels` returns them. data: its bytes. where: its name in errors. Raises
    UserError."""
    pixels, _, mode = read_pixels(data, where)
    return pixels, mode


FOLDERS = ("", "splits", "ImageSets/Segmentation")
"""Where lists of parts may be in a set."""
NUMBERS = re.compile(r"\s*([-+.\deE]+\s+){4,}[-+.\deE]+\s*")
"""A row of five or more numbers."""
BOTH = "trainval"
"""The title of VOC's list of two parts, which says only that its images belong to the set."""


class Listed(NamedTuple):
    """What a list says of an image."""

    part: str
    """One of SPLITS; "" for a list of no part."""
    where: str
    """The list's file and line, for errors."""


def is_label_file(lines: Sequence[str]) -> bool:
    """Whether a file has YOLO's rows of numbers, and none of names."""
    rows = [line for line in lines if line.strip()]
    return bool(rows) and all(map(NUMBERS.fullmatch, rows))


def find_lists(files: SetFiles, root: Path, title: str | None = None) -> list[tuple[str, Path]]:
    """(part, file) of the lists in a set. root: the set's folder. title: only the list of this name, which need not be
    that of a part; None: all lists of parts."""
    found: list[tuple[str, Path]] = []
    for path in (path for folder in FOLDERS for path in sorted(visible(root / folder, "*.txt"))):
        part = part_of(path.stem)
        if (path.stem == title if title else part or path.stem == BOTH) and not is_label_file(files.lines(path)):
            found.append((part or "", path))
    return found


def read_lists(
    files: SetFiles, lists: Iterable[tuple[str, Path]], images: Sequence[str]
) -> tuple[dict[int, Listed], list[tuple[str, str]]]:
    """(named, others). `named`: position in `images` → what a list says of the image. `others`: (line, where) of each
    line that names no image.

    lists: (part, file) of each list; of equal ones, the first counts. images: the paths of the images. Raises UserError
    for a line that may mean several images, and for an image in the lists of two parts.
    """
    by_end = defaultdict[str, list[int]](list)
    for position, image in enumerate(images):
        for end in ends_of(image):
            for key in {composed(end), composed(without_suffix(end))}:
                by_end[key].append(position)
    named = dict[int, Listed]()
    others = list[tuple[str, str]]()
    seen = list[list[str]]()
    for part, path in lists:
        lines = [line.strip() for line in files.lines(path)]
        if lines in seen:  # many sets name one list twice, because there is no other
            continue
        seen.append(lines)
        for where, line in ((f"{path}, line {number}", line) for number, line in enumerate(lines, 1) if line):
            found = next((by_end[end] for end in _ends(line) if end in by_end), [])
            if len(found) > 1:
                problem = f"{show_json(line)} may be any of {images[found[0]]}, {images[found[1]]}"
                raise UserError(where, problem, "write their folders, too")
            if not found:
                others.append((line, where))
                continue
            before = named.setdefault(found[0], Listed(part, where))
            if part and before.part and before.part != part:
                raise UserError(where, f"{images[found[0]]} is in another part by {before.where}", "name it once")
            if part and not before.part:
                named[found[0]] = Listed(part, where)
    return named, others


def _ends(line: str) -> Iterator[str]:
    """What a line may mean, the likeliest first: the ends of the whole line, and then those of its first column."""
    for text in dict.fromkeys((line, line.split()[0])):
        for end in ends_of(text):
            yield from (composed(end), composed(without_suffix(end)))


# Pictures.

IMAGE_SUFFIXES = (".png", *(f".{suffix}" for suffix in JPEG_SUFFIXES))


def given_or(images: Path | None, *usual: Path) -> list[Path]:
    """The folders of the pictures. images: the folder that the user named; None: the usual folders count."""
    if images is None:
        return [*usual]
    return [images]


def images_by_name(folder: Path) -> dict[str, Path]:
    """Name → file, for the PNG and JPEG files in a folder. NAME.jpg goes before NAME.png."""
    return dict(reversed(named_images(folder, IMAGE_SUFFIXES)))


def portable(name: str) -> str:
    """A picture's path with / as separator, also if it was written on Windows: `pets\\a.png` becomes `pets/a.png`. Only
    the last part of an absolute Windows path stays: `C:\\data\\a.png` becomes `a.png`."""
    path = PureWindowsPath(name)
    if "\\" in name and path.anchor:
        return path.name
    return name.replace("\\", "/")


def top_folder(name: str) -> str:
    """The first folder of a picture's path, which may be the part of the set; "" for a path without folders."""
    return name.rpartition("/")[0].partition("/")[0]


def unique_names(images: Iterable[tuple[str | None, str]]) -> list[str]:
    """A name for each picture's sample. images: (part of the set, picture's path) of each picture.

    The sample of a.jpg in the part `train` is called `a`. If other pictures have this name, too, it is called
    `train/a`, or else `train/a.jpg`.
    """
    forms: list[tuple[str, ...]] = []
    for part, path in images:
        stem = without_suffix(path)
        top = f"{part or ''}/".removeprefix("/")
        forms.append((stem, top + stem, top + path))
    counts = [Counter(form) for form in zip(*forms, strict=True)]
    names: list[str] = []
    for choices in forms:
        unique = (form for form, count in zip(choices, counts, strict=True) if count[form] == 1)
        names.append(next(unique, choices[-1]))
    return names


class PictureFinder:
    """Finds pictures by the names that label files have for them."""

    def __init__(self) -> None:
        self.listings: dict[tuple[Path, str], dict[str, list[Path]]] = {}
        """(folder, pattern) → a name without suffix, as `_alike` compares it → the pictures."""

    def find(self, folders: Sequence[Path], names: Sequence[str], whole: Path | None = None) -> tuple[Path, str] | None:
        """(path, end) of a picture: its file, and the end of its name that fits. None if the picture is missing.

        folders: where the picture may be. names: what it may be called. A name may begin with folders of another
        machine. For /home/anna/pets/a.jpg, the ends home/anna/pets/a.jpg, anna/pets/a.jpg, pets/a.jpg and a.jpg are
        tried in this order. A file fits if it has this name in any of the folders, or else if it is the only picture
        whose name differs in accents, case or suffix alone. whole: a folder in which the only picture of the last of
        these names fits at any depth, unless a part of the set may have the picture.
        """
        ends = dict.fromkeys(chain.from_iterable(map(ends_of, names)))
        for end, alike, folder in product(ends, (False, True), folders):
            path = self._alike((folder / end).parent, end) if alike else folder / end
            if path is not None and path.suffix.lower() in IMAGE_SUFFIXES and os.path.isfile(path):
                return inside(folder, path), end
        path = self._alike(whole, [*ends][-1], "**/*") if whole and ends else None
        name = path.relative_to(whole or "").as_posix() if path else ""
        return None if path is None or part_of(top_folder(name)) else (path, name)

    def _alike(self, folder: Path, name: str, pattern: str = "*") -> Path | None:
        """The only picture in a folder whose name differs in accents, case or suffix alone."""
        if (folder, pattern) not in self.listings:
            listing = self.listings[folder, pattern] = defaultdict[str, list[Path]](list)
            for file in folder.glob(pattern) if os.path.isdir(folder) else ():
                if file.suffix.lower() in IMAGE_SUFFIXES:
                    listing[_key(file)].append(file)
        alike = self.listings[folder, pattern].get(_key(Path(name)), [])
        return alike[0] if len(alike) == 1 else None


def missing_picture(name: str, folders: Sequence[Path]) -> str:
    """The problem of labels whose picture is missing, with what is there instead: a file of another kind, or an
    archive. name: of the picture. folders: where it may be, one or more."""
    tried = [folder for folder in folders if folder.is_dir()] or folders
    stem = _key(Path(portable(name)))
    problem = f"there is no image {show_json(name)} in {tried[0]}"
    files = [path for folder in dict.fromkeys(tried) if folder.is_dir() for path in sorted(visible(folder, "*"))]
    alike = [path for path in files if stem in (_key(path), composed(path.stem).casefold()) and path.is_file()]
    others = [path for path in alike if path.suffix.lower() not in (*IMAGE_SUFFIXES, ".json", ".txt", ".xml")]
    for path in [*others, *(path for path in files if path.name.lower().endswith(ARCHIVES))][:1]:
        problem += f", but {path}, and only PNG and JPEG files are read"
    return problem


def how_to_find(given: bool) -> str:
    """What to do about labels whose picture is missing. given: whether the user named the folder of the pictures."""
    if given:
        return "--skip-missing leaves out labels without one"
    return "--images names the folder of the images, and --skip-missing leaves out labels without one"


def _key(path: Path) -> str:
    return composed(without_suffix(path.name)).casefold()


def ends_of(name: str) -> list[str]:
    """The ends of a picture's path or address, the longest first, at most 16: `y/a.jpg` and `a.jpg` for
    `x/../y/a.jpg`."""
    path = unquote(name.partition("://")[2].partition("?")[0]) if "://" in name else portable(name)
    steps = [step for step in posixpath.normpath(path).split("/") if step not in ("", ".", "..")][-16:]
    return ["/".join(steps[i:]) for i in range(len(steps))]


def shown_size(image: Path) -> tuple[int, int]:
    """(height, width) of a picture as its EXIF orientation turns it."""
    height, width = image_size(image)
    if 5 <= orientation_of(image) <= 8:
        return width, height
    return height, width


def check_frame(image: Path, shape: tuple[int, int], where: str) -> None:
    """Raises UserError unless labels have the size of their picture, as it is stored or as it is turned. image: the
    picture. shape: (H, W) of the labels. where: their name in errors."""
    size = image_size(image)
    if size != shape != shown_size(image):
        raise UserError(where, f"is {shape}, but its image {image} is {size}; both are (height, width)")
    check_pixels((shape[1], shape[0]), where)


def in_stored_order(labels: np.ndarray, image: Path, turn: int, shown: bool) -> np.ndarray:
    """The labels of a picture with an EXIF orientation, turned to fit the picture as it is stored.

    labels: (H, W). image: the picture. turn: its EXIF orientation, from 2 to 8. shown: whether the format's tools
    draw on the turned picture. The size of the labels says whether they were drawn on the stored or on the turned
    picture. If both have one size, as after half a turn, or for a square, the labels were drawn on the turned picture
    if `shown`. Otherwise this raises UserError.
    """
    size = turned = image_size(image)
    if turn >= 5:
        turned = size[::-1]
    if labels.shape != turned:
        return labels  # of the stored picture; a wrong size is refused later
    if size == turned and not shown:
        problem = f"has the EXIF orientation {turn}, and it is unclear whether its labels are rotated too"
        raise UserError(image, problem, "save the image without an orientation")
    return turned_back(labels, turn)
