"""The files of a set in another format: `SetFiles` reads them, and no others. Among them are the lists of the set's
parts, such as train.txt and val.txt.

A line of a list is the path of an image, perhaps of another machine, or its name; further columns are left out. It
means the image whose path ends like it, the longest end first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

from ...errors import UserError
from ...files.label_maps import visible
from ...files.messages import show_json
from ...files.photo_files import without_suffix
from ...files.reading import (
    ABSENT,
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
from .pictures import ends_of

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
    named, others, seen = dict[int, Listed](), list[tuple[str, str]](), list[list[str]]()
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
