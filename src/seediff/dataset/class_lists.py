"""Says what the values in other programs' masks mean: `find_list` reads a class list, and `read_mask` gives ids to a
mask's values by it.

A list of names is `classes.txt`, `class_names.txt` or labelme's `labels.txt`. A list of colours is CVAT's
`labelmap.txt` (`name:r,g,b::`), `class_dict.csv` (`name,r,g,b`) or CamVid's `label_colors.txt` (`r g b name`). The
first list counts, lists of colours before lists of names; the others must agree with it.

What counts in a mask:

    a grey PNG, also with three equal channels    its greys are ids
    a palette PNG                                 its indices are ids
    a PNG in colours                              its colours mean what a list of colours says, or VOC's palette
    any PNG beside a list of colours              its colours count, also those of palettes and greys

Pixels of the value 255 are ignored, and in PNG files of 16 bits those of 65535.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from unicodedata import category

import numpy as np

from ..config.class_names import BACKGROUND, MAX_CLASSES, RESERVED, numbered_names, parse_class_list, reserved_id
from ..errors import UserError
from ..files.image_files import open_image, stored_pixels
from ..files.label_maps import IGNORE, voc_palette
from ..files.messages import show_json
from ..files.reading import composed, parse_json, read_bytes, read_lines
from ..rows.values import ids_by_name
from .reading import NO_PART, ClassReading, Reading, first_of, reading_ids

COLOUR_LISTS = ("labelmap.txt", "class_dict.csv", "label_colors.txt")
NAME_LISTS = ("classes.txt", "class_names.txt", "labels.txt")
ID_LABELS = "id2label.json"
"""transformers' list of ids and names, which only has to agree with the others."""
COLOUR_LINE = re.compile(r"([^,:]+)[,:]\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\b.*|(\d+)\s+(\d+)\s+(\d+)\s+(.+)")
"""A line of a list of colours: the name first, or last."""
WEIGHTS = np.array([65536, 256, 1], np.uint32)
"""`colour @ WEIGHTS` is the number of a colour (r, g, b): 65536 · r + 256 · g + b."""
GREY = 0x010101
"""The number of the colour (1, 1, 1)."""
Note = Callable[[str], None]
"""A function that is called with a line for the user."""


def no_note(line: str) -> None:
    """Ignores the line."""


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
    """Value or number of a colour → the name that the list gives to it."""

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
    """The first class list in these folders; None if they hold no list. Lists of colours go before lists of names.

    classes: the classes in the order of their ids, if the user named them; then only a list of colours counts, and
    without one the result is `named_classes`. any_name: as for `read_class_list`. note: as for `number_classes`; lists
    after the first add no lines. Raises UserError, also if another list contradicts the first one, or if a list of
    names gives one of `classes` another id.
    """
    first: ClassList | None = None
    for path in (folder / name for name in (*COLOUR_LISTS, *NAME_LISTS) for folder in dict.fromkeys(folders)):
        if not path.is_file():
            continue
        if path.name in NAME_LISTS and classes is not None:
            listed: Mapping[int, str] = {}
            with suppress(UserError):  # nothing is read from a list that cannot be read
                listed = parse_class_list(read_lines(path), path, any_name=True)
            check_ids(classes, listed, path)
            continue
        one = _read_names(path, any_name, note) if path.name in NAME_LISTS else _read_colours(path, classes, note)
        note = no_note
        if first is None:
            first = one
        elif (first.colours is None) == (one.colours is None):
            check_agree(first.named, first.where, one.named, one.where)
        else:
            check_agree(dict(enumerate(first.classes, 1)), first.where, dict(enumerate(one.classes, 1)), one.where)
    if first is None and classes is not None:
        return named_classes(classes)
    if first is not None and first.colours is None:
        for path in filter(Path.is_file, (folder / ID_LABELS for folder in dict.fromkeys(folders))):
            check_agree(
                first.named, first.where, parse_json(read_bytes(path), dict[int, str], str(path), strict=False), path
            )
    return first


