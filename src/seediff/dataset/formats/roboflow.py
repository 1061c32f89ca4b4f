"""Roboflow's "Semantic Segmentation Masks", out and in. Label maps come back exactly.

out/  train/NAME.jpg or .png    pictures, as they are; likewise valid/ and test/
      train/NAME_mask.png       8-bit grey PNG: 0 background, 255 ignore, else the class id
      train/_classes.csv        `Pixel Value, Class`, then a line for each id from 0, the background, on
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...config.names import BACKGROUND
from ...errors import UserError
from ...files.documents import read_cells
from ...files.places import put, staged
from .. import native
from ..rows import check_class_list
from ..sample import SPLITS, Sample
from .exporting import Exported
from .grey import Mapped, pictures_below, put_pairs, read_pair
from .options import LinkOptions
from .packed import checked_classes

CLASS_LIST, ENDING = "_classes.csv", "_mask"
FOLDERS = {"train": "train", "valid": "val", "test": "test"}
"""Roboflow's words for our splits."""


def export_roboflow(
    classes: Sequence[str],
    items: Iterable[Sample],
    out: Path | str,
    options: LinkOptions | None = None,
) -> Exported:
    """Write folders as Roboflow does. `out` appears only when everything is in it.

    Raises UserError naming the sample that cannot be used.
    """
    check_class_list(classes)
    words = {own: word for word, own in FOLDERS.items()}

    def place(name: str, split: str, suffix: str) -> tuple[str, str]:
        return f"{words[split]}/{name}.{suffix}", f"{words[split]}/{name}{ENDING}.png"

    with staged(out) as part:
        placed = put_pairs(part, classes, items, options or LinkOptions(), place, flat=True)
        parts = [split for split in SPLITS if any(one.split == split for one in placed)]
        for split in parts:
            put(part / words[split] / CLASS_LIST, _class_list(classes))
    return Exported(len(placed), 2 * len(placed) + len(parts))


def _class_list(classes: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    text.write("Pixel Value, Class\n")
    writer = csv.writer(text, lineterminator="\n")
    for number, name in enumerate((BACKGROUND, *classes)):
        writer.writerow([number, f" {name}"])
    return text.getvalue().encode("utf-8")


def is_roboflow(folder: Path) -> bool:
    return any((base / CLASS_LIST).is_file() for base in _parts(folder))


def _parts(folder: Path) -> dict[Path, str | None]:
    """Folders that may have pictures, each with our word for its split."""
    return {folder: FOLDERS.get(folder.resolve().name), **{folder / word: own for word, own in FOLDERS.items()}}


def import_roboflow(source: Path | str) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes, without the background, and samples of a folder with train/, valid/ and test/, or of one of these.

    What a part's list calls `background` is background; classes are the other names in the order of their pixel values, in all parts the
    same. 255 is ignored unless the list names it. Raises UserError naming the file and line.
    """
    source = Path(source)
    parts = [(folder, split) for folder, split in _parts(source).items() if (folder / CLASS_LIST).is_file()]
    if not parts:
        raise UserError(f"{source}: has no {CLASS_LIST}, here or in {', '.join(f'{word}/' for word in FOLDERS)}")
    names: tuple[str, ...] | None = None
    taken: set[str] = set()
    items = []
    for folder, split in parts:
        listed = folder / CLASS_LIST
        its, ids = _read_classes(listed)
        if names is not None and its != names:
            raise UserError(f"{listed}: its classes differ from those of {parts[0][0] / CLASS_LIST}")
        names = its
        files = [path for path in pictures_below(folder) if path.parent == folder]
        masks = {path.stem.removesuffix(ENDING): path for path in files if path.stem.endswith(ENDING) and path.suffix.lower() == ".png"}
        stems = {path.stem for path in files}
        for picture in files:
            if picture.stem.endswith(ENDING) and masks.get(picture.stem.removesuffix(ENDING)) == picture:
                if picture.stem.removesuffix(ENDING) in stems:
                    continue  # a picture's mask
                if picture.stem not in masks:
                    raise UserError(f"{picture}: is the mask of a picture that is not there")
            if picture.stem not in masks:
                raise UserError(f"{picture}: has no mask {picture.stem}{ENDING}.png beside it")
            row = {"split": split} if split else {}
            items.append(read_pair(source, picture.stem, picture, Mapped(masks[picture.stem], ids, str(listed)), row, taken))
    return names or (), items


def _read_classes(path: Path) -> tuple[tuple[str, ...], dict[int, int]]:
    """Classes, and the id of each pixel value, the background's 0."""
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
    ids = {**dict.fromkeys(grounds, 0), **{value: number for number, value in enumerate(named, 1)}}
    return checked_classes([values[value] for value in named], path), {0: 0, native.IGNORE: native.IGNORE, **ids}
