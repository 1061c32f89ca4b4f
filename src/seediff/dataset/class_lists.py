"""Says what the values in other programs' masks mean: `find_class_list` reads a set's class lists. LISTS is the table
of all lists. A set may have several of them, and the user may name its classes, too: they must agree (`check_agree`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from unicodedata import category

import msgspec
import numpy as np

from ..config.class_names import BACKGROUND, MAX_CLASSES, RESERVED, numbered_names, parse_class_list, reserved_id
from ..errors import UserError
from ..files.label_maps import IGNORE, voc_palette
from ..files.messages import Note, first_of, no_note, show_json
from ..files.reading import composed, fit, is_there, parse_json, read_bytes, read_lines, read_yaml
from ..rows.values import ids_by_name
from .reading import NO_PART, ClassReading, Reading, reading_ids

COLOUR_LINE = re.compile(r"([^,:]+)[,:]\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\b.*|(\d+)\s+(\d+)\s+(\d+)\s+(.+)")
"""A line of a list of colours: the name first, or last."""
COLOUR_FORM = "a name and a colour: `name:r,g,b`, or `r g b name`"
COLOUR = 1 << 24
"""What is added to the number of a colour where it stands beside ids."""
WEIGHTS = np.array([65536, 256, 1], np.uint32)
"""`colour @ WEIGHTS` is the number of a colour (r, g, b): 65536 · r + 256 · g + b."""


def check_class_list(classes: Sequence[str], where: object = "classes") -> None:
    """Raises UserError unless names can be the lines of classes.txt below the background. classes: the names. where:
    the list's name in errors. (`class_names.check_classes` is stricter, for classes that a user invents.)"""
    problem = ""
    if isinstance(classes, str):
        problem = f"must be a list of names, like [{classes!r}]"
    elif len(classes) > MAX_CLASSES:
        problem = f"{len(classes)} classes; label maps hold at most {MAX_CLASSES}"
    elif len({*map(composed, classes)}) < len(classes):
        problem = f"class '{Counter(map(composed, classes)).most_common(1)[0][0]}' appears twice"
    if problem:
        raise UserError(where, problem)
    for name in classes:
        # XML and YAML cannot hold control characters, and terminals obey some
        odd = any(category(letter) in ("Cc", "Cs", "Zl", "Zp") or letter in "\ufffe\uffff" for letter in name)
        if odd or not name or name != name.strip() or name == BACKGROUND:
            problem = (
                f"class name {name!r}: must be one printable line, without spaces around it, and not '{BACKGROUND}'"
            )
            raise UserError(where, problem)


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
    named: Mapping[int, str] = field(default_factory=dict)
    """Value in a mask → name, as the list says; for a list of colours: id → name."""

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
        return {colour: self.values[number] for colour, number in voc_colours(254).items() if number in self.values}

    def reading(self, parts: Mapping[str | None, int]) -> Reading:
        """How the list understands a set, without counts. parts: part → number of its pictures."""
        values: list[tuple[Any, int]] = [(f"#{colour:06x}", i) for colour, i in (self.colours or {}).items()]
        rows: list[ClassReading] = []
        for name, class_id in reading_ids(self.classes).items():
            codes = [str(value) for value, i in values or self.ids.items() if i == class_id]
            rows.append(ClassReading(first_of(codes), name))
        return Reading(str(self.where), rows, parts={part or NO_PART: count for part, count in parts.items()})


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
    for line in numbered_names(chosen):
        note(line)
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
    named = dict(enumerate((BACKGROUND, *classes)))
    return replace(number_classes(named, "--classes"), named=named)


def number_labels(labels: Iterable[str], where: object, note: Note) -> tuple[ClassList, dict[str, int]]:
    """(classes, ids) of the labels in a set. `classes`: the labels that are classes, in their order. `ids`: label →
    id, for each class and for every name that means 0 or 255. where, note: as for `number_classes`. Raises
    UserError."""
    listed = replace(number_classes(dict(enumerate(labels)), where, note=note), ids={})
    return listed, {**RESERVED, **ids_by_name(listed.classes)}


# The class lists of a set.

DATA = "data.yaml"
"""The file that describes a set of Ultralytics: its folders, and the names of ids from 0 on."""
Names = dict[int, str]
"""Id, or COLOUR + the number of a colour → name."""


class Category(msgspec.Struct, frozen=True):
    """A category in COCO's and Label Studio's files."""

    id: int
    name: str
    supercategory: Any = None


class StudioNotes(msgspec.Struct, frozen=True):
    """Label Studio's notes.json."""

    categories: list[Category]


