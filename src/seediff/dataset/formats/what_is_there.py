"""What is there: the refusal of a set that cannot be read as it is also says what its folder holds, and which command
reads it.

A command is printed if it was tried, and if no other reads the set, too. No layout is recognised here: the command
names the folders, so that the user sees what is guessed.
"""

from __future__ import annotations

import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from itertools import islice, product
from pathlib import Path
from typing import Any

from ...config.class_names import MAX_CLASSES
from ...errors import BELOW, UserError
from ...files.names import looks_like_image
from ...files.photo_files import walk
from ...files.reading import ARCHIVES
from .. import native
from ..class_lists import LISTS
from .set_files import IMAGE_SUFFIXES, SetFiles

MOST_FILES = 200_000
"""From this number of files on, no further folder is looked at."""
MOST_TRIED = 2000
"""Maximum number of files among which commands are tried: a refusal is quick."""
MOST_PAIRS = 6
"""Maximum number of pairs of folders among which the only one that fits is searched for."""
MOST_LINES = 6
"""Maximum number of lines about what is there."""
ROWS, GREY = "of YOLO's rows", "grey, or with a palette"
ABOUT = (
    (".json", rb'\s*\[\s*\{[^{]*"image_id"', "results of COCO (predictions); an annotation file names images, too"),
    (".xml", rb".*<bndbox>", "of boxes, which are no masks"),
    (".txt", rb"\s*\d+(\s+[-+.\de]+){4,}\s*(\n|$)", ROWS),
    (".png", rb".{25}[\x00\x03]", GREY),
    (".png", rb".{25}", "in colour"),
)
"""Suffix, how files begin, and words about such files."""
READERS: Mapping[str, tuple[Any, str]] = {ROWS: ("yolo", "labels"), GREY: ("masks", "masks")}
"""What label files are → the format that pairs them with pictures, and its option for their folder."""
ANY_CLASSES = [f"class-{number}" for number in range(1, MAX_CLASSES + 1)]
"""Names of classes for trying a command, which is printed with `--classes …`."""
TRIALS: Mapping[str, Mapping[str, Any]] = {
    "": {},
    " --skip-missing": {"skip_missing": True},
    " --classes …": {"classes": ANY_CLASSES},
    " --classes … --skip-missing": {"classes": ANY_CLASSES, "skip_missing": True},
}
"""What a command ends with → the options for trying it, in this order."""
HOW = (
    "`seediff import` pairs images and labels of the same names: --from yolo --images FOLDER --labels FOLDER for .txt, "
    "--from masks --images FOLDER --masks FOLDER for .png; to paint masks of images without labels: "
    "`seediff import {} --classes dog,cat --unlabelled --out dataset`"
)


class Unread(UserError):
    """The error for a set that cannot be read as it is. `refusal` adds what is there."""


def refusal(error: UserError, path: Path, name: str | None = None) -> UserError:
    """The error, with lines about what is there and about the command that would read it. path: the set. name: the
    format that refused it; None: it is of no known format."""
    root = SetFiles(path).folder
    files = files_in(root)
    lines = [*(_list_files(files) or [f"{root} holds no file"]), *_commands(path, files, name)]
    return UserError(error.subject, BELOW.join([error.reason, *lines]))


# The files.


def files_in(folder: Path) -> list[Path]:
    """The files below a folder, sorted, but class lists last. Where a folder cannot be read, those before it count."""
    files = list[Path]()
    with suppress(UserError, OSError):
        for file in islice(walk(folder), MOST_FILES):
            files.append(file)
    return sorted(files, key=lambda file: (file.name in LISTS, str(file)))


def _rows(files: Sequence[Path], depth: int) -> dict[tuple[Path, str], list[Path]]:
    """Folder and suffix → files. depth: from this level on, below the folder that holds all files, folders count as
    one."""
    rows = defaultdict[tuple[Path, str], list[Path]](list)
    folders = {file.parent for file in files}
    top = len(Path(os.path.commonpath(folders or ["/"])).parts)
    places = {folder: Path(*folder.parts[: top + depth]) for folder in folders}
    for file in files:
        rows[places[file.parent], file.suffix.lower()].append(file)
    return rows