def check_agree(names: Mapping[int, str], where: object, others: Mapping[int, str], other: object) -> None:
    """Raise UserError if two lists of a set give one number two names that do not mean the same. names: number → name
    in the list that counts. where: that list. others, other: the same of the other list."""
    for number, name in others.items():
        own = names.get(number, name)
        if own.casefold() != name.casefold() and (reserved_id(own) is None or reserved_id(own) != reserved_id(name)):
            what = f"#{number:06x}" if number > IGNORE else str(number)
            problem = f"and {other} differ: {what} is {show_json(own)}, or {show_json(name)}"
            fix = "remove the wrong list; if each is right for its own folder, import the folders one by one"
            raise UserError(where, problem, fix)


def _read_names(path: Path, any_name: bool, note: Note) -> ClassList:
    """The class list in a file of names. any_name, note: as for `find_list`. Raises UserError."""
    names = parse_class_list(read_lines(path), path, any_name=any_name)
    if max(names, default=0) > IGNORE:
        problem = f"names id {max(names)}; ids of label maps are 0 to {IGNORE - 1}, and {IGNORE} is ignored"
        raise UserError(path, problem)
    class_list = number_classes(names, path, note=note)
    _tell_void(names, class_list, note)
    where, zero = str(path), {0: 0}
    reserved = [names[number] for number, id_ in class_list.ids.items() if id_ in (0, IGNORE) and number != IGNORE]
    if reserved and 0 not in names:
        where = f"{path}, where {show_json(reserved[0])} is not 0: name it first, or write `id name` in every line"
        zero = {}
    return replace(class_list, ids={**zero, **class_list.ids}, where=where, named=names)


def _tell_void(names: Mapping[int, str], listed: ClassList, note: Note) -> None:
    """Calls `note` with a line about the names whose pixels are ignored. names: value → name. listed: their class
    list."""
    void = [show_json(name) for number, name in names.items() if listed.ids[number] == IGNORE != number]
    if void:
        note(f"{', '.join(void)} in {listed.where} is no class: its pixels are ignored (255)")


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
    return (name.strip(), int(values @ WEIGHTS)) if values.max() <= IGNORE else None


def _read_colours(path: Path, classes: Sequence[str] | None, note: Note) -> ClassList:
    """The class list in a file of colours. classes, note: as for `number_classes`. Raises UserError."""
    names, colours = list[str](), list[int]()
    for number, line in enumerate(read_lines(path), 1):
        found = _read_colour(line)
        if found is not None:
            names.append(found[0])
            colours.append(found[1])
        elif number > 1 and line.strip() and line[0] != "#":
            raise UserError(f"{path}, line {number}", "needs a name and a colour: `name:r,g,b`, or `r g b name`")
    class_list = number_classes(dict(enumerate(names)), path, classes=classes, note=note)
    _tell_void(dict(enumerate(names)), class_list, note)
    # Unless the list says otherwise, black is the background and VOC's border is ignored.
    given: dict[int, int] = {}
    for number, colour in enumerate(colours):
        if given.setdefault(colour, class_list.ids[number]) != class_list.ids[number]:
            raise UserError(path, f"gives {show_json(names[number])} the same colour as another name")
    named = dict(zip(colours, map(composed, names), strict=True))
    return replace(class_list, colours={**_voc_colours(0), **given}, named=named)


def _voc_colours(count: int) -> dict[int, int]:
    """Number of a colour in VOC's palette → the id that has this colour, for the ids 0 to `count` and for 255."""
    colours = (np.array(voc_palette(), np.uint32).reshape(256, 3) @ WEIGHTS).tolist()
    return {colours[number]: number for number in (*range(count + 1), IGNORE)}


