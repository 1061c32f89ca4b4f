"""What the values, colours and labels of a set mean: one reader of class lists, and one of masks by such a list.

A list is a `classes.txt`, `class_names.txt` or `labels.txt` (labelme's) of names, or defines colours: `labelmap.txt`
(`name:r,g,b::`, CVAT's), `class_dict.csv` or `labelmap.csv` (`name,r,g,b`), or Datumaro's `dataset_meta.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from ..config.names import BACKGROUND, GROUNDS, IGNORED, read_class_list
from ..errors import UserError
from ..files.documents import read_csv, read_json
from ..files.label_maps import IGNORE, voc_palette
from ..files.messages import show_json
from ..files.pictures import open_picture
from ..files.reading import read_lines
from .rows import check_class_list

COLOUR_LISTS = ("labelmap.txt", "class_dict.csv", "labelmap.csv", "dataset_meta.json")
NAME_LISTS = ("classes.txt", "class_names.txt", "labels.txt")
WEIGHTS = np.array([65536, 256, 1], np.uint32)
"""Turns a colour (r, g, b) into one number."""


@dataclass(frozen=True)
class ClassList:
    """classes: the names of ids 1, 2, … ids: stored value → id. colours: a colour's number → id, if the list defines
    colours. where: its name in errors."""

    classes: tuple[str, ...]
    ids: Mapping[int, int]
    colours: Mapping[int, int] | None = None
    where: object = "--classes"


def number_classes(
    names: Mapping[int, str],
    where: object,
    *,
    void: Callable[[int, str], bool] = lambda number, name: number in (0, IGNORE),
    classes: Sequence[str] | None = None,
) -> ClassList:
    """The classes of a list of stored number → name, in the order of the numbers: a name of the background means id 0,
    and one of no class 255 if `void(number, name)`, because a set may have a class that is called so. classes: the
    classes in the order of their ids, if the user named them. Raises UserError for names that classes cannot have."""
    meant = {number: _meaning(name) for number, name in sorted(names.items())}
    none = {n: i for n, i in meant.items() if i == 0 or (i == IGNORE and void(n, names[n]))}
    listed = [names[number] for number in meant if number not in none]
    if classes is not None and (missing := [name for name in listed if name not in classes]):
        raise UserError("classes", f"does not name {show_json(missing[0])}, which is a class of {where}")
    chosen = tuple(listed if classes is None else classes)
    check_class_list(chosen, where)
    own = {name: number for number, name in enumerate(chosen, 1)}
    return ClassList(chosen, {**none, **{n: own[names[n]] for n in meant if n not in none}}, where=where)


def _meaning(name: str) -> int | None:
    folded = name.casefold()
    return 0 if folded in GROUNDS else IGNORE if folded in IGNORED else None


def named_classes(classes: Sequence[str]) -> ClassList:
    """The list of classes whose values are their ids. Raises UserError."""
    check_class_list(classes, "--classes")
    return ClassList(tuple(classes), {number: number for number in range(len(classes) + 1)})


def number_labels(labels: Iterable[str], where: object) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes among labels, in their order, and the id of each label and of each name that means 0 or 255, in small
    letters. Raises UserError."""
    listed = number_classes(dict(enumerate(labels)), where, void=lambda number, name: True)
    return listed.classes, {
        **dict.fromkeys(GROUNDS, 0),
        **dict.fromkeys(IGNORED, IGNORE),
        **{name: number for number, name in enumerate(listed.classes, 1)},
    }


def check_meaning(classes: Sequence[str], ignored: Sequence[str] = IGNORED) -> None:
    """Raises UserError for a class that would be read back as id 0, because its name is in GROUNDS, or as 255, because
    it is in `ignored`."""
    for name in classes:
        if name.casefold() in (*GROUNDS, *ignored):
            meant = "the background" if name.casefold() in GROUNDS else "pixels that are ignored"
            raise UserError(f"class '{name}': means {meant} in this format; give it another name in classes.txt")


class Meta(msgspec.Struct, frozen=True):
    """Datumaro's list. The ids of `label_map` are positions in `segmentation_colors`."""

    label_map: dict[int, str]
    segmentation_colors: list[list[int]]


