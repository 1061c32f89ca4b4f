"""The door of all formats: `format_of` recognises the format of a set, and `refusal` answers for a set that cannot be
read as it is: what its folder holds, and which command reads it.

A command is printed if it was tried, and if no other reads the set, too. It names the folders, so that the user sees
what is guessed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

from ...config.class_names import MAX_CLASSES
from ...errors import BELOW, UserError
from ...files.reading import check_unpacked
from ..native import METADATA, check_single, part_folders
from .format_table import FORMATS, READ, SetFormat, codec, recognise
from .set_files import IMAGE_SUFFIXES, SetFiles
from .source import read_set
from .what_is_there import GREY, MOST_LINES, ROWS, about, files_in, list_files, rows_of

MOST_TRIED = 2000
"""Maximum number of files among which commands are tried: a refusal is quick."""
MOST_PAIRS = 6
"""Maximum number of pairs of folders among which the only one that fits is searched for."""
READERS: Mapping[str, tuple[Any, str]] = {ROWS: ("yolo", "labels"), GREY: ("masks", "masks")}
"""What label files are → the format that pairs them with pictures, and its option for their folder."""
ANY_CLASSES = [f"class-{number}" for number in range(1, MAX_CLASSES + 1)]
"""Names of classes for trying a command, which is printed with `--classes NAME,NAME`."""
TRIALS: Mapping[str, Mapping[str, Any]] = {
    "": {},
    " --skip-missing": {"skip_missing": True},
    " --classes NAME,NAME": {"classes": ANY_CLASSES},
    " --classes NAME,NAME --skip-missing": {"classes": ANY_CLASSES, "skip_missing": True},
}
"""What a command ends with → the options for trying it, in this order."""
PAIRED = (
    "`seediff import` pairs images and labels of the same names: --from yolo --images FOLDER --labels FOLDER for .txt, "
    "--from masks --images FOLDER --masks FOLDER for .png"
)
OTHERS = "labels of another kind are read after an export as COCO or YOLO, or as PNG masks of ids of classes"
UNLABELLED = "to paint masks of images without labels: `seediff import {} --classes dog,cat --unlabelled --out dataset`"


def format_of(path: Path, labels_alone: bool = False) -> SetFormat:
    """The format of a set; "native" for what SeeDiff wrote. labels_alone: label maps are to be compared, so those of a
    public set count more than JSON files beside them, and a folder of PNG files that is of no other format is of the
    format `masks`. Raises UserError if no format fits."""
    if not path.exists():
        raise UserError(path, "no such folder or file")
    if any((folder / METADATA).is_file() for folder in part_folders(path)):
        return "native"
    if labels_alone and codec("masks").find_published(path):
        return "masks"
    check_unpacked(path)
    if path.is_dir():
        check_single(path)
    for name in recognise(path):
        return name
    if labels_alone and any(path.rglob("*.[pP][nN][gG]")):
        return "masks"
    problem = "is not a dataset; name its folder, or a .json, .xml or .yaml file"
    if path.is_dir():
        looked_for = ", ".join(FORMATS[name].looked_for for name in READ)
        problem = f"is no dataset: it has no {METADATA} (native), {looked_for}"
    raise refusal(UserError(path, problem), path)


def refusal(error: UserError, path: Path, name: str | None = None) -> UserError:
    """The error, with lines about what is there and about the command that would read it. path: the set. name: the
    format that refused it; None: it is of no known format."""
    root = SetFiles(path).folder
    files = files_in(root)
    lines = [*(list_files(files) or [f"{root} holds no file"]), *_commands(path, files, name)]
    return UserError(error.subject, BELOW.join([error.reason, *lines]))


def _commands(path: Path, files: Sequence[Path], name: str | None) -> list[str]:
    """The line about the command that reads what is there, if exactly one does: as a set of a known format, which may
    be in a folder, or else as pairs of images and labels in two folders. The rest is as for `refusal`."""
    own = sorted(str(file.parent) for file in files if file.name == METADATA)
    if own:
        return [f"give {' or '.join(own[:MOST_LINES])}"]
    if len(files) <= MOST_TRIED:
        for read in (_sets_below(path, files, name), *(_pairs(path, rows_of(files, depth)) for depth in (1, 2, 3))):
            tried = [*filter(None, read)]
            if len(tried) == 1:
                return [f"this reads it: `{tried[0]}`"]
    return [*_ways(rows_of(files, 2))] if name is None and path.is_dir() else []


def _sets_below(path: Path, files: Sequence[Path], name: str | None) -> Iterator[str]:
    """The commands that read sets in a folder, or the folder itself as another format than `name`; "" for others."""
    found = list[Path]()
    for place in sorted({place for file in files for place in file.parents if place.is_relative_to(path)}):
        with suppress(UserError, OSError):
            known = next(recognise(place), None)
            if known not in (None, name) and not any(place.is_relative_to(one) for one in found):
                found.append(place)
                yield _try(place, known)


Rows = Mapping[tuple[Path, str], Sequence[Path]]
"""Folder and suffix → files."""


def _images_and_labels(rows: Rows) -> tuple[list[Path], dict[Path, tuple[Any, str]]]:
    """(folders of images, folder of label files → what READERS says of them)."""
    kinds = {(place, suffix): about(held[0]) for (place, suffix), held in rows.items()}
    images = [key for key in kinds if key[1] in IMAGE_SUFFIXES]
    images = [key for key in images if kinds[key] != GREY] or images
    labels = {key[0]: READERS[kind] for key, kind in kinds.items() if kind in READERS}
    return [place for place, _ in sorted(images, key=lambda key: (key[1] == ".png", -len(rows[key])))], labels


def _pairs(path: Path, rows: Rows) -> Iterator[str]:
    """The commands that read images and labels in two folders; "" for folders that are no pair."""
    images, labels = _images_and_labels(rows)
    pairs = [*product(images, labels)]
    for folder, place in pairs if len(pairs) <= MOST_PAIRS else ():
        format_, option = labels[place]
        yield _try(path, format_, **{"images": folder, option: place})


def _ways(rows: Rows) -> Iterator[str]:
    """What can be done with images and labels for which no command was found."""
    images, labels = _images_and_labels(rows)
    if images or labels:
        yield PAIRED
    if images and not labels:
        yield OTHERS
    if images:
        yield UNLABELLED.format(shlex.quote(str(images[0])))


def _try(path: Path, name: Any, **folders: Path) -> str:
    """The command that imports a set; "" if none of TRIALS reads it. name: the format. folders: options that name the
    set's folders."""
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
