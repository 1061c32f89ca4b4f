"""Reads masks by a class list: a mask's file as it is stored, and the ids that its values or colours mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import UserError
from ..files.image_files import open_image, stored_pixels
from ..files.label_maps import IGNORE
from .class_lists import WEIGHTS, ClassList, Note

NO_COLOUR = 1 << 24
"""Stands for the colour of an index that a palette lacks."""


@dataclass(frozen=True)
class StoredMask:
    """A mask as its file stores it."""

    path: Path
    kind: Literal["grey", "index", "colour"]
    """What gives a pixel its id: its grey, its index in a palette, or its colour, also one of a palette."""
    values: Sequence[int]
    """The greys, indices, or colours as numbers."""
    places: np.ndarray
    """(H, W) of integers: the position of each pixel's value in `values`."""

    @property
    def is_white(self) -> bool:
        """Whether the mask is grey and has the value 255, and no other value but 0."""
        return self.kind == "grey" and {*np.unique(self.places).tolist()} | {0} == {0, IGNORE}


def read_mask(path: Path, class_list: ClassList) -> np.ndarray:
    """(H, W) uint8 of ids. Raises UserError. The id of a pixel follows from its value, which is

    1. the stored number in a grey picture or palette; 255, and 65535 of 16 bits, are ignored;
    2. the colour in a picture in colours, unless it has greys alone, of which VOC's palette lacks one;
    3. the colour in a palette, if the list defines colours, or if each index in use has a colour of VOC's palette, for
       a class of the list, that no earlier index has.

    In pictures that are all black or all white, the alpha channel is the mask.
    """
    return _ids(_load(path, class_list), class_list)


def with_single(class_list: ClassList, masks: Iterable[Path], note: Note) -> ClassList:
    """The list; `single` if it names one class and the background. note: called with a line about the masks in which
    255 is this class."""
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
    """(H, W) uint8: the id of each pixel. Raises UserError for a value without an id."""
    if class_list.single and mask.is_white:
        return mask.places // IGNORE
    ids = {IGNORE: IGNORE, **class_list.ids}
    if mask.kind == "colour":
        ids = class_list.colour_ids
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


def _load(path: Path, class_list: ClassList) -> StoredMask:
    """A mask's file, and by the rules of `read_mask` what counts in it. Raises UserError for a picture that cannot be a
    mask."""
    with open_image(path) as image:
        kind, entries, shown = image.format, b"", None
        if image.palette:
            entries = bytes(image.palette.palette)  # decoding changes it
        pixels, mode = stored_pixels(image)
        if image.has_transparency_data:
            shown = np.asarray(image.convert("RGBA"))
    if kind == "PNG" and mode in ("I", "I;16"):
        pixels, mode = _narrow(pixels, path), "L"
    by_name = class_list.colours is None
    one_bit = mode == "1" and len(class_list.classes) == 1 and by_name
    if kind != "PNG" or not (one_bit or mode in ("P", "L", "LA", "RGB", "RGBA")):
        single = "; one of 1 bit can only mean a single class" if mode == "1" else ""
        problem = f"is {kind} {mode} data; a mask is a PNG: palette, grey or in colours of 8 bits{single}"
        raise UserError(path, problem)
    if shown is not None:
        pixels = _without_alpha(pixels, shown, path, by_name)
    if one_bit:
        pixels = pixels.astype(np.uint8)
    if mode == "P":
        palette = (np.frombuffer(entries[: len(entries) // 3 * 3], np.uint8).reshape(-1, 3) @ WEIGHTS).tolist()
        if class_list.colours or _has_meaning(palette, pixels, class_list.colour_ids):
            return StoredMask(path, "colour", [*palette, *[NO_COLOUR] * (256 - len(palette))], pixels)
        return StoredMask(path, "index", range(256), pixels)
    if pixels.ndim == 3 and by_name and (pixels == pixels[..., :1]).all():
        greys = np.unique(pixels[..., 0]) * WEIGHTS.sum()
        if not class_list.colour_ids.keys() >= {*greys.tolist()}:
            pixels = pixels[..., 0]
    if pixels.ndim == 3:
        colours, places = np.unique(pixels @ WEIGHTS, return_inverse=True)
        return StoredMask(path, "colour", colours.tolist(), places.reshape(pixels.shape[:2]))
    return StoredMask(path, "grey", range(256), pixels)


def _has_meaning(palette: Sequence[int], pixels: np.ndarray, colour_ids: Mapping[int, int]) -> bool:
    """Whether a palette says what its indices in use mean. An index without a colour or with an earlier index's colour,
    such as padding, says nothing."""
    used = np.unique(pixels).tolist()
    if used[-1] >= len(palette):
        return False
    return all(palette[index] in colour_ids and palette.index(palette[index]) == index for index in used)


def _without_alpha(pixels: np.ndarray, shown: np.ndarray, path: Path, by_name: bool) -> np.ndarray:
    """The colours, greys or indices of a mask with transparency, or its alpha channel if that is the mask. shown: the
    picture (H, W, 4) in RGBA. by_name: whether the list has names alone. Raises UserError if transparent pixels are not
    black, or only the alpha channel varies."""
    colours, alpha = shown[..., :3], shown[..., 3]
    all_black_or_white = colours.max() == 0 or colours.min() == 255
    if all_black_or_white and pixels.ndim == 3 and by_name and alpha.min() < 255:
        return alpha
    even = (colours == colours[0, 0]).all()
    if alpha.min() < alpha.max() and (even or (pixels.ndim == 3 and colours[alpha == 0].any())):
        problem = "both its colours and its alpha channel may be the mask"
        raise UserError(path, problem, "save it without an alpha channel, or black where it is transparent")
    if pixels.ndim == 3:
        return pixels[..., 0] if pixels.shape[2] == 2 else colours
    return pixels


def _narrow(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Ids of 16 bits as uint8."""
    pixels = np.where(pixels == 65535, IGNORE, pixels)
    if pixels.max() > IGNORE:
        raise UserError(
            path, f"has id {pixels.max()}; ids of label maps are 0 to {IGNORE - 1}, and {IGNORE} is ignored"
        )
    return pixels.astype(np.uint8)
