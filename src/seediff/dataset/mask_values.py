"""Gives ids to the values in other programs' masks, by a class list (class_lists.py).

What counts in a mask:

    a grey PNG, also with three equal channels    its greys are ids
    a palette PNG                                 its indices are ids
    a PNG in colours                              its colours mean what a list of colours says, or VOC's palette
    any PNG beside a list of colours              its colours count, also those of palettes and greys

Pixels of the value 255 are ignored, and in PNG files of 16 bits those of 65535.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import UserError
from ..files.image_files import open_image, read_pixels, stored_pixels
from ..files.label_maps import IGNORE
from ..files.messages import Note
from .class_lists import WEIGHTS, ClassList

DIFFER = "the indices and the colours of its palette mean different ids"
LIST_THEM = "save the masks as grey PNG files of ids, or list their colours in a labelmap.txt"
GREY = 0x010101
"""The number of the colour (1, 1, 1)."""


def read_mask(path: Path, class_list: ClassList) -> np.ndarray:
    """(H, W) uint8: the ids that a class list gives to the values in a mask. path: the mask's file. Raises UserError
    for a value without an id, and for a file that is no mask."""
    values, kind = load_values(path, class_list)
    if class_list.single and kind == "grey" and values.any() and not (values % IGNORE).any():
        return (values // IGNORE).astype(np.uint8)
    ids = class_list.values
    where = class_list.where
    present, places = np.arange(int(values.max()) + 1), values
    if kind == "colour":
        ids = class_list.colour_ids
        present, places = np.unique(values, return_inverse=True)
    found = np.array([ids.get(value, -1) for value in present.tolist()])[places.reshape(values.shape)]
    for value in values[found < 0][:1].tolist():
        what = f"id {value}"
        fix = "name a class for each id, in order (`--classes voc`: VOC's twenty); numbers of objects are read by "
        fix += "`--from masks --numbers objects --classes cell`"
        if kind == "colour":
            fix = ""
            what = f"the colour {','.join(str(value >> shift & 255) for shift in (16, 8, 0))}"
            where = where if class_list.colours else "VOC's palette; a labelmap.txt says what colours are"
        raise UserError(path, f"has {what}, which is not a class of {where}", fix)
    return found.astype(np.uint8)


def with_single(class_list: ClassList, note: Note) -> ClassList:
    """The class list, with `single` set if it has one class and the background. note: called with a line about it."""
    ids = class_list.ids
    if len(class_list.classes) != 1 or class_list.colours or ids.get(0) != 0 or ids.get(IGNORE) == 1:
        return class_list
    what = f"255 is '{class_list.classes[0]}'"
    note(f"in grey masks with no other values than 0 and 255, {what}; in palette masks, 255 is ignored")
    return replace(class_list, single=True)


def load_values(path: Path, class_list: ClassList) -> tuple[np.ndarray, Literal["grey", "index", "colour"]]:
    """(values, kind): (H, W), the greys, indices or colours in a mask. path: the file. class_list: decides which of
    them count. Raises UserError for a picture that cannot be a mask."""
    with open_image(path) as image:
        file_format = image.format
        entries = bytes(image.palette.palette) if image.palette else b""  # decoding changes it
        pixels, mode = stored_pixels(image)
    if mode in ("I", "I;16"):
        pixels, mode = np.where(pixels == 65535, IGNORE, pixels), "L"
    elif mode == "1":
        pixels = pixels.astype(np.uint8)
    modes = ("P", "L", "LA", "RGB", "RGBA")
    if len(class_list.classes) == 1:
        modes += ("1",)
    if file_format != "PNG" or mode not in modes:
        raise UserError(path, f"is {file_format} {mode} data; a mask is a PNG: palette, grey or in colours of 8 bits")
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
    has sorted it: index 1 may have VOC's colour of 2, (0, 128, 0), or the grey (2, 2, 2). used: the indices in the
    mask. palette: (256,), the number of each index's colour."""
    values = class_list.values
    pairs = [(int(palette[index]), values.get(index, -1)) for index in used.tolist()]
    greys = {number * GREY: class_id for number, class_id in values.items()}
    if class_list.single:
        greys[IGNORE * GREY] = 1
    # If black is the first colour, then black and white elsewhere fill a palette up, or only show something.
    silent = (0, IGNORE * GREY) if palette[0] == 0 else ()
    for meant in (class_list.colour_ids, greys):
        differ = any(meant.get(colour) != class_id for colour, class_id in pairs if colour not in silent)
        if differ and all(colour in meant for colour, _ in pairs):
            raise UserError(path, DIFFER, LIST_THEM)


def check_palettes(paths: Iterable[Path]) -> None:
    """Raises UserError if an index has another colour from mask to mask, as in files whose program makes a new palette
    for each. Files that are no pictures are left to `read_mask`. paths: the masks."""
    palettes: dict[Path, bytes] = {}
    for path in paths:
        with suppress(UserError), open_image(path) as image:
            if image.palette:
                palettes[path] = bytes(image.palette.palette)
    if len({*palettes.values()}) < 2:
        return
    seen: dict[int, tuple[bytes, Path]] = {}
    for path, palette in palettes.items():
        for index in np.unique(read_pixels(path)[0]).tolist():
            colour = palette[3 * index : 3 * index + 3]
            before, other = seen.setdefault(index, (colour, path))
            if colour != before:
                raise UserError(path, f"{DIFFER}: {index} has another colour in {other}", LIST_THEM)
