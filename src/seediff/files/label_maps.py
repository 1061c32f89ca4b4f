"""Label maps on disk: reading and finding them, matching predictions with labels, and the colours of their palette."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from ..errors import UserError
from .image_files import read_pixels
from .reading import composed

IGNORE = 255
"""The 8-bit id of ignored pixels."""
MAP_FOLDERS = ("labels", "masks")
"""Names of folders in which SeeDiff and other programs store label maps."""
PHOTO_ENDING = "_leftImg8bit"
"""The ending of photographs' names in Cityscapes, which its labels' names do not have."""


def read_segment_ids(path: Path) -> np.ndarray:
    """The ids in a palette or grey PNG, (H, W) int32. The highest value, 255 in 8 bits and 65535 in 16 bits, means no
    label and becomes −1. Raises UserError for any other file."""
    array, kind, mode = read_pixels(path)
    if kind != "PNG":
        raise UserError(path, f"is {kind} data; a label map must be PNG, which keeps ids exactly")
    if array.ndim != 2:
        raise UserError(path, f"is a colour image ({mode}); a label map is a palette or grey PNG")
    ids = array.astype(np.int32)
    ids[ids == (65535 if array.dtype.itemsize > 1 else IGNORE)] = -1
    return ids


def map_folder(folder: Path) -> Path:
    """The folder that has the label maps: `labels/` or `masks/` in `folder`, otherwise `folder` itself. Raises
    UserError if `folder` is no folder."""
    if not folder.exists():
        raise UserError(folder, "no such folder")
    if not folder.is_dir():
        raise UserError(folder, "must be a folder of label maps")
    return next((folder / name for name in MAP_FOLDERS if (folder / name).is_dir()), folder)


def walk(top: Path, leave_out: Callable[[Path], bool] = lambda folder: False) -> Iterator[Path]:
    """Yields every file below a folder, without hidden files and folders. Follows links, but not in circles. top: the
    folder. leave_out: decides whether a folder below it is skipped. Raises UserError for a folder that cannot be
    read."""

    def stop(error: OSError) -> None:
        raise UserError(error.filename, f"the folder cannot be read ({error.strerror})") from error

    seen: set[str] = set()
    for here, folders, names in os.walk(top, followlinks=True, onerror=stop):
        real = os.path.realpath(here)
        if real in seen or (Path(here) != top and leave_out(Path(here))):
            folders.clear()
            continue
        seen.add(real)
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
    pictures = sorted(path for path in files if path.suffix.lower() in suffixes and path.is_file())
    named = [(composed(path.relative_to(folder).with_suffix("").as_posix()), path) for path in pictures]
    seen = dict[tuple[str, str], Path]()
    for name, path in named:
        other = seen.setdefault((name, path.suffix.lower()), path)
        if other is not path:
            raise UserError(path, f"has the same name as {other.name}, written in another way", "rename one of them")
    return named


def match_names(labels: Iterable[str], predictions: Iterable[str], where: Path) -> tuple[dict[str, str], list[str]]:
    """(matches, missing). matches: label → its prediction. missing: labels without a prediction.

    A label's prediction has the label's path in its folder; otherwise it has the label's file name, anywhere below the
    folder. Its name may have the ending of photographs in Cityscapes.

    labels, predictions: names. where: the predictions' folder, for errors. Raises UserError if several fit."""
    exact = {composed(name): name for name in predictions}
    # The exact name counts more than a name without the ending.
    names = {key.removesuffix(PHOTO_ENDING): name for key, name in exact.items()} | exact
    by_stem: dict[str, list[str]] = {}
    for key, name in names.items():
        by_stem.setdefault(stem(key), []).append(name)
    matches: dict[str, str] = {}
    missing: list[str] = []
    for label in labels:
        key = composed(label)
        fitting = [names[key]] if key in names else by_stem.get(stem(key), [])
        if len(fitting) > 1:
            problem = f"predictions '{fitting[0]}' and '{fitting[1]}' could both belong to label '{label}'"
            raise UserError(where, problem, "keep one")
        if fitting:
            matches[label] = fitting[0]
        else:
            missing.append(label)
    for name, count in Counter(matches.values()).items():
        if count > 1:
            raise UserError(where, f"prediction '{name}' could belong to {count} labels", "use the labels' subfolders")
    return matches, missing


def find_name(labels: Collection[str], name: str) -> str | None:
    """The label that belongs to a photograph or prediction: the label with its name, otherwise the only label with the
    last part of its name. None if there is no such label.

    labels: the names of all labels. name: of the photograph or prediction, a path without suffix. It may have the
    ending of photographs in Cityscapes."""
    names = name, name.removesuffix(PHOTO_ENDING)
    for label in names:
        if label in labels:
            return label
    same = [label for label in labels if stem(label) in map(stem, names)]
    return same[0] if len(same) == 1 else None


def stem(name: str) -> str:
    """The last part of a name from `named_images`."""
    return name.rpartition("/")[2]


def centre_square(array: np.ndarray) -> np.ndarray:
    """The largest centred square (S, S) of an array (H, W). If the two margins cannot be equal, the one at the bottom
    or right is a pixel wider, as in DiffSeg."""
    height, width = array.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return array[top : top + side, left : left + side]


def resize_nearest(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """An array (H, W) at the size (height, width): each pixel gets the value beneath its centre."""
    rows = (2 * np.arange(height) + 1) * array.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * array.shape[1] // (2 * width)
    return array[rows[:, None], columns]


@cache  # because it takes longer than encoding a mask
def voc_palette() -> list[int]:
    """The 256 colours of VOC's label maps as 768 values in [0, 255] (R, G, B, R, …). Id 0 is black, and 255 is cream
    (224, 224, 192)."""
    # The bits of a label, the lowest first, go in turn to red, green and blue, from the highest bit of each down.
    labels, colours = np.arange(256), np.zeros((256, 3), int)
    for bit in range(8):
        colours[:, bit % 3] |= (labels >> bit & 1) << (7 - bit // 3)
    return colours.ravel().tolist()


def soft_levels(soft: np.ndarray) -> np.ndarray:
    """A soft mask (H, W) in [0, 1] as uint8 with 255 = 1. Files keep soft masks in this precision."""
    return (np.clip(soft, 0, 1) * 255).round().astype(np.uint8)