def described(folder: Path) -> Path | None:
    """The data.yaml in a folder, if it describes masks. None if it describes YOLO's polygons, or is missing."""
    masks = (folder / "masks").is_dir() and (folder / "images").is_dir() and not (folder / "labels").is_dir()
    return folder / DATA if masks and (folder / DATA).is_file() else None


# What a file says. first, any_name: as for `read_class_lists`.


def _colours_in(path: Path, first: int, any_name: bool) -> Names:
    names: Names = {}
    for number, line in enumerate(read_lines(path), 1):
        found = _read_colour(line)
        if found is not None:
            name, colour = found
            if not same_meaning(names.setdefault(COLOUR + colour, name), name):
                raise UserError(path, f"gives {show_json(name)} the same colour as another name")
        elif number > 1 and line.strip() and line[0] != "#":
            raise UserError(f"{path}, line {number}", f"needs {COLOUR_FORM}")
    if not names:
        raise UserError(path, f"has no line with {COLOUR_FORM}")
    return names


def _lines_in(path: Path, first: int, any_name: bool) -> Names:
    return parse_class_list(read_lines(path), path, first, any_name=any_name)


def _darknet_in(path: Path, first: int, any_name: bool) -> Names:
    for key, _, value in (line.partition("=") for line in read_lines(path)):
        file = path.with_name(PurePosixPath(value.strip()).name)
        if key.strip() == "names" and file.is_file():
            return _lines_in(file, first, any_name)
    return {}


def _ids_in(path: Path, first: int, any_name: bool) -> Names:
    return parse_json(read_bytes(path), Names, str(path), strict=False)


def _notes_in(path: Path, first: int, any_name: bool) -> Names:
    with suppress(UserError):  # other programs have files of this name
        return {one.id: one.name for one in parse_json(read_bytes(path), StudioNotes, str(path)).categories}
    return {}


def _yaml_in(path: Path, first: int, any_name: bool) -> Names:
    return yaml_names(read_yaml(path), path)


LISTS: Mapping[str, Callable[[Path, int, bool], Names]] = {
    "labelmap.txt": _colours_in,
    "class_dict.csv": _colours_in,
    "label_colors.txt": _colours_in,
    "classes.txt": _lines_in,
    "class_names.txt": _lines_in,
    "labels.txt": _lines_in,
    "obj.names": _lines_in,
    "obj.data": _darknet_in,
    "notes.json": _notes_in,
    "id2label.json": _ids_in,
    DATA: _yaml_in,
}
"""File → how its names are read, the list that counts most first. Lists of colours are CVAT's `labelmap.txt`
(`name:r,g,b::`), `class_dict.csv` (`name,r,g,b`) and CamVid's `label_colors.txt` (`r g b name`). labelme writes
`labels.txt`, darknet `obj.names`, or the file that `obj.data` names, Label Studio `notes.json`, and transformers
`id2label.json`."""


def class_list_files(*folders: Path) -> list[Path]:
    """The class lists in these folders, the one that counts most first. A data.yaml is a list if it describes masks."""
    paths = [folder / name for name in LISTS for folder in dict.fromkeys(folders)]
    return [path for path in paths if is_there(path) and (path.name != DATA or described(path.parent))]


def read_class_lists(paths: Iterable[Path], first: int = 1, any_name: bool = False) -> dict[Path, Names]:
    """File → what it says, for the class lists that name anything. paths: from `class_list_files`. first: the id of the
    first line. any_name: as for `read_class_list`. Raises UserError."""
    said = {path: LISTS[path.name](path, first, any_name) for path in paths}
    return {path: names for path, names in said.items() if names}


def yaml_names(content: Mapping[str, Any], file: Path) -> Names:
    """Class number → name, in rising order, of a YAML file for Ultralytics. content: its keys and values. Raises
    UserError."""
    given = content.get("names")
    if not given:
        raise UserError(file, f"'names' must list the classes, not {show_json(given)}")
    given = dict(enumerate(given)) if isinstance(given, list) else given
    names = fit(given, dict[Annotated[int, msgspec.Meta(ge=0)], str], f"{file}: 'names'", strict=False)
    count = fit(content.get("nc") or len(names), int, f"{file}: 'nc'", strict=False)
    if count not in (len(names), max(names) + 1):
        raise UserError(file, f"its 'nc' says {count} classes, and 'names' lists {len(names)}", "correct the wrong one")
    return dict(sorted(names.items()))