def find_list(*folders: Path, classes: Sequence[str] | None = None) -> ClassList | None:
    """The first list in these folders, one of colours before others; None if there is none. classes: as of
    `number_classes`; then only colours are looked for. Raises UserError if a list of names beside one of colours has
    other classes, or the same in another order: values would mean one thing and colours another."""
    path, plain = (
        next((folder / name for name in names for folder in folders if (folder / name).is_file()), None)
        for names in (COLOUR_LISTS, NAME_LISTS if classes is None else ())
    )
    by_name = None if plain is None else number_classes({0: BACKGROUND, **read_class_list(plain)}, plain)
    if path is None:
        return by_name
    rows: list[tuple[str, list[str], str]]
    if path.suffix == ".csv":
        rows = [
            (row["name"].strip(), [row[c].strip() for c in "rgb"], f"{path}, line {number}")
            for number, row in read_csv(path, ["name", *"rgb"])
        ]
    elif path.suffix == ".json":
        meta = read_json(path, Meta)
        colours_of = dict(enumerate(meta.segmentation_colors))
        rows = [
            (name, [str(part) for part in colours_of.get(number, [])], f"{path}: {name[:60]!r}")
            for number, name in sorted(meta.label_map.items())
        ]
    else:
        lines = [(n, line.split(":")) for n, line in enumerate(read_lines(path), 1) if line.strip() and line[0] != "#"]
        rows = [
            (name.strip(), [part.strip() for part in "".join(rest[:1]).split(",")], f"{path}, line {number}")
            for number, (name, *rest) in lines
        ]
    colours = [_colour(name, parts, where) for name, parts, where in rows]
    listed = number_classes(
        dict(enumerate(name for name, *_ in rows)), path, void=lambda number, name: True, classes=classes
    )
    if by_name is not None and by_name.classes != listed.classes:
        raise UserError(path, f"and {plain} do not list the same classes in the same order", "remove one of them")
    # Unless the list says otherwise, black is the background and VOC's border is ignored.
    known = voc_colours(0)
    for number, colour in enumerate(colours):
        if colours.index(colour) < number and known[colour] != listed.ids[number]:
            raise UserError(f"{path}: gives {show_json(rows[number][0])} a colour that another name has")
        known[colour] = listed.ids[number]
    return ClassList(listed.classes, listed.ids, known, path)


def _colour(name: str, parts: Sequence[str], where: str) -> int:
    """A colour's number."""
    if len(parts) != 3 or not all(
        part.isascii() and part.isdecimal() and len(part) < 4 and int(part) < 256 for part in parts
    ):
        given = show_json(f"{name}:{','.join(parts)}".removesuffix(":"))
        raise UserError(f"{where}: must be a name and its colour, as in dog:64,0,128::, not {given}")
    return int(np.array(parts, np.uint32) @ WEIGHTS)


def voc_colours(count: int) -> dict[int, int]:
    """A colour's number in VOC's palette → id, for ids 0 to `count` and 255."""
    colours = (np.array(voc_palette(), np.uint32).reshape(256, 3) @ WEIGHTS).tolist()
    return {colours[number]: number for number in (*range(count + 1), IGNORE)}


def _tells_colours(entries: Sequence[int], used: Sequence[int], colours: Mapping[int, int]) -> bool:
    """Whether a palette's colours say what its indices mean. Padding, a repeated colour or none says nothing."""
    return used[-1] < len(entries) and all(
        entries[index] in colours and entries.index(entries[index]) == index for index in used
    )


def read_mask(path: Path, listed: ClassList) -> np.ndarray:
    """(H, W) uint8 of ids. Grey values and the indices of a palette are values of the list, and 255 is ignored. Colours
    decide in pictures in colours, in palettes if the list defines colours, and in palettes where each index in use has
    a colour of VOC's, for a class of the list, that no earlier index has. Raises UserError naming the file, and a value
    or colour that is no class."""
    colours = listed.colours or voc_colours(len(listed.classes))
    known = {IGNORE: IGNORE, **listed.ids}
    with open_picture(path) as picture:
        kind, mode = picture.format, picture.mode
        palette = np.frombuffer(bytes(picture.palette.palette if mode == "P" and picture.palette else b""), np.uint8)
        pixels = np.asarray(picture.convert("RGB") if mode in ("RGB", "RGBA") else picture)
    single = mode == "1" and len(listed.classes) == 1 and listed.colours is None
    if kind != "PNG" or not (single or mode in ("P", "L", "RGB", "RGBA")):
        one_bit = "; one of 1 bit can only mean a single class" if mode == "1" else ""
        raise UserError(
            f"{path}: is {kind} {mode} inside; a mask is an 8-bit PNG: palette, grey or in colours{one_bit}"
        )
    values, places = np.arange(256, dtype=np.uint32), pixels.astype(np.uint8) if single else pixels
    entries = (palette[: len(palette) // 3 * 3].reshape(-1, 3) @ WEIGHTS).tolist()
    if pixels.ndim == 3:
        values, places = np.unique(pixels @ WEIGHTS, return_inverse=True)
        places, known = places.reshape(pixels.shape[:2]), colours
    elif mode == "P" and (listed.colours or _tells_colours(entries, np.unique(pixels).tolist(), colours)):
        values, known = np.array([*entries, *[1 << 24] * (256 - len(entries))]), colours
    table = np.array([known.get(value, -1) for value in values.tolist()])
    ids = table[places]
    if (ids < 0).any():
        wrong = int(values[places[ids < 0][0]])
        what, where = f"id {wrong}", listed.where
        if known is colours:
            what = f"the colour {','.join(str(wrong >> shift & 255) for shift in (16, 8, 0))}"
            where = (
                where if listed.colours else "VOC's palette; a labelmap.txt beside the folders says what colours are"
            )
        raise UserError(f"{path}: has {what}, which is no class of {where}")
    return ids.astype(np.uint8)
