"""Decides for all masks of a set at once whether the indices in their palettes count, or the palettes' colours.

An optimiser of PNG files may renumber the indices and keep the colours; other programs keep the indices and choose
colours. So a reading counts if it fits all masks of the set, and no other does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files.image_files import open_image, stored_pixels
from ..files.label_maps import IGNORE
from .class_lists import WEIGHTS, ClassList, Palettes

NO_COLOUR = 1 << 24
"""The number that stands for the colour of an index without a palette entry."""
GREY = 0x010101
"""The number of the colour (1, 1, 1)."""
FIX = "a labelmap.txt beside the masks says which class each colour is (lines `name:r,g,b::`); grey PNG files hold ids"


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
    if not files:
        return class_list
    colours, paths = np.array([*map(palette_colours, files)]), [*files.values()]
    used = colours < NO_COLOUR
    readings = _readings(colours, used, class_list)
    indices = readings["indices"]
    differ = any((used & (ids >= 0) & (ids != indices)).any() for ids in readings.values())
    if not differ and not _recoloured(colours, used & (indices >= 0)).any():
        return class_list

    used = np.array([*map(_used_indices, paths)])
    fitting = {name: ids for name, ids in _readings(colours, used, class_list).items() if (ids[used] >= 0).all()}
    name, first = next(iter(fitting.items()), ("indices", indices))
    for other in fitting.values():
        for number, index in np.argwhere(used & (other != first))[:1].tolist():
            one, two = (class_list.word(int(ids[number, index])) for ids in (first, other))
            problem = f"index {index} of its palette means {one}, and its colour {two}: either may count"
            raise UserError(paths[number][0], problem, FIX)
    for index in np.flatnonzero(_recoloured(colours, used) & (name == "indices"))[:1].tolist():
        shown = np.flatnonzero(used[:, index] & (colours[:, index] < NO_COLOUR))
        one, two = (paths[shown[place]][0] for place in np.unique(colours[shown, index], return_index=True)[1][:2])
        problem = f"index {index} of its palette has another colour than in {one}: indices or colours may count"
        raise UserError(two, problem, FIX)
    return replace(class_list, palettes=name)


def palette_colours(entries: bytes) -> np.ndarray:
    """(256,): the number of each index's colour. entries: red, green and blue of index 0, then of 1, …."""
    colours = np.full(256, NO_COLOUR)
    given = np.frombuffer(entries[: len(entries) // 3 * 3], np.uint8).reshape(-1, 3)[:256] @ WEIGHTS
    colours[: len(given)] = given
    return colours


def _used_indices(paths: Collection[Path]) -> np.ndarray:
    """(256,): whether any of these masks has a pixel of an index."""
    used = np.zeros(256, bool)
    for path in paths:
        with open_image(path) as image:
            used[np.unique(stored_pixels(image)[0])] = True
    return used


def _readings(colours: np.ndarray, used: np.ndarray, class_list: ClassList) -> dict[Palettes, np.ndarray]:
    """Reading → (K, 256), the id of each index in K palettes; −1 without an id, and for a colour that an earlier index
    has, as in the padding of palettes. colours: (K, 256). used: (K, 256), the indices that count.

    If black and white are the only greys, white is as good as any class, unless its index is 0.
    """
    greys = {number * GREY: class_id for number, class_id in class_list.values.items()}
    numbers = np.broadcast_to(np.arange(256), colours.shape)
    look_up = np.vectorize(lambda number, ids: ids.get(number, -1), otypes=[int])
    indices, by_colour = look_up(numbers, class_list.values), look_up(colours, class_list.colour_ids)
    by_grey = look_up(colours, greys)
    for row, palette in enumerate(colours):
        repeats = np.setdiff1d(np.arange(256), np.unique(palette, return_index=True)[1])
        by_colour[row, repeats] = by_grey[row, repeats] = -1
    if np.isin(colours[used & (by_grey >= 0)], (0, IGNORE * GREY)).all():
        is_object = (colours == IGNORE * GREY) & (np.arange(256) > 0)
        by_grey = np.where(is_object, indices, by_grey)
    return {"indices": indices, "colours": by_colour, "greys": by_grey}


def _recoloured(colours: np.ndarray, used: np.ndarray) -> np.ndarray:
    """(256,): whether an index has different colours in palettes (K, 256). used: (K, 256). 255 is ignored in any
    colour."""
    shown = used & (colours < NO_COLOUR)
    lowest, highest = np.where(shown, colours, NO_COLOUR).min(0), np.where(shown, colours, -1).max(0)
    return (lowest < highest) & (np.arange(256) != IGNORE)
