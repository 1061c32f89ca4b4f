"""Writes and reads Ultralytics' folders for semantic segmentation. Label maps come back exactly. (Its polygons are the
format `yolo`.)

out/  data.yaml                     `masks_dir: masks`, the folders of pictures of each split, and names of the ids from
0, the background
      images/{train,val}/NAME.jpg   pictures, as they are
      masks/{train,val}/NAME.png    8-bit grey PNG: 0 background, 255 ignore, else the class id
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...config.names import BACKGROUND
from ...errors import UserError
from ...files.documents import read_yaml
from ...files.messages import show_json
from .. import native
from ..class_lists import ClassList, check_meaning, number_classes, read_mask
from ..encoding import encode_grey
from ..rows import flat_name
from ..sample import Sample
from .drivers import Export, Source
from .yolo_data import IMAGES, find_pictures, find_yaml, label_file, numbered_names, write_data

KEY, MASKS = "masks_dir", "masks"
IGNORED = "ignore_label"
"""The name of 255 in `label_mapping`."""


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
    """A sample's label map as an 8-bit grey PNG, because Ultralytics would turn a palette into colours."""
    return encode_grey(sample.labels(len(classes)))


def is_folder(folder: Path) -> bool:
    """Whether a folder's YAML file names the folder of the masks, or has Ultralytics' default, `masks`, beside it."""
    try:
        return is_file(find_yaml(folder))
    except UserError:
        return False


def is_file(file: Path) -> bool:
    """Whether a YAML file is of Ultralytics' masks, and not of YOLO's polygons. Raises UserError if it cannot be
    read."""
    data, beside = read_yaml(file, dict[str, Any]), file.parent
    return KEY in data or ("names" in data and (beside / MASKS).is_dir() and (beside / IMAGES).is_dir())


def read(
    source: Source, *, split: str | None = None, images: Path | str | None = None
) -> tuple[tuple[str, ...], list[Sample]]:
    """A folder of Ultralytics' PNG masks, or the folder of the given YAML file. split, images: as for YOLO.

    If no name is `background`, there is no background: every name is a class, and 255 is ignored. A single name means
    masks of 0 (background) and 1.
    """
    file = find_yaml(source.path) if source.path.is_dir() else source.path
    data = read_yaml(file, dict[str, Any])
    folder = data.get(KEY, MASKS)
    if not isinstance(folder, str) or not folder:
        raise UserError(file, f"'{KEY}' must name the masks' folder, which stands where `{IMAGES}` does in paths")
    listed = _listed(numbered_names(data.get("names"), file), data.get("label_mapping"), file)
    label = partial(label_file, folder=folder, suffix=".png")
    samples = []
    for picture, name in find_pictures(source, file, data, split, images, label, Path.is_file):
        if not picture.labels.is_file():
            raise UserError(picture.path, f"has no mask {picture.labels}")
        labels, row = partial(read_mask, picture.labels, listed), {"split": picture.split}
        samples.append(source.sample(name, picture.path, labels, row, picture.labels, shown=True))
    return listed.classes, samples


def _listed(names: Mapping[int, str], mapping: Any, file: Path) -> ClassList:
    """The classes, and the id of each mask value. mapping: `label_mapping`, value → number of a class."""
    if max(names) >= native.IGNORE:
        raise UserError(file, f"'names' numbers a class {max(names)}; masks hold 0 to 254, and 255 is ignored")
    if len(names) == 1 and next(iter(names.values())).casefold() != BACKGROUND:
        names = {0: BACKGROUND, 1: next(iter(names.values()))}
    listed = number_classes(names, file, void=lambda number, name: False)
    ids = {**listed.ids, native.IGNORE: native.IGNORE}
    values = dict(ids)
    if not isinstance(mapping or {}, Mapping):
        problem = "'label_mapping' must give values of masks the numbers of classes, not"
        raise UserError(file, f"{problem} {show_json(mapping)}")
    for value, number in (mapping or {}).items():
        number = native.IGNORE if number in (IGNORED, None) else number
        if type(value) is not int or type(number) is not int or number not in ids:
            problem = f"label_mapping: {show_json(value)}: must be the number of a class or {IGNORED}, not"
            raise UserError(file, f"{problem} {show_json(number)}")
        if 0 <= value <= 255:
            values[value] = ids[number]
    return replace(listed, ids=values)
