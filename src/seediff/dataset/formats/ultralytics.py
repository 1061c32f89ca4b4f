"""Writes and reads Ultralytics' folders for semantic segmentation. (Its polygons are the format `yolo`.)

out/  data.yaml                     `masks_dir: masks`, the folders of pictures, and the names of ids from 0 on
      images/{train,val}/NAME.jpg   pictures, as they are
      masks/{train,val}/NAME.png    8-bit grey PNG: 0 background, 255 ignore, else the class id
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from ...config.names import BACKGROUND
from ...errors import UserError
from ...files.documents import fit, read_yaml
from .. import native
from ..class_lists import ClassList, Note, check_meaning, number_classes, read_mask
from ..encoding import encode_grey
from ..rows import flat_name
from ..sample import Sample
from .drivers import Export, Source
from .yolo_data import IMAGES, find_pictures, find_yaml, label_file, read_data, write_data

KEY, MASKS = "masks_dir", "masks"


def write(export: Export) -> None:
    """Ultralytics' folders for semantic segmentation."""
    check_meaning(export.classes, ignored=())
    # The last `images` of a picture's path becomes `masks`, so it must be that of the format.
    export.names = [flat_name(name) if IMAGES in name.split("/")[:-1] else name for name in export.names]
    for placed in export.placed(grey):
        export.put_image(f"{IMAGES}/{placed.split}/{placed.file_name}", placed)
        export.put(f"{MASKS}/{placed.split}/{placed.name}.png", placed.data)
    write_data(export, (BACKGROUND, *export.classes), f"{KEY}: {MASKS}\n")


def grey(sample: Sample, *, classes: Sequence[str]) -> bytes:
    """A label map as a grey PNG, because Ultralytics would turn a palette into colours."""
    return encode_grey(sample.labels(len(classes)))


def is_folder(folder: Path) -> bool:
    try:
        return is_file(find_yaml(folder))
    except UserError:
        return False


def is_file(file: Path) -> bool:
    """Whether a YAML file names the folder of masks, or has Ultralytics' default, `masks`, beside it."""
    data = read_yaml(file)
    return KEY in data or ("names" in data and all((file.parent / name).is_dir() for name in (MASKS, IMAGES)))


def read(
    source: Source, *, split: str | None = None, images: Path | str | None = None
) -> tuple[tuple[str, ...], list[Sample]]:
    """A folder of Ultralytics' PNG masks, or the folder of the given YAML file. split, images: as for YOLO.

    If no name is `background`, there is no background: every name is a class, and 255 is ignored. A single name means
    masks of 0 (background) and 1.
    """
    file, data, names = read_data(source.path)
    folder = data.get(KEY, MASKS)
    if not isinstance(folder, str) or not folder:
        raise UserError(file, f"'{KEY}' must name the masks' folder, which replaces `{IMAGES}` in paths")
    meanings = dict[int, int | Literal["ignore_label"] | None]
    mapping = fit(data.get("label_mapping") or {}, meanings, f"{file}: label_mapping", strict=False)
    listed = _listed(names, mapping, file, source.note)
    label = partial(label_file, folder=folder, suffix=".png")
    samples = []
    for picture, name in find_pictures(source, file, data, split, images, label, Path.is_file):
        if not picture.labels.is_file():
            raise UserError(picture.path, f"has no mask {picture.labels}")
        labels, row = partial(read_mask, picture.labels, listed), {"split": picture.split}
        samples.append(source.sample(name, picture.path, labels, row, picture.labels, shown=True))
    return listed.classes, samples


def _listed(names: Mapping[int, str], mapping: Mapping[int, int | str | None], file: Path, note: Note) -> ClassList:
    """mapping: mask value → number of a class, or else ignored."""
    if max(names) >= native.IGNORE:
        raise UserError(file, f"'names' has a class number {max(names)}; masks hold 0 to 254, and 255 is ignored")
    if len(names) == 1 and next(iter(names.values())).casefold() != BACKGROUND:
        names = {0: BACKGROUND, 1: next(iter(names.values()))}
    listed = number_classes(names, file, void=lambda number, name: False, note=note)
    ids = {**listed.ids, native.IGNORE: native.IGNORE}
    meant = {value: number if isinstance(number, int) else native.IGNORE for value, number in mapping.items()}
    if unknown := [value for value, number in meant.items() if number not in ids]:
        raise UserError(f"{file}: label_mapping", f"maps {unknown[0]} to a number that no class has")
    return replace(listed, ids={**ids, **{value: ids[meant[value]] for value in meant if 0 <= value <= 255}})
