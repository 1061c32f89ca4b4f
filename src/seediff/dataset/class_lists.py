"""Reads class lists: files that say what the values, colours and labels of a set mean.

A list of names is `classes.txt`, `class_names.txt` or labelme's `labels.txt`. A list of colours is CVAT's
`labelmap.txt` (`name:r,g,b::`), `class_dict.csv` (`name,r,g,b`) or CamVid's `label_colors.txt` (`r g b name`). The
first list that is found counts, and lists of colours are looked for first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..config.class_names import BACKGROUND, RESERVED, parse_class_list, reserved_id
from ..errors import UserError
from ..files.label_maps import IGNORE, voc_palette
from ..files.messages import show_json
from ..files.reading import composed, read_lines
from ..rows.shown import ids_by_name
from .names import check_class_list
from .reading import ClassReading, PartCounts, Reading, first_of, reading_ids, shorten

COLOUR_LISTS = ("labelmap.txt", "class_dict.csv", "label_colors.txt")
NAME_LISTS = ("classes.txt", "class_names.txt", "labels.txt")
COLOUR_LINE = re.compile(r"([^,:]+)[,:]\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\b.*|(\d+)\s+(\d+)\s+(\d+)\s+(.+)")
"""A line of a list of colours: the name first, or last."""
WEIGHTS = np.array([65536, 256, 1], np.uint32)
"""`colour @ WEIGHTS` is the number of a colour (r, g, b): 65536 · r + 256 · g + b."""
Note = Callable[[str], None]
"""A function that is called with a line for the user."""


def no_note(line: str) -> None:
    """Ignores the line."""


@dataclass(frozen=True)
class ClassList:
    """What the values in masks mean."""

    classes: tuple[str, ...]
    """The names of ids 1, 2, …"""
    ids: Mapping[int, int]
    """Value in a mask → id in label maps."""
    colours: Mapping[int, int] | None = None
    """Number of a colour → id; None for a list of names alone."""
    where: object = "--classes"
    """The list's name in errors."""
    single: bool = False
    """Whether grey masks with the values 0 and 255 alone show the list's only class as 255. In other masks, 255 is
    ignored."""
    sources: Mapping[int, str] = field(default_factory=dict)
    """Id → where its name comes from; for other classes, this is `where`."""

    @property
    def values(self) -> Mapping[int, int]:
        """`ids`, with 255, which is ignored if the list does not name it."""
        return {IGNORE: IGNORE, **self.ids}

    @cached_property
    def colour_ids(self) -> Mapping[int, int]:
        """Number of a colour → id. A list of names alone has the colours of VOC's palette: its colour i means the value
        i."""
        if self.colours is not None:
            return self.colours
        return {colour: self.values[number] for colour, number in _voc_colours(254).items() if number in self.values}

    def reading(self, parts: PartCounts, path: Path) -> Reading:
        """How the list understands a set, without counts. parts: the pictures of its parts. path: for `shorten`."""
        values: list[tuple[Any, int]] = [(f"#{colour:06x}", i) for colour, i in (self.colours or {}).items()]
        rows: list[ClassReading] = []
        for name, class_id in reading_ids(self.classes).items():
            source = self.sources.get(class_id, str(self.where) * (0 < class_id < IGNORE))
            codes = [str(value) for value, i in values or self.ids.items() if i == class_id]
            rows.append(ClassReading(first_of(codes), name, shorten(source, path)))
        became: dict[Path, list[str]] = {}
        for (part, folder), count in parts.items():
            named = f"→ {part} ({count})" if part else f"({count})"
            became.setdefault(folder, []).append(named)
        return Reading(rows, parts=[shorten(f"{folder} {', '.join(named)}", path) for folder, named in became.items()])


def number_classes(
    names: Mapping[int, str],
    where: object,
    *,
    void: Collection[int] | None = None,
    classes: Sequence[str] | None = None,
    note: Note = no_note,
) -> ClassList:
    """The class list for numbers with names. Classes get the ids 1, 2, … in the order of their numbers. A name of the
    background gets id 0, and a name such as `ignore` gets 255.

    names: number in the files → name. where: the list's name in errors. void: only for these numbers may a name such as
    `ignore` mean 255; None: for all. classes: the classes in the order of their ids, if the user named them. note:
    called with a line about numbers that become one class. Raises UserError.
    """
    ids: dict[int, int] = {}
    class_names: dict[int, str] = {}
    # Which numbers are reserved, and which are classes
    for number, name in sorted(names.items()):
        reserved = reserved_id(name.strip())
        if reserved == 0 or (reserved == IGNORE and (void is None or number in void)):
            ids[number] = reserved
        else:
            class_names[number] = composed(name.strip())
    chosen = tuple(map(composed, dict.fromkeys(class_names.values()) if classes is None else classes))
    check_class_list(chosen, where)
    # The ids of the classes
    class_ids = ids_by_name(chosen)
    for number, name in class_names.items():
        if name not in class_ids:
            raise UserError("classes", f"does not name {show_json(name)}, which is a class of {where}")
        ids[number] = class_ids[name]
    # Lines for the user
    for name, class_id in {BACKGROUND: 0, **class_ids}.items():
        same = [names[number] for number in sorted(names) if ids[number] == class_id]
        if len(same) > 1:
            note(f"{', '.join(map(show_json, same))} in {where} become one class: {name}")
    kept = [show_json(name) for name in chosen if reserved_id(name) == IGNORE]
    if kept:
        fix = "in label maps, pixels of this name are ignored; `seediff merge --rename` gives it another"
        note(f"{', '.join(kept)} in {where}: kept as a class; {fix}")
    return ClassList(chosen, ids, where=where)


