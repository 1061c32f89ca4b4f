"""The pictures of a set in another format: which files they are, what their samples are called, and how labels of
turned pictures are turned back."""

from __future__ import annotations

import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, product
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

import numpy as np

from ...errors import UserError
from ...files.image_files import check_pixels, orientation_of, turned_back
from ...files.label_maps import named_images, visible
from ...files.messages import show_json
from ...files.photo_files import without_suffix
from ...files.reading import ARCHIVES, composed, inside
from ...rows.parts import part_of
from ..encoding import ReadLabels, ReadObjects
from ..sample import JPEG_SUFFIXES, image_size
from ..shapes.objects import Objects

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
        stem, top = without_suffix(path), f"{part}/" * bool(part)
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
    stem, problem = _key(Path(portable(name))), f"there is no image {show_json(name)} in {tried[0]}"
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


def stored_labels(read: ReadLabels, image: Path, turn: int, shown: bool) -> np.ndarray:
    """The labels (H, W) of a picture with an EXIF orientation, turned to fit the picture as it is stored.

    read: reads the labels. image: the picture. turn: its EXIF orientation, from 2 to 8. shown: whether the format's
    tools draw on the turned picture. Raises UserError.
    """
    return _turned_back(read(), image, turn, shown)


def stored_objects(read: ReadObjects, image: Path, turn: int, shown: bool) -> Objects:
    """The objects of a picture with an EXIF orientation, turned as `stored_labels` turns labels. The arguments are the
    same."""
    objects = read()
    return replace(objects, numbers=_turned_back(objects.numbers, image, turn, shown))


def _turned_back(labels: np.ndarray, image: Path, turn: int, shown: bool) -> np.ndarray:
    """Labels (H, W), turned to fit the picture as it is stored. The arguments are those of `stored_labels`.

    The size of the labels says whether they were drawn on the stored or on the turned picture. If both have one size,
    as after half a turn, or for a square, the labels were drawn on the turned picture if `shown`. Otherwise this raises
    UserError.
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
