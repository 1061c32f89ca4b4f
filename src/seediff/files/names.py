"""Names, as texts: those of the files in an output, suffixes of pictures, a sample's name, and which names of label
maps, photographs or predictions belong together."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError
from .reading import composed

CONFIG = "seediff.toml"
"""The configuration of every output. It marks a folder as an output, and the same command continues its run."""
BATCHES = ".batches"
"""The folder in which a run records each finished batch."""
METADATA = "metadata.jsonl"
"""The rows of a dataset."""
REJECTED = "rejected.jsonl"
"""Rows of the draws that were not kept."""
FAILED = "failed.jsonl"
"""Rows of the photographs that could not be used: {"photo": file name, "reason": …}."""
CLASSES = "classes.txt"
IMAGES, MASKS, INSTANCES = "images", "masks", "instances"
"""The folders of the pictures, label maps and objects in a dataset."""
CARD, PREVIEW = "README.md", "preview.html"
"""The card and the page of a dataset."""
IGNORE = 255
"""The id of ignored pixels in label maps."""

SUFFIXES = (
    ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2c", ".j2k", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""Suffixes by which pictures in folders are recognised. A file that the user names may have any suffix."""
LONGEST_PART = 200
"""Maximum bytes of a part of a name; file systems allow 255."""
PHOTO_ENDING = "_leftImg8bit"
"""The ending of photographs' names in Cityscapes, which its labels' names do not have."""


def looks_like_image(name: str) -> bool:
    """Whether a file's name has a suffix of pictures."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def without_suffix(name: str) -> str:
    """The name without the suffix, if that is one of pictures: `1.png` → `1`; `scan.0001` stays."""
    return os.path.splitext(name)[0] if looks_like_image(name) else name


def sample_name(file_name: str) -> str:
    """The name of a sample from its picture's path in the dataset: `images/trip/1.png` → `trip/1`."""
    return without_suffix(file_name).removeprefix(f"{IMAGES}/")


def readable(name: str) -> str:
    """A relative path, changed into a sample's name that `check_name` (dataset/sample.py) allows. Bytes that are not
    UTF-8 are replaced, and so are characters that some file system, list of names or terminal refuses. No part of the
    name begins with a dot, and each is short enough to get an ending."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = "".join(letter if letter.isprintable() and letter not in "\\:" else "_" for letter in text)
    text = "/".join(part.encode("utf-8")[:LONGEST_PART].decode("utf-8", "ignore") for part in text.split("/"))
    return re.sub(r"(?<![^/])[. ]| (?=/|$)", "_", text)


def folded(name: str) -> str:
    """A key for comparing names. It is equal for two names if some file system does not tell them apart."""
    return composed(name).casefold()


def match_names(names: Iterable[str], others: Iterable[str], where: Path) -> tuple[dict[str, str], list[str]]:
    """(matches, missing) of names of label maps, photographs or predictions. matches: name → the other that belongs to
    it. missing: names without any.

    Two names belong together if they are one path in their folders, otherwise if their last parts are equal. The ending
    of photographs in Cityscapes does not count. names, others: from `named_images`. where: the others' folder or list,
    for errors. Raises UserError if several fit."""
    exact = {composed(name): name for name in others}
    # The exact name counts more than a name without the ending.
    by_path = {key.removesuffix(PHOTO_ENDING): name for key, name in exact.items()} | exact
    by_stem: dict[str, list[str]] = {}
    for key, name in by_path.items():
        by_stem.setdefault(stem(key), []).append(name)
    matches: dict[str, str] = {}
    missing: list[str] = []
    for name in names:
        key = composed(name)
        plain = key.removesuffix(PHOTO_ENDING)
        other = by_path.get(key) or by_path.get(plain)
        fitting = [other] if other else by_stem.get(stem(plain), [])
        if len(fitting) > 1:
            problem = f"'{fitting[0]}' and '{fitting[1]}' could both belong to '{name}'"
            raise UserError(where, problem, "keep one, or use the same subfolders")
        if fitting:
            matches[name] = fitting[0]
        else:
            missing.append(name)
    for other, count in Counter(matches.values()).items():
        if count > 1:
            raise UserError(where, f"'{other}' could belong to {count} names", "use the same subfolders")
    return matches, missing


def stem(name: str) -> str:
    """The last part of a name from `named_images`."""
    return name.rpartition("/")[2]