def _list_files(files: Sequence[Path]) -> list[str]:
    """A line for each folder and suffix, most files first."""
    rows = sorted(_rows(files, 2).items(), key=lambda row: -len(row[1]))
    lines = list[str]()
    for (place, suffix), held in rows[:MOST_LINES]:
        line = str(held[0])
        if len(held) > 1:
            line = f"{place}/: {len(held)} {suffix or 'files'} such as {held[0].relative_to(place)}"
        lines.append(", ".join(filter(None, [line, _about(held[0])])))
    more = sum(len(held) for _, held in rows[MOST_LINES:])
    if more:
        lines.append(f"… and {more} more files")
    return lines


def _about(file: Path) -> str:
    """What a file is, by its name and its beginning; "" for what the suffix says."""
    if file.name.lower().endswith(ARCHIVES):
        return "to be unpacked first"
    suffix = file.suffix.lower()
    if looks_like_image(file.name) and suffix not in IMAGE_SUFFIXES:
        return "but only PNG and JPEG are read"
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
    return "; ".join(_list_files(found))


# Commands.


def _commands(path: Path, files: Sequence[Path], name: str | None) -> list[str]:
    """The line about the command that reads what is there, if exactly one does: as a set of a known format, which may
    be in a folder, or else as pairs of images and labels in two folders. The rest is as for `refusal`."""
    own = sorted(str(file.parent) for file in files if file.name == native.METADATA)
    if own:
        return [f"give {' or '.join(own[:MOST_LINES])}"]
    if len(files) <= MOST_TRIED:
        for read in (_sets_below(path, files, name), *(_pairs(path, _rows(files, depth)) for depth in (1, 2, 3))):
            tried = [*filter(None, read)]
            if len(tried) == 1:
                return [f"this reads it: `{tried[0]}`"]
    if name is None and path.is_dir():
        return [HOW.format(shlex.quote(str(path)))]
    return []


def _sets_below(path: Path, files: Sequence[Path], name: str | None) -> Iterator[str]:
    """The commands that read sets in a folder, or the folder itself as another format than `name`; "" for others."""
    from .format_table import recognise  # needs this module

    found = list[Path]()
    for place in sorted({place for file in files for place in file.parents if place.is_relative_to(path)}):
        with suppress(UserError, OSError):
            known = next(recognise(place), None)
            if known not in (None, name) and not any(place.is_relative_to(one) for one in found):
                found.append(place)
                yield _try(place, known)


def _pairs(path: Path, rows: Mapping[tuple[Path, str], Sequence[Path]]) -> Iterator[str]:
    """The commands that read images and labels in two folders; "" for folders that are no pair."""
    kinds = {(place, suffix): _about(held[0]) for (place, suffix), held in rows.items()}
    images = [key for key in kinds if key[1] in IMAGE_SUFFIXES]
    images = [key for key in images if kinds[key] != GREY] or images
    labels = [key for key in kinds if kinds[key] in READERS]
    pairs = [*product(images, labels)]
    if len(pairs) > MOST_PAIRS:
        return
    for (folder, _), key in pairs:
        format_, option = READERS[kinds[key]]
        yield _try(path, format_, **{"images": folder, option: key[0]})


def _try(path: Path, name: Any, **folders: Path) -> str:
    """The command that imports a set; "" if none of TRIALS reads it. name: the format. folders: options that name the
    set's folders."""
    from .source import read_set  # needs this module

    for end, trial in TRIALS.items():
        with suppress(Exception):  # whatever it is, the set was refused for another reason
            contents, _ = read_set(name, path, **trial, **folders)
            for sample in contents.samples[:8]:
                sample.labels(len(contents.class_list.classes))
            if contents.samples:
                words = ["seediff", "import", str(path), "--from", name]
                for option, folder in folders.items():
                    words += [f"--{option}", str(folder)]
                return f"{shlex.join(words)}{end} --out dataset"
    return ""
