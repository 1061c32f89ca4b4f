"""Reads masks with a class list: what a mask's file stores, and which ids its values or colours mean.

A PNG file can store the values of a mask in several ways:

    a grey PNG                    as greys
    a PNG in colours              as colours, or as greys if all its colours are grey: `_of_colours`
    a palette PNG                 as indices, or as the indices' colours or greys: palettes.py decides for a set
    a PNG with an alpha channel   perhaps in the alpha channel: `_without_alpha`

Pixels of the value 255 are ignored, and in PNG files of 16 bits those of 65535.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import UserError
from ..files.image_files import open_image, stored_pixels
from ..files.label_maps import IGNORE
from .class_lists import WEIGHTS, ClassList, Note
from .palettes import GREY, palette_colours, with_palettes


@dataclass(frozen=True)
class StoredMask:
    """A mask as its file stores it."""

    path: Path
    kind: Literal["grey", "index", "colour"]
    """What decides about the id of a pixel: its grey, its index in a palette, or its colour, which may come from a
    palette."""
    values: Sequence[int]
    """The greys, the indices, or the numbers of the colours."""
    places: np.ndarray
    """(H, W) of integers: the position in `values` of each pixel's value."""

    @property
    def is_white(self) -> bool:
        """Whether the mask is grey, and its values are 255 and perhaps 0."""
        return self.kind == "grey" and {*np.unique(self.places).tolist()} | {0} == {0, IGNORE}


def read_mask(path: Path, class_list: ClassList) -> np.ndarray:
    """(H, W) uint8: the ids that a class list gives to the values in a mask. path: the mask's file. Raises UserError
    for a value without an id, and for a file that is no mask."""
    return _ids(_load(path, class_list), class_list)


def with_single(class_list: ClassList, masks: Collection[Path], note: Note) -> ClassList:
    """The class list as `with_palettes` returns it, with `single` set if it has one class and the background. masks:
    the files, which are then read. note: called with a line about the masks in which 255 is this class."""
    class_list = with_palettes(class_list, masks)
    ids = class_list.ids
    if len(class_list.classes) != 1 or class_list.colours or ids.get(0) != 0 or ids.get(IGNORE) == 1:
        return class_list
    class_list, name = replace(class_list, single=True), class_list.classes[0]
    white = other = 0
    for path in masks:
        mask = _load(path, class_list)
        if mask.is_white:
            white += 1
        elif _ids(mask, class_list).any():
            other += 1
    if white and not other:
        note(f"the only values in the masks are 0 and 255: 255 is '{name}', and nothing is ignored")
    elif white:
        note(f"255 is '{name}' in the {white} masks that have only 0 and 255, and ignored in the {other} others")
    return class_list


def _ids(mask: StoredMask, class_list: ClassList) -> np.ndarray:
    """(H, W) uint8: the ids that a class list gives to a mask's values. Raises UserError for a value without an id."""
    if class_list.single and mask.is_white:
        return mask.places // IGNORE
    ids = class_list.values
    if mask.kind == "colour":
        ids = class_list.colour_ids
    elif mask.kind == "grey" and class_list.colours:
        ids = _ids_of_greys(mask, class_list, class_list.colours)
    found = np.array([ids.get(value, -1) for value in mask.values])[mask.places]
    for place in mask.places[found < 0][:1].tolist():
        value, where = mask.values[place], class_list.where
        what = f"id {value}"
        if mask.kind == "colour":
            what = f"the colour {','.join(str(value >> shift & 255) for shift in (16, 8, 0))}"
            if class_list.colours is None:
                where = "VOC's palette; a labelmap.txt beside the folders says what colours are"
        raise UserError(mask.path, f"has {what}, which is not a class of {where}")
    return found.astype(np.uint8)


def _ids_of_greys(mask: StoredMask, class_list: ClassList, colours: Mapping[int, int]) -> Mapping[int, int]:
    """Grey → id, for a grey mask and a list of colours: the ids of the greys as colours if all are listed, or else as
    numbers. colours: number of a colour → id. Raises UserError if the two differ; but a listed white is never
    ignored."""
    used, ids = np.unique(mask.places).tolist(), class_list.values
    listed = {grey: colours[grey * GREY] for grey in used if grey * GREY in colours}
    by_colour = len(listed) == len(used)
    for grey, class_id in listed.items():
        number = ids.get(grey, class_id)
        if number != class_id and not (by_colour and (grey == IGNORE or not ids.keys() >= {*used})):
            problem = f"its grey {grey} is {class_list.word(class_id)} as a colour of {class_list.where}"
            raise UserError(mask.path, f"{problem}, and {class_list.word(number)} as a number", "save it in colours")
    if by_colour:
        return listed
    return ids


