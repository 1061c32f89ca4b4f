"""Pixels of a VOC folder's masks as class ids: palette and grey PNG files hold ids, pictures in colours mean what a list says.

labelmap.txt, as CVAT and Datumaro write it, has lines `name:r,g,b:parts:actions`; without one, colours are those of VOC's palette.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...config.names import BACKGROUND
from ...errors import UserError
from ...files.label_maps import voc_palette
from ...files.messages import shown
from ...files.pictures import open_picture
from ...files.reading import read_lines
from .. import native
from .label_files import IGNORED

LABELMAP = "labelmap.txt"
WEIGHTS = np.array([65536, 256, 1], np.uint32)
"""A colour as one number."""


@dataclass(frozen=True)
class LabelMap:
    """classes: without the background, by id from 1. colours: a colour's number → id. order: the id of each of its lines."""

    path: Path
    classes: tuple[str, ...]
    colours: Mapping[int, int]
    order: tuple[int, ...]


def read_label_list(path: Path, classes: Sequence[str] | None = None) -> LabelMap:
    """A labelmap.txt. classes: in another order than its own. Raises UserError naming the line that is none."""
    lines: list[tuple[str, int]] = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        parts = [part.strip() for part in rest.partition(":")[0].split(",")]
        if len(parts) != 3 or not all(part.isascii() and part.isdecimal() and len(part) < 4 and int(part) < 256 for part in parts):
            raise UserError(f"{path}, line {number}: must be a name and its colour, as in dog:64,0,128::, not {shown(line)}")
        lines.append((name.strip(), int(np.array(parts, np.uint32) @ WEIGHTS)))
    names = [name for name, _ in lines if name.casefold() != BACKGROUND and name.casefold() not in IGNORED]
    if classes is not None and (missing := [name for name in names if name not in classes]):
        raise UserError(f"--classes: does not name {shown(missing[0])}, which is a class of {path}")
    named = tuple(names if classes is None else classes)
    ids = {name: number for number, name in enumerate(named, 1)}
    order = tuple(0 if name.casefold() == BACKGROUND else ids.get(name, native.IGNORE) for name, _ in lines)
    colours: dict[int, int] = {}
    for (name, colour), number in zip(lines, order, strict=True):
        if colours.setdefault(colour, number) != number:
            raise UserError(f"{path}: gives {shown(name)} a colour that another name has")
    _palette_ends(colours)
    return LabelMap(path, named, colours, order)


def _palette_ends(colours: dict[int, int]) -> None:
    """Black is the background and VOC's border is ignored, where a list does not say otherwise."""
    colours.setdefault(0, 0)
    colours.setdefault(_voc_colour(native.IGNORE), native.IGNORE)


def _voc_colour(number: int) -> int:
    palette = bytes(voc_palette())
    return int(np.frombuffer(palette[3 * number : 3 * number + 3], np.uint8).astype(np.uint32) @ WEIGHTS)


def voc_colours(count: int) -> dict[int, int]:
    """The colours of VOC's palette for ids 0 to `count`, and for 255."""
    return {_voc_colour(number): number for number in (*range(count + 1), native.IGNORE)}


def read_mask(path: Path, count: int, label_map: LabelMap | None) -> np.ndarray:
    """(H, W) uint8 of ids, of `count` classes. Raises UserError naming the file, and a colour that no class has."""
    with open_picture(path) as picture:
        kind, mode = picture.format, picture.mode
        coloured = mode in ("RGB", "RGBA") or (mode == "P" and label_map is not None)
        pixels = np.asarray(picture.convert("RGB") if coloured else picture)
    if kind != "PNG" or mode not in ("P", "L", "RGB", "RGBA"):
        raise UserError(f"{path}: is {kind} {mode} inside; a mask is an 8-bit PNG: palette, grey or in colours")
    if not coloured and label_map is None:
        return pixels
    colours = voc_colours(count) if label_map is None else label_map.colours
    if not coloured:
        colours = {**dict(enumerate(label_map.order if label_map else ())), native.IGNORE: native.IGNORE}
    found, places = np.unique(pixels @ WEIGHTS if coloured else pixels, return_inverse=True)
    if unknown := [value for value in found.tolist() if value not in colours]:
        what = f"the colour {','.join(str(unknown[0] >> shift & 255) for shift in (16, 8, 0))}" if coloured else f"id {unknown[0]}"
        where = label_map.path if label_map else f"VOC's palette; a {LABELMAP} beside the folders says what colours are"
        raise UserError(f"{path}: has {what}, which is no class of {where}")
    return np.array([colours[value] for value in found.tolist()], np.uint8)[places].reshape(pixels.shape[:2])