def check_agree(lists: Iterable[tuple[object, Mapping[int, str]]]) -> None:
    """Raises UserError if two lists give a number names of different meanings. lists: (where, number → name) of each:
    its name in errors, and what it says."""
    said: dict[int, tuple[object, str]] = {}
    for other, names in lists:
        for number, name in names.items():
            where, before = said.setdefault(number, (other, name))
            if not same_meaning(before, name):
                what = f"#{number - COLOUR:06x}" if number >= COLOUR else str(number)
                problem = f"says that {what} is {show_json(before)}, and {other} that it is {show_json(name)}"
                fix = "remove the wrong one; if each is right for its own folder, import the folders one by one"
                raise UserError(where, problem, fix)


def same_meaning(one: str, other: str) -> bool:
    """Whether two names mean one class, or both the background, or both ignored pixels."""
    reserved = reserved_id(one)
    return one.casefold() == other.casefold() or (reserved is not None and reserved == reserved_id(other))


def find_class_list(
    *folders: Path, classes: Sequence[str] | None = None, any_name: bool = False, note: Note = no_note
) -> ClassList | None:
    """The class list that counts in these folders: a list of colours, `classes`, or the first list of names. None
    without any. The others must agree with it.

    classes: the classes in the order of their ids, if the user named them. any_name: as for `read_class_list`. note: as
    for `number_classes`. Raises UserError.
    """
    lists = read_class_lists(class_list_files(*folders), any_name=any_name or classes is not None)
    path, names = next(iter(lists.items()), (None, {}))
    if path is not None and LISTS[path.name] is _colours_in:
        class_list = _of_colours(path, names, classes, note)
        # The masks have colours: of lists of names, the order of the classes counts.
        for file in [file for file in lists if LISTS[file.name] is not _colours_in]:
            lists[file] = dict(enumerate(number_classes(lists[file], file).classes, 1))
    elif classes is not None:
        class_list = named_classes(classes)
    elif path is not None:
        class_list = _of_names(path, names, note)
    else:
        return None
    where = class_list.where if classes is None else "classes"
    check_agree([(where, class_list.named), *lists.items()])
    return class_list


def _of_names(path: Path, names: Names, note: Note) -> ClassList:
    """The class list of a list of names. path: its file. note: as for `find_class_list`. Raises UserError."""
    if max(names, default=0) > IGNORE:
        problem = f"names id {max(names)}; ids of label maps are 0 to {IGNORE - 1}, and {IGNORE} is ignored"
        raise UserError(path, problem)
    class_list = number_classes(names, path, void=() if path.name == DATA else None, note=note)
    _note_void(names, class_list, note)
    where = str(path)
    zero = {0: 0}
    reserved = [names[number] for number, id_ in class_list.ids.items() if id_ in (0, IGNORE) and number != IGNORE]
    if reserved and 0 not in names:
        where = f"{path}, where {show_json(reserved[0])} is not 0: name it first, or write `id name` in every line"
        zero = {}
    return replace(class_list, ids={**zero, **class_list.ids}, where=where, named=names)


def _note_void(names: Names, class_list: ClassList, note: Note) -> None:
    """Calls `note` with a line about the names whose pixels are ignored. names: value → name."""
    void = [show_json(name) for number, name in names.items() if class_list.ids[number] == IGNORE != number]
    if void:
        note(f"{', '.join(void)} in {class_list.where} is no class: its pixels are ignored (255)")


def _read_colour(line: str) -> tuple[str, int] | None:
    """The name and the number of the colour in a line; None for a line without both."""
    match = COLOUR_LINE.fullmatch(line.strip())
    if match is None:
        return None
    if match[1] is not None:
        name, *colour = match.group(1, 2, 3, 4)
    else:
        *colour, name = match.group(5, 6, 7, 8)
    values = np.array([int(value) for value in colour])
    return (composed(name.strip()), int(values @ WEIGHTS)) if values.max() <= IGNORE else None


def _of_colours(path: Path, names: Names, classes: Sequence[str] | None, note: Note) -> ClassList:
    """The class list of a list of colours. path: its file. classes, note: as for `find_class_list`. Raises
    UserError."""
    numbered = dict(enumerate(names.values()))
    class_list = number_classes(numbered, path, classes=classes, note=note)
    _note_void(numbered, class_list, note)
    given = {key - COLOUR: class_list.ids[i] for i, key in enumerate(names)}
    # Unless the list says otherwise, black is the background and VOC's border is ignored.
    colours = {**voc_colours(0), **given}
    return replace(class_list, colours=colours, named=dict(enumerate(class_list.classes, 1)))


def voc_colours(count: int) -> dict[int, int]:
    """Number of a colour in VOC's palette → the id that has this colour, for the ids 0 to `count` and for 255."""
    colours = (np.array(voc_palette(), np.uint32).reshape(256, 3) @ WEIGHTS).tolist()
    return {colours[number]: number for number in (*range(count + 1), IGNORE)}