def _load(path: Path, class_list: ClassList) -> StoredMask:
    """A mask as its file stores it. path: the file. class_list: decides which of its values count. Raises UserError for
    a picture that cannot be a mask."""
    with open_image(path) as image:
        kind, entries, rgba = image.format, b"", None
        if image.palette:
            entries = bytes(image.palette.palette)  # decoding changes it
        pixels, mode = stored_pixels(image)
        if image.has_transparency_data:
            rgba = np.asarray(image.convert("RGBA"))
    if kind == "PNG" and mode in ("I", "I;16"):
        pixels, mode = np.where(pixels == 65535, IGNORE, pixels), "L"
        if pixels.max() > IGNORE:
            problem = f"has id {pixels.max()}; ids of label maps are 0 to {IGNORE - 1}, and {IGNORE} is ignored"
            raise UserError(path, problem)
    by_name = class_list.colours is None
    one_bit = mode == "1" and len(class_list.classes) == 1 and by_name
    if kind != "PNG" or not (one_bit or mode in ("P", "L", "LA", "RGB", "RGBA")):
        single = "; one of 1 bit can only mean a single class" if mode == "1" else ""
        problem = f"is {kind} {mode} data; a mask is a PNG: palette, grey or in colours of 8 bits{single}"
        raise UserError(path, problem)
    if rgba is not None:
        pixels = _without_alpha(pixels, rgba, path, by_name)
    if mode == "P":
        return _of_palette(path, pixels, entries, class_list)
    if pixels.ndim == 3:
        return _of_colours(path, pixels, class_list)
    return StoredMask(path, "grey", range(256), pixels.astype(np.uint8, copy=False))


def _of_palette(path: Path, indices: np.ndarray, entries: bytes, class_list: ClassList) -> StoredMask:
    """A mask with a palette. indices: (H, W). entries: the palette's bytes: red, green and blue of index 0, then of 1,
    …. Its colours count if the list defines colours, or else what `ClassList.palettes` says. Indices that are their
    greys are greys."""
    palette, used = palette_colours(entries), np.unique(indices).astype(int)
    if class_list.colours or class_list.palettes == "colours":
        return StoredMask(path, "colour", palette.tolist(), indices)
    if class_list.palettes == "greys" or (palette[used] == used * GREY).all():
        return StoredMask(path, "grey", range(256), (palette // GREY).astype(np.uint8)[indices])
    return StoredMask(path, "index", range(256), indices)


def _of_colours(path: Path, pixels: np.ndarray, class_list: ClassList) -> StoredMask:
    """A mask in colours. pixels: (H, W, 3). Its colours count. But if all are greys, and the list has names alone, the
    greys count, unless each is a class's colour in VOC's palette."""
    colours, places = np.unique(pixels @ WEIGHTS, return_inverse=True)
    is_grey = class_list.colours is None and (pixels == pixels[..., :1]).all()
    if is_grey and not class_list.colour_ids.keys() >= {*colours.tolist()}:
        return StoredMask(path, "grey", range(256), pixels[..., 0])
    return StoredMask(path, "colour", colours.tolist(), places.reshape(pixels.shape[:2]))


def _without_alpha(pixels: np.ndarray, rgba: np.ndarray, path: Path, by_name: bool) -> np.ndarray:
    """The colours (H, W, 3), or the greys or indices (H, W), of a mask with transparency. If its colours are all black
    or all white, the result is its alpha channel (H, W).

    pixels: the numbers as stored. rgba: the picture (H, W, 4). path: the file, for errors. by_name: whether the list
    has names alone. Raises UserError if transparent pixels are not black, or if only the alpha channel varies.
    """
    colours, alpha = rgba[..., :3], rgba[..., 3]
    all_black_or_white = colours.max() == 0 or colours.min() == 255
    if all_black_or_white and pixels.ndim == 3 and by_name and alpha.min() < 255:
        return alpha
    is_uniform = (colours == colours[0, 0]).all()
    if alpha.min() < alpha.max() and (is_uniform or (pixels.ndim == 3 and colours[alpha == 0].any())):
        problem = "both its colours and its alpha channel may be the mask"
        raise UserError(path, problem, "save it without an alpha channel, or black where it is transparent")
    if pixels.ndim == 3:
        # Two channels: grey and alpha
        return pixels[..., 0] if pixels.shape[2] == 2 else colours
    return pixels
