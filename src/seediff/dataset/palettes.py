"""Decides for all masks of a set at once whether the indices in their palettes count, or the palettes' colours.

An optimiser of PNG files may renumber the indices and keep the colours; other programs keep the indices and choose
colours. So a reading counts if it fits all masks of the set, and no other does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from ..files.image_files import open_image, stored_pixels
from ..files.label_maps import IGNORE
from .class_lists import WEIGHTS, ClassList, Palettes

NO_COLOUR = 1 << 24
"""The number that stands for the colour of an index without a palette entry."""
GREY = 0x010101
"""The number of the colour (1, 1, 1)."""
WHITE = IGNORE * GREY
FIX = "a labelmap.txt beside the masks says which class each colour is (lines `name:r,g,b::`); grey PNG files hold ids"


class Entry(NamedTuple):
    """An index in a palette."""

    path: Path
    """A mask with the palette."""
    index: int
    colour: int
    said: int
    """The colour; NO_COLOUR if an earlier index has it, too, as in the padding of palettes."""


def with_palettes(class_list: ClassList, masks: Iterable[Path]) -> ClassList:
    """The class list, with `palettes` set to the reading that fits all masks with palettes. A list that defines colours
    is returned as it is.

    masks: the files of a set. Their headers are read; their pixels only if a palette can be read in several ways.
    Raises UserError if several readings fit and differ, or if indices count and one of them has several colours.
    """
    if class_list.colours is not None:
        return class_list
    files: dict[bytes, list[Path]] = {}
    for path in masks:
        with open_image(path) as image:
            if image.format == "PNG" and image.mode == "P" and image.palette:
                files.setdefault(bytes(image.palette.palette), []).append(path)
    palettes = [(paths, palette_colours(entries)) for entries, paths in files.items()]
    entries = list[Entry]()
    for paths, colours in palettes:
        entries += _entries(paths[0], colours, np.flatnonzero(colours < NO_COLOUR))
    readings = zip(*_readings(entries, class_list).values(), strict=True)
    agree = all({*ids} <= {ids[0], -1} for ids in readings)
    if agree and not _recoloured(entry for entry in entries if entry.index in class_list.values):
        return class_list

    entries.clear()
    for paths, colours in palettes:
        used = np.zeros(256, bool)
        for path in paths:
            with open_image(path) as image:
                used[np.unique(stored_pixels(image)[0])] = True
        entries += _entries(paths[0], colours, np.flatnonzero(used))
    fitting = {name: ids for name, ids in _readings(entries, class_list).items() if -1 not in ids}
    for entry, ids in zip(entries, zip(*fitting.values(), strict=True), strict=False):
        one, *others = map(class_list.word, dict.fromkeys(ids))
        if others:
            problem = f"index {entry.index} of its palette means {one}, and its colour {others[0]}: either may count"
            raise UserError(entry.path, problem, FIX)
    name = next(iter(fitting), "indices")
    for one, two in _recoloured(entries) * (name == "indices"):
        problem = (
            f"index {one.index} of its palette has another colour than in {two.path}: indices or colours may count"
        )
        raise UserError(one.path, problem, FIX)
    return replace(class_list, palettes=name)


def palette_colours(entries: bytes) -> np.ndarray:
    """(256,): the number of each index's colour. entries: red, green and blue of index 0, then of 1, …."""
    colours = np.full(256, NO_COLOUR)
    given = np.frombuffer(entries[: len(entries) // 3 * 3], np.uint8).reshape(-1, 3)[:256] @ WEIGHTS
    colours[: len(given)] = given
    return colours


def _entries(path: Path, colours: np.ndarray, indices: np.ndarray) -> list[Entry]:
    """The entries of a palette for these indices. path: a mask with the palette. colours: as `palette_colours` returns
    them."""
    said = np.full(256, NO_COLOUR)
    unique, first = np.unique(colours, return_index=True)
    said[first] = unique
    rows = zip(indices.tolist(), colours[indices].tolist(), said[indices].tolist(), strict=True)
    return [Entry(path, *row) for row in rows]


def _readings(entries: Sequence[Entry], class_list: ClassList) -> dict[Palettes, list[int]]:
    """Reading → the id of each entry; −1 without an id. If black and white are the only greys, white is as good as any
    class, unless its index is 0."""
    values, greys = class_list.values, {number * GREY: i for number, i in class_list.values.items()}
    indices = [values.get(entry.index, -1) for entry in entries]
    by_colour = [class_list.colour_ids.get(entry.said, -1) for entry in entries]
    by_grey = [greys.get(entry.said, -1) for entry in entries]
    if greys.keys() & {entry.said for entry in entries} <= {0, WHITE}:
        for place, entry in enumerate(entries):
            if entry.said == WHITE and entry.index:
                by_grey[place] = indices[place]
    return {"indices": indices, "colours": by_colour, "greys": by_grey}


def _recoloured(entries: Iterable[Entry]) -> list[tuple[Entry, Entry]]:
    """Entries of one index with different colours, in two palettes. 255 is ignored in any colour."""
    shown = [entry for entry in entries if entry.colour < NO_COLOUR and entry.index != IGNORE]
    firsts = {entry.index: entry for entry in reversed(shown)}
    pairs = [(firsts[entry.index], entry) for entry in shown]
    return [(one, two) for one, two in pairs if one.colour != two.colour]