def read_mask(path: Path, class_list: ClassList) -> np.ndarray:
    """(H, W) uint8: the ids that a class list gives to the values in a mask. path: the mask's file. Raises UserError
    for a value without an id, and for a file that is no mask."""
    values, kind = _load(path, class_list)
    if class_list.single and kind == "grey" and values.any() and not (values % IGNORE).any():
        return (values // IGNORE).astype(np.uint8)
    ids, where = (class_list.colour_ids if kind == "colour" else class_list.values), class_list.where
    present, places = np.arange(int(values.max()) + 1), values
    if kind == "colour":
        present, places = np.unique(values, return_inverse=True)
    found = np.array([ids.get(value, -1) for value in present.tolist()])[places.reshape(values.shape)]
    for value in values[found < 0][:1].tolist():
        what = f"id {value}"
        if kind == "colour":
            what = f"the colour {','.join(str(value >> shift & 255) for shift in (16, 8, 0))}"
            where = where if class_list.colours else "VOC's palette; a labelmap.txt says what colours are"
        raise UserError(path, f"has {what}, which is not a class of {where}")
    return found.astype(np.uint8)


def with_single(class_list: ClassList, note: Note) -> ClassList:
    """The class list, with `single` set if it has one class and the background. note: called with a line about it."""
    ids = class_list.ids
    if len(class_list.classes) != 1 or class_list.colours or ids.get(0) != 0 or ids.get(IGNORE) == 1:
        return class_list
    what = f"255 is '{class_list.classes[0]}'"
    note(f"in grey masks with no other values than 0 and 255, {what}; in palette masks, 255 is ignored")
    return replace(class_list, single=True)


def _load(path: Path, class_list: ClassList) -> tuple[np.ndarray, Literal["grey", "index", "colour"]]:
    """(values, kind): (H, W), the greys, indices or colours in a mask. path: the file. class_list: decides which of
    them count. Raises UserError for a picture that cannot be a mask."""
    with open_image(path) as image:
        kind, entries = image.format, bytes(image.palette.palette) if image.palette else b""  # decoding changes it
        pixels, mode = stored_pixels(image)
    if mode in ("I", "I;16"):
        pixels, mode = np.where(pixels == 65535, IGNORE, pixels), "L"
    elif mode == "1":
        pixels = pixels.astype(np.uint8)
    if kind != "PNG" or mode not in ("P", "L", "LA", "RGB", "RGBA", *["1"] * (len(class_list.classes) == 1)):
        raise UserError(path, f"is {kind} {mode} data; a mask is a PNG: palette, grey or in colours of 8 bits")
    if mode in ("LA", "RGBA"):
        if pixels[..., -1].min() < IGNORE:
            raise UserError(path, "is partly transparent, so its alpha channel may be the mask", "save it without one")
        pixels = pixels[..., 0] if mode == "LA" else pixels[..., :3]
    by_colour = class_list.colours is not None
    if mode == "P":
        palette = np.full(256, 1 << 24)  # no colour
        given = np.frombuffer(entries[: len(entries) // 3 * 3], np.uint8).reshape(-1, 3) @ WEIGHTS
        palette[: len(given)] = given
        if by_colour:
            return palette[pixels], "colour"
        _check_palette(path, np.flatnonzero(np.bincount(pixels.ravel())), palette, class_list)
        return pixels, "index"
    if pixels.ndim == 3:
        if by_colour or (pixels != pixels[..., :1]).any():
            return pixels @ WEIGHTS, "colour"
        pixels = pixels[..., 0]
    elif by_colour:
        return pixels * np.uint32(GREY), "colour"
    return pixels, "grey"


def _check_palette(path: Path, used: np.ndarray, palette: np.ndarray, class_list: ClassList) -> None:
    """Raises UserError if the colours of a palette mean other ids than its indices, as after an optimiser of PNG files
    has sorted it. used: the indices in the mask. palette: (256,), the number of each index's colour."""
    colours, values = palette[used].tolist(), class_list.values
    greys = {number * GREY: class_id for number, class_id in values.items()}
    if class_list.single:
        greys[IGNORE * GREY] = 1
    # If black is the first colour, then black and white elsewhere fill a palette up, or only show something.
    silent = (0, IGNORE * GREY) if palette[0] == 0 else ()
    for meant in (class_list.colour_ids, greys):
        pairs = zip(colours, used.tolist(), strict=True)
        others = [one for one, i in pairs if one not in silent and meant.get(one) != values.get(i, -1)]
        if others and {*colours} <= meant.keys():
            fix = "save the masks as grey PNG files of ids, or list their colours in a labelmap.txt"
            raise UserError(path, "the indices and the colours of its palette mean different ids", fix)
