"""What is there: lines about the files of a folder, for refusals and notes. No layout is recognised here."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence, Set
from contextlib import suppress
from itertools import islice
from pathlib import Path

from ...errors import UserError
from ...files.names import looks_like_image
from ...files.photo_files import walk
from ...files.reading import ARCHIVES
from ..class_lists import LISTS
from .set_files import IMAGE_SUFFIXES

MOST_FILES = 200_000
"""From this number of files on, no further folder is looked at."""
MOST_LINES = 6
"""Maximum number of lines about what is there."""
ROWS, GREY = "of YOLO's rows", "grey, or with a palette"
ABOUT = (
    (
        ".json",
        rb'\s*\[\s*\{[^{]*"image_id"',
        "results of COCO (predictions): import the annotation file that names the images",
    ),
    (".xml", rb".*<bndbox>", "of boxes, which are no masks: `seediff mask` makes masks of photographs"),
    (".txt", rb"\s*\d+(\s+[-+.\de]+){4,}\s*(\n|$)", ROWS),
    (".png", rb".{25}[\x00\x03]", GREY),
    (".png", rb".{25}", "in colour"),
)
"""Suffix, how files begin, and words about such files."""


class Unread(UserError):
    """The error for a set that cannot be read as it is. refusal.py adds what is there."""


def files_in(folder: Path) -> list[Path]:
    """The files below a folder, sorted, but class lists last. Where a folder cannot be read, those before it count."""
    files = list[Path]()
    with suppress(UserError, OSError):
        for file in islice(walk(folder), MOST_FILES):
            files.append(file)
    return sorted(files, key=lambda file: (file.name in LISTS, str(file)))


def rows_of(files: Sequence[Path], depth: int) -> dict[tuple[Path, str], list[Path]]:
    """Folder and suffix → files. depth: from this level on, below the folder that holds all files, folders count as
    one."""
    rows = defaultdict[tuple[Path, str], list[Path]](list)
    folders = {file.parent for file in files}
    top = len(Path(os.path.commonpath(folders or ["/"])).parts)
    places = {folder: Path(*folder.parts[: top + depth]) for folder in folders}
    for file in files:
        rows[places[file.parent], file.suffix.lower()].append(file)
    return rows


def list_files(files: Sequence[Path]) -> list[str]:
    """A line for each folder and suffix, most files first."""
    rows = sorted(rows_of(files, 2).items(), key=lambda row: -len(row[1]))
    lines = list[str]()
    for (place, suffix), held in rows[:MOST_LINES]:
        line = str(held[0])
        if len(held) > 1:
            line = f"{place}/: {len(held)} {suffix or 'files'} such as {held[0].relative_to(place)}"
        lines.append(", ".join(filter(None, [line, about(held[0])])))
    more = sum(len(held) for _, held in rows[MOST_LINES:])
    if more:
        lines.append(f"… and {more} more files")
    return lines


def about(file: Path) -> str:
    """What a file is, by its name and its beginning; "" for what the suffix says."""
    if file.name.lower().endswith(ARCHIVES):
        return "to be unpacked first"
    suffix = file.suffix.lower()
    if looks_like_image(file.name) and suffix not in IMAGE_SUFFIXES:
        return "but only PNG and JPEG are read: save them as PNG"
    data = b""
    with suppress(OSError), open(file, "rb") as opened:
        data = opened.read(4096)
    kinds = (words for kind, begins, words in ABOUT if kind == suffix and re.match(begins, data, re.DOTALL))
    return next(kinds, "")


def where_named(folder: Path, names: Set[str]) -> str:
    """Where the files of some names are, if there are more than names: a line for each kind; otherwise "". names:
    without folder and suffix."""
    found = [file for file in files_in(folder) if file.stem in names]
    if len(found) <= len(names):
        return ""
    return "; ".join(list_files(found))
