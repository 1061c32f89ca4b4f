"""Which part of its set a picture belongs to: what the set's own files and folders say, or else its lists, such as
train.txt and val.txt.

A line of a list is the path of an image, perhaps of another machine, or its name; further columns are left out. It
means the image whose path ends like it, the longest end first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import UserError
from ...files.messages import Notes, show_json
from ...files.names import without_suffix
from ...files.photo_files import visible
from ...files.reading import composed
from ...rows.values import part_of
from .labelled import Labelled
from .set_files import Picture, SetFiles, ends_of, top_folder

FOLDERS = ("", "splits", "ImageSets/Segmentation")
"""Where lists of parts may be in a set."""
NUMBERS = re.compile(r"\s*([-+.\deE]+\s+){4,}[-+.\deE]+\s*")
"""A row of five or more numbers."""
BOTH = "trainval"
"""The title of VOC's list of two parts, which says only that its images belong to the set."""


class PartList(NamedTuple):
    """A list of images."""

    part: str
    """One of SPLITS; "" for a list of no part."""
    file: Path


class Mention(NamedTuple):
    """What a list says of an image."""

    part: str
    """As in `PartList`."""
    where: str
    """The list's file and line, for errors."""


def is_label_file(lines: Sequence[str]) -> bool:
    """Whether a file has YOLO's rows of numbers, and none of names."""
    rows = [line for line in lines if line.strip()]
    return bool(rows) and all(map(NUMBERS.fullmatch, rows))


def find_part_lists(files: SetFiles, root: Path, title: str | None = None) -> list[PartList]:
    """The lists in a set. root: the set's folder. title: only the list of this name, which need not be that of a part;
    None: all lists of parts."""
    found = list[PartList]()
    for path in (path for folder in FOLDERS for path in sorted(visible(root / folder, "*.txt"))):
        part = part_of(path.stem)
        wanted = path.stem == title if title else part or path.stem == BOTH
        if wanted and not is_label_file(files.lines(path)):
            found.append(PartList(part or "", path))
    return found


def read_part_lists(
    files: SetFiles, lists: Iterable[PartList], images: Sequence[str]
) -> tuple[list[Mention | None], list[str]]:
    """(mentions, unknown). `mentions`: what the lists say of each image; None for an image in no list. `unknown`: the
    lines that name no image.

    lists: of equal ones, the first counts. images: their paths. Raises UserError for a line that may mean several
    images, and for an image in the lists of two parts.
    """
    by_end = defaultdict[str, list[int]](list)
    for position, image in enumerate(images):
        for end in ends_of(image):
            for key in {composed(end), composed(without_suffix(end))}:
                by_end[key].append(position)
    mentions: list[Mention | None] = [None] * len(images)
    unknown = list[str]()
    seen = list[list[str]]()
    for part, path in lists:
        lines = [line.strip() for line in files.lines(path)]
        if lines in seen:  # many sets name one list twice, because there is no other
            continue
        seen.append(lines)
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            where = f"{path}, line {number}"
            found = next((by_end[end] for end in _ends(line) if end in by_end), [])
            if len(found) > 1:
                problem = f"{show_json(line)} may be any of {images[found[0]]}, {images[found[1]]}"
                raise UserError(where, problem, "write their folders, too")
            if not found:
                unknown.append(line)
                continue
            (position,) = found
            before = mentions[position]
            if part and before and before.part not in ("", part):
                raise UserError(where, f"{images[position]} is in another part by {before.where}", "name it once")
            if before is None or (part and not before.part):
                mentions[position] = Mention(part, where)
    return mentions, unknown


def _ends(line: str) -> Iterator[str]:
    """What a line may mean, the likeliest first: the ends of the whole line, and then those of its first column."""
    for text in dict.fromkeys((line, line.split()[0])):
        for end in ends_of(text):
            yield from (composed(end), composed(without_suffix(end)))


class Member(NamedTuple):
    """A picture whose file was found."""

    said: Labelled[Any]
    picture: Picture
    mention: Mention | None
    """What a list of a part says."""


def parts_of(members: Sequence[Member], notes: Notes) -> list[str | None]:
    """The part of each picture: what the set's own files and folders say, or else, if they mean no split, its lists.
    Raises UserError if both differ."""
    own = list[str | None]()
    for said, picture, _ in members:
        part = top_folder(picture.name) if said.part is None else said.part
        own.append(part or said.row.split)
    splits = [part_of(part or "") for part in own]
    for member, split in zip(members, splits, strict=True):
        if split and member.mention and member.mention.part not in ("", split):
            problem = f"{member.picture.path} is in the part {show_json(split)} by the set's files or folders"
            raise UserError(member.mention.where, problem, "remove the list, or correct it")
    mentions = [member.mention for member in members]
    if any(splits) or not any(mentions):
        return own
    others = [member.picture.name for member in members if member.mention is None]
    notes.count(len(others), f"of {len(members)} images in no list of a part: without a split", others)
    return [mention.part if mention else "" for mention in mentions]
