"""The pictures of foreign sets: their files, the names of their samples, and labels of turned pictures."""

from __future__ import annotations

import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

import numpy as np

from ...errors import UserError
from ...files.image_files import check_pixels, orientation_of, turned_back
from ...files.label_maps import named_images
from ...files.messages import show_json
from ...files.photo_files import without_suffix
from ...files.reading import composed, inside
from ..encoding import Instances, ReadLabels, ReadObjects
from ..sample import JPEG_SUFFIXES, image_size

IMAGE_SUFFIXES = (".png", *(f".{suffix}" for suffix in JPEG_SUFFIXES))
PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Name of a split in other data sets, in small letters → SeeDiff's name."""


def given_or(images: Path | None, *usual: Path) -> list[Path]:
    """The folders of the pictures: the folder that the user named, or else the usual folders."""
    if images is None:
        return [*usual]
    return [images]


def images_by_name(folder: Path) -> dict[str, Path]:
    """Name → file for the PNG and JPEG files in a folder. If NAME.jpg and NAME.png exist, NAME.jpg counts."""
    return dict(reversed(named_images(folder, IMAGE_SUFFIXES)))


def portable(name: str) -> str:
    """A picture's path with / as separator, also if it was written on Windows. Of an absolute Windows path, only the
    last part stays: `C:\\data\\a.png` becomes `a.png`."""
    path = PureWindowsPath(name)
    if "\\" not in name:
        return name
    return path.name if path.anchor else path.as_posix()


def unique_names(images: Iterable[tuple[str | None, str]]) -> list[str]:
    """The names of samples. images: (part of the set, picture's path).

    A name is the first of these that no other picture has: `a`, `train/a`, `a.jpg`, `train/a.jpg` for the picture
    `a.jpg` of the part `train`.
    """
    forms: list[tuple[str, ...]] = []
    for part, path in images:
        stem, top = without_suffix(path), f"{part}/" if part else ""
        forms.append((stem, top + stem, path, top + path))
    counts = [Counter(form) for form in zip(*forms, strict=True)]
    names: list[str] = []
    for own in forms:
        unique = (form for form, count in zip(own, counts, strict=True) if count[form] == 1)
        names.append(next(unique, own[-1]))
    return names


class PictureFinder:
    """Finds pictures by the names that label files have for them."""

    def __init__(self) -> None:
        self.used: dict[Path, str] = {}
        """Picture → the name by which it was found."""
        self.listings: dict[Path, dict[str, list[str]]] = {}
        """Folder → a name without suffix, composed and in small letters → the pictures of this name."""

    def find(self, folders: Sequence[Path], names: Sequence[str], where: str) -> tuple[Path, str] | None:
        """(path, name) of a picture; None if the picture is missing. folders: where it may be. names: what it may be
        called. where: the label file's name in errors.

        Names may begin with folders of another machine. For /home/anna/pets/a.jpg, this tries home/anna/pets/a.jpg,
        anna/pets/a.jpg, pets/a.jpg and a.jpg, and returns the first that fits: in any folder the file of this name,
        then the only picture whose name differs in accents, case or suffix alone. Raises UserError if two names mean
        one picture.
        """
        ends = list(dict.fromkeys(chain.from_iterable(map(_ends, names))))
        for end in ends:
            for folder, path in self._matches(folders, end):
                other = self.used.setdefault(inside(folder, path), ends[0])
                if other != ends[0]:
                    raise UserError(where, f"{show_json(ends[0])} and {show_json(other)} are both {path}")
                return path, end
        return None

    def _matches(self, folders: Sequence[Path], end: str) -> Iterator[tuple[Path, Path]]:
        """(folder, path) of pictures whose name is or resembles `end`, the likeliest first: PNG and JPEG files of this
        name, then files of a similar name. Last come files of this name that are neither PNG nor JPEG, which are
        refused later."""
        exact = [(folder, folder / end) for folder in folders if os.path.isfile(folder / end)]
        if end.lower().endswith(IMAGE_SUFFIXES):
            yield from exact
        for folder in folders:
            path = self._alike(folder / end)
            if path is not None:
                yield folder, path
        yield from exact

    def _alike(self, path: Path) -> Path | None:
        """The only picture whose name differs from the name of `path` in accents or case alone, or else also in its
        suffix. None without such a picture, or with several."""
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
    """The ends of a picture's path or address, the longest first, at most 16: for `x/../y/a.jpg`, `y/a.jpg` and
    `a.jpg`."""
    path = unquote(name.partition("://")[2].partition("?")[0]) if "://" in name else portable(name)
    steps = [step for step in posixpath.normpath(path).split("/") if step not in ("", ".", "..")][-16:]
    return ["/".join(steps[i:]) for i in range(len(steps))]


def shown_size(image: Path) -> tuple[int, int]:
    """(height, width) of a picture after its EXIF orientation has turned it."""
    height, width = image_size(image)
    return (width, height) if 5 <= orientation_of(image) <= 8 else (height, width)


def check_frame(image: Path, shape: tuple[int, int], where: str) -> None:
    """Raises UserError unless labels have the size of their picture, as it is stored or as it is shown. shape: (H, W)
    of the labels. where: their name in errors."""
    size = image_size(image)
    if size != shape != shown_size(image):
        raise UserError(where, f"is {shape}, but its picture {image} is {size}; both are (height, width)")
    check_pixels((shape[1], shape[0]), where)


def stored_labels(read: ReadLabels, image: Path, turn: int, shown: bool) -> np.ndarray:
    """The labels (H, W) that `read` returns, turned to fit the picture as it is stored. turn: the picture's EXIF
    orientation, from 2 to 8. shown: whether the format's tools draw on the turned picture. Raises UserError."""
    return _turned_back(read(), image, turn, shown)


def stored_objects(read: ReadObjects, image: Path, turn: int, shown: bool) -> Instances:
    """The objects that `read` returns, turned to fit the picture as it is stored. turn, shown: as for `stored_labels`.
    Raises UserError."""
    objects = read()
    return replace(objects, numbers=_turned_back(objects.numbers, image, turn, shown))


def _turned_back(labels: np.ndarray, image: Path, turn: int, shown: bool) -> np.ndarray:
    """Labels (H, W), turned to fit the picture as it is stored. Their size says whether they were drawn on the stored
    or on the turned picture. If both pictures have one size, as after half a turn, or for a square, they were drawn on
    the turned picture if `shown`. Otherwise raises UserError."""
    size = turned = image_size(image)
    if turn >= 5:
        turned = size[::-1]
    if labels.shape != turned:
        return labels  # of the stored picture; a wrong size is refused later
    if size == turned and not shown:
        problem = f"has the EXIF orientation {turn}, and it is unclear whether its labels are rotated too"
        raise UserError(image, problem, "save the picture without an orientation")
    return turned_back(labels, turn)