def named_classes(classes: Sequence[str]) -> ClassList:
    """The class list for masks in which the values 1, 2, … stand for `classes` in this order, and 0 for the background.
    Raises UserError for a class whose name means the background."""
    for number, name in enumerate(classes, 1):
        if reserved_id(name) == 0:
            raise UserError("classes", f"id {number} is called {name!r}, but the background is 0", "leave it out")
    return number_classes({0: BACKGROUND, **dict(enumerate(classes, 1))}, "--classes")


def number_labels(labels: Iterable[str], where: object, note: Note) -> tuple[ClassList, dict[str, int]]:
    """(classes, ids) of the labels in a set. `classes`: the labels that are classes, in their order. `ids`: label →
    id, for each class and for every name that means 0 or 255. where, note: as for `number_classes`. Raises
    UserError."""
    listed = replace(number_classes(dict(enumerate(labels)), where, note=note), ids={})
    return listed, {**RESERVED, **ids_by_name(listed.classes)}


def check_ids(classes: Sequence[str], listed: Mapping[int, str], where: object) -> None:
    """Raise UserError if a list of the set gives one of the classes another id than the user. classes: as the user
    named them, from id 1 on. listed: id → class in the set's list. where: the list."""
    given = ids_by_name(classes)
    for number, name in listed.items():
        if given.get(name, number) != number:
            problem = f"'{name}' would be id {given[name]}, and {where} says {number}"
            raise UserError("classes", problem, "leave it out; `seediff merge --rename` gives classes other names")


def find_list(
    *folders: Path, classes: Sequence[str] | None = None, any_name: bool = False, note: Note = no_note
) -> ClassList | None:
    """The first class list in these folders; None if they hold no list.

    classes: the classes in the order of their ids, if the user named them; then only a list of colours counts, and
    without one the result is `named_classes`. any_name: as for `read_class_list`. note: as for `number_classes`. Raises
    UserError, also if a list of names gives one of `classes` another id.
    """
    for path in (folder / name for name in (*COLOUR_LISTS, *NAME_LISTS) for folder in dict.fromkeys(folders)):
        if not path.is_file():
            continue
        if path.name in COLOUR_LISTS:
            return _read_colours(path, classes, note)
        if classes is None:
            return _read_names(path, any_name, note)
        listed: Mapping[int, str] = {}
        with suppress(UserError):  # nothing is read from a list that cannot be read
            listed = parse_class_list(read_lines(path), path, any_name=True)
        check_ids(classes, listed, path)
    return None if classes is None else named_classes(classes)


def _read_names(path: Path, any_name: bool, note: Note) -> ClassList:
    """The class list in a file of names. any_name, note: as for `find_list`. Raises UserError."""
    names = parse_class_list(read_lines(path), path, any_name=any_name)
    if max(names, default=0) > IGNORE:
        problem = f"names id {max(names)}; ids of label maps are 0 to {IGNORE - 1}, and {IGNORE} is ignored"
        raise UserError(path, problem)
    class_list = number_classes(names, path, note=note)
    _tell_void(names, class_list, note)
    where, zero = str(path), {0: 0}
    meanings = {class_list.ids[number] for number in names if number != IGNORE and 0 not in names}
    if 0 in meanings:
        where, zero = f"{path}, whose background is not 0: name it first, or write `id name` in every line", {}
    elif IGNORE in meanings:
        note(f"{path} does not name 0, which is then the background")
    return replace(class_list, ids={**zero, **class_list.ids}, where=where)


def _tell_void(names: Mapping[int, str], listed: ClassList, note: Note) -> None:
    """Calls `note` with a line about the names whose pixels are ignored. names: value → name. listed: their class
    list."""
    void = [show_json(name) for number, name in names.items() if listed.ids[number] == IGNORE != number]
    if void:
        note(f"{', '.join(void)} in {listed.where} is no class: its pixels are ignored (255)")


def _read_colours(path: Path, classes: Sequence[str] | None, note: Note) -> ClassList:
    """The class list in a file of colours. classes, note: as for `number_classes`. Raises UserError."""
    names, colours = list[str](), list[int]()
    for number, line in enumerate(read_lines(path), 1):
        match = COLOUR_LINE.fullmatch(line.strip())
        parts = [part.strip() for part in match.groups() if part is not None] if match else ["", "256"]
        name = parts.pop(0 if match is None or match[1] else 3)
        colour = [int(part) for part in parts]
        if max(colour) <= IGNORE:
            names.append(name)
            colours.append(int(colour @ WEIGHTS))
        elif number > 1 and line.strip() and line[0] != "#":
            raise UserError(f"{path}, line {number}", "needs a name and a colour: `name:r,g,b`, or `r g b name`")
    class_list = number_classes(dict(enumerate(names)), path, classes=classes, note=note)
    _tell_void(dict(enumerate(names)), class_list, note)
    # Unless the list says otherwise, black is the background and VOC's border is ignored.
    given: dict[int, int] = {}
    for number, colour in enumerate(colours):
        if given.setdefault(colour, class_list.ids[number]) != class_list.ids[number]:
            raise UserError(path, f"gives {show_json(names[number])} the same colour as another name")
    return replace(class_list, colours={**_voc_colours(0), **given})


def _voc_colours(count: int) -> dict[int, int]:
    """Number of a colour in VOC's palette → the id that has this colour, for the ids 0 to `count` and for 255."""
    colours = (np.array(voc_palette(), np.uint32).reshape(256, 3) @ WEIGHTS).tolist()
    return {colours[number]: number for number in (*range(count + 1), IGNORE)}
