"""The pictures that foreign files name: finds them, and turns their labels as they are stored."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from ...errors import UserError
from ...files.image_files import turned_back
from ...files.messages import show_json
from ...files.photo_files import without_suffix
from ...files.reading import composed, inside
from ..encoding import Instances, ReadLabels, ReadObjects
from ..sample import image_size
from .label_files import IMAGE_SUFFIXES, portable


class PictureFinder:
    """Finds pictures by the names in files of labels."""

    def __init__(self) -> None:
        self.used: dict[Path, str] = {}
        """Picture → the name by which it was found."""
        self.listings: dict[Path, dict[str, list[str]]] = {}
        """Folder → name without suffix, composed and in small letters → its files."""

    def find(self, folders: Sequence[Path], names: Sequence[str], where: str) -> tuple[Path, str] | None:
        """(path of a picture, end of a name by which it was found); None if the picture is missing. Names may begin
        with folders of another machine, so their ends are tried, the longest first: in each folder the file of this
        name, then the only file whose name differs in spelling or suffix alone. Raises UserError if two names mean one
        picture."""
        ends = list(dict.fromkeys(chain.from_iterable(map(_ends, names))))
        for end in ends:
            for folder, path in self._matches(folders, end):
                other = self.used.setdefault(inside(folder, path), ends[0])
                if other != ends[0]:
                    raise UserError(where, f"{show_json(ends[0])} and {show_json(other)} are both {path}")
                return path, end
        return None

    def _matches(self, folders: Sequence[Path], end: str) -> Iterator[tuple[Path, Path]]:
        """(folder, path) of the pictures with a name, the likeliest first: files of this name that can be read, then
        those of a similar name, then those of this name with a suffix that no dataset has, which are refused later."""
        exact = [(folder, folder / end) for folder in folders if os.path.isfile(folder / end)]
        if end.lower().endswith(IMAGE_SUFFIXES):
            yield from exact
        for folder in folders:
            path = self._alike(folder / end)
            if path is not None:
                yield folder, path
        yield from exact

    def _alike(self, path: Path) -> Path | None:
        """The only picture whose name differs from that of `path` in spelling alone, or else in spelling and suffix."""
        folder = path.parent
        if folder not in self.listings:
            listing = self.listings[folder] = defaultdict[str, list[str]](list)
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                if name.lower().endswith(IMAGE_SUFFIXES):
                    listing[composed(without_suffix(name)).casefold()].append(name)
        alike = self.listings[folder].get(composed(without_suffix(path.name)).casefold(), [])
        alike = [name for name in alike if composed(name).casefold() == composed(path.name).casefold()] or alike
        return folder / alike[0] if len(alike) == 1 else None


def _ends(name: str) -> list[str]:
    """The ends of a picture's path or address, the longest first, without `..`; at most 16."""
    path = unquote(name.partition("://")[2].partition("?")[0]) if "://" in name else portable(name)
    steps = [step for step in posixpath.normpath(path).split("/") if step not in ("", ".", "..")][-16:]
    return ["/".join(steps[i:]) for i in range(len(steps))]


@dataclass(frozen=True)
class TurnedPicture:
    """A picture with an EXIF orientation."""

    image: Path | bytes
    turn: int
    """The orientation, from 2 to 8."""
    shown: bool
    """Whether labels that may be of both are of the picture as the orientation turns it."""
    where: str
    """The picture's name in errors."""

    def labels(self, read: ReadLabels) -> np.ndarray:
        """What `read` returns, turned as the picture is stored. Raises UserError."""
        return self._back(read())

    def objects(self, read: ReadObjects) -> Instances:
        """What `read` returns, turned as the picture is stored. Raises UserError."""
        objects = read()
        return replace(objects, numbers=self._back(objects.numbers))

    def _back(self, labels: np.ndarray) -> np.ndarray:
        """Labels (H, W) of the picture as stored. Their size says whether they were drawn on that picture or on the
        turned one; where both have one size, `shown` says it."""
        size = turned = image_size(self.image, self.where)
        if self.turn >= 5:
            turned = size[::-1]
        if labels.shape != turned:
            return labels  # of the picture as stored; a wrong size is refused later
        if size == turned and not self.shown:
            problem = f"has the EXIF orientation {self.turn}, and it is unclear whether its labels are rotated too"
            raise UserError(self.where, problem, "save the picture without an orientation")
        return turned_back(labels, self.turn)
