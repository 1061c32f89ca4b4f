"""Writes and reads Roboflow's "Semantic Segmentation Masks". Label maps come back exactly.

out/  train/NAME.jpg or .png    pictures, as they are; likewise valid/ and test/
      train/NAME_mask.png       8-bit grey PNG: 0 background, 255 ignore, else the class id
      train/_classes.csv        `Pixel Value, Class`, then one line per id, from 0, the background
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ...config.names import BACKGROUND
from ...errors import UserError
from ...files.documents import read_cells
from .. import native
from ..rows import check_class_list
from ..sample import Sample
from .drivers import Export, Source
from .label_files import Mapped, check_meaning, grey, pictures_below

CLASS_LIST, ENDING = "_classes.csv", "_mask"
FOLDERS = {"train": "train", "val": "valid", "test": "test"}
"""Split → its name in Roboflow."""


def write(export: Export) -> None:
    check_meaning(export.classes, (BACKGROUND,), ())
    for placed in export.placed(grey):
        above = FOLDERS[placed.split]
        export.put_image(f"{above}/{placed.file_name}", placed)
        export.put(f"{above}/{placed.name}{ENDING}.png", placed.data)
    for split in export.parts:
        export.put(f"{FOLDERS[split]}/{CLASS_LIST}", _class_list(export.classes))


def _class_list(classes: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    text.write("Pixel Value, Class\n")
    csv.writer(text, lineterminator="\n").writerows([number, f" {name}"] for number, name in enumerate((BACKGROUND, *classes)))
    return text.getvalue()


def is_folder(folder: Path) -> bool:
    return any((base / CLASS_LIST).is_file() for base in _parts(folder))


def _parts(folder: Path) -> dict[Path, str | None]:
    """Folder that may have pictures → its split, None if its name is not a split's."""
    split_here = next((split for split, word in FOLDERS.items() if word == folder.resolve().name), None)
    return {folder: split_here, **{folder / word: split for split, word in FOLDERS.items()}}


def read(source: Source) -> tuple[tuple[str, ...], list[Sample]]:
    parts = [(folder, split) for folder, split in _parts(source.path).items() if (folder / CLASS_LIST).is_file()]
    if not parts:
        raise UserError(f"{source.path}: has no {CLASS_LIST}, here or in {', '.join(f'{word}/' for word in FOLDERS.values())}")
    first = parts[0][0] / CLASS_LIST
    names, _ = _read_classes(first)
    pairs = {folder: _pairs([path for path in pictures_below(folder) if path.parent == folder]) for folder, _ in parts}
    stems = Counter(picture.stem for of_folder in pairs.values() for picture, _ in of_folder)
    samples = []
    for folder, split in parts:
        listed = folder / CLASS_LIST
        names_here, ids = _read_classes(listed)
        if names_here != names:
            raise UserError(f"{listed}: its classes differ from those of {first}")
        row = {"split": split} if split else {}
        for picture, mask in pairs[folder]:
            name = f"{split}/{picture.stem}" if split and stems[picture.stem] > 1 else picture.stem
            samples.append(source.sample(name, picture, Mapped(mask, ids, str(listed)), row, picture, picture, mask))
    return names, samples


def _pairs(files: Sequence[Path]) -> list[tuple[Path, Path]]:
    """(picture, mask) of each picture. NAME_mask.png is a mask if there is a picture NAME; otherwise it may be a picture itself. Raises
    UserError."""
    masks = {path.stem.removesuffix(ENDING): path for path in files if path.stem.endswith(ENDING) and path.suffix.lower() == ".png"}
    stems = {path.stem for path in files}
    pairs = []
    for picture in files:
        of = picture.stem.removesuffix(ENDING)
        if picture.stem.endswith(ENDING) and masks.get(of) == picture:
            if of in stems:
                continue
            if picture.stem not in masks:
                raise UserError(f"{picture}: is the mask of a picture that is not there")
        if picture.stem not in masks:
            raise UserError(f"{picture}: has no mask {picture.stem}{ENDING}.png beside it")
        pairs.append((picture, masks[picture.stem]))
    return pairs


def _read_classes(path: Path) -> tuple[tuple[str, ...], dict[int, int]]:
    """The classes in the order of their pixel values, and pixel value → id, 0 for the background."""
    values: dict[int, str] = {}
    for line, cells in read_cells(path)[1:]:
        if len(cells) != 2 or not (cells[0].isascii() and cells[0].isdecimal() and len(cells[0]) < 4 and int(cells[0]) < 256):
            raise UserError(f"{path}, line {line}: must be a pixel value from 0 to 255 and the class that it means")
        if int(cells[0]) in values:
            raise UserError(f"{path}, line {line}: names the pixel value {int(cells[0])} once more")
        values[int(cells[0])] = cells[1].strip()
    if not values:
        raise UserError(f"{path}: names no classes; the first line is `Pixel Value, Class`, then one for each")
    grounds = [value for value, name in values.items() if name.casefold() == BACKGROUND]
    named = sorted(set(values) - set(grounds))
    names = tuple(values[value] for value in named)
    check_class_list(names, path)
    ids = {**dict.fromkeys(grounds, 0), **{value: number for number, value in enumerate(named, 1)}}
    return names, {0: 0, native.IGNORE: native.IGNORE, **ids}
