"""The files of a set in another format: `SetFiles` reads them, and no others. `PictureFinder` finds the pictures by the
names that label files have for them."""

from __future__ import annotations

import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, product
from pathlib import Path, PureWindowsPath
from typing import NamedTuple, TypeVar
from urllib.parse import unquote

import numpy as np

from ...files.image_files import read_pixels
from ...files.names import without_suffix
from ...files.photo_files import named_images
from ...files.reading import (
    ABSENT,
    Json,
    Node,
    composed,
    inside,
    is_there,
    parse_json,
    read_bytes,
    read_lines,
    read_text,
    read_xml,
    read_yaml,
    real,
)
from ...rows.values import part_of
from ..sample import JPEG_SUFFIXES

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


class Picture(NamedTuple):
    """A picture of the set."""

    file: Path | bytes | None
    """The bytes of a file that is inside of the set's own file. None if only label maps are compared."""
    name: str
    """Its path in its folder, with suffix."""

    @property
    def path(self) -> str:
        """The path of its file, or else its name."""
        return str(self.file) if isinstance(self.file, Path) else self.name


@dataclass(frozen=True)
class PictureFinder:
    """Finds pictures by the names that label files have for them."""

    listings: dict[tuple[Path, str], dict[str, list[Path]]] = field(default_factory=dict)
    """(folder, pattern) → a name without suffix, as `_alike` compares it → the pictures."""

    def find(self, folders: Sequence[Path], names: Sequence[str], at_any_depth: Path | None = None) -> Picture | None:
        """The picture, named by the end of its name that fits; None if it is missing.

        folders: where the picture may be. names: what it may be called. A name may begin with folders of another
        machine. For /home/anna/pets/a.jpg, the ends home/anna/pets/a.jpg, anna/pets/a.jpg, pets/a.jpg and a.jpg are
        tried in this order. A file fits if it has this name in any of the folders, or else if it is the only picture
        whose name differs in accents, case or suffix alone. at_any_depth: a folder in which the only picture of the
        last of these names fits at any depth, unless a part of the set may have the picture.
        """
        ends = dict.fromkeys(chain.from_iterable(map(ends_of, names)))
        for end, alike, folder in product(ends, (False, True), folders):
            path = self._alike((folder / end).parent, end) if alike else folder / end
            if path is not None and path.suffix.lower() in IMAGE_SUFFIXES and is_there(path):
                return Picture(inside(folder, path), end)
        if at_any_depth is None or not ends:
            return None
        path = self._alike(at_any_depth, [*ends][-1], "**/*")
        if path is None:
            return None
        name = path.relative_to(at_any_depth).as_posix()
        return None if part_of(top_folder(name)) else Picture(path, name)

    def _alike(self, folder: Path, name: str, pattern: str = "*") -> Path | None:
        """The only picture in a folder whose name differs in accents, case or suffix alone."""
        if (folder, pattern) not in self.listings:
            listing = self.listings[folder, pattern] = defaultdict[str, list[Path]](list)
            for file in folder.glob(pattern) if os.path.isdir(folder) else ():
                if file.suffix.lower() in IMAGE_SUFFIXES:
                    listing[_key(file)].append(file)
        alike = self.listings[folder, pattern].get(_key(Path(name)), [])
        return alike[0] if len(alike) == 1 else None


def _key(path: Path) -> str:
    return composed(without_suffix(path.name)).casefold()


def ends_of(name: str) -> list[str]:
    """The ends of a picture's path or address, the longest first, at most 16: `y/a.jpg` and `a.jpg` for
    `x/../y/a.jpg`."""
    path = unquote(name.partition("://")[2].partition("?")[0]) if "://" in name else portable(name)
    steps = [step for step in posixpath.normpath(path).split("/") if step not in ("", ".", "..")][-16:]
    return ["/".join(steps[i:]) for i in range(len(steps))]
