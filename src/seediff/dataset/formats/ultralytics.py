"""Ultralytics' folders for semantic segmentation, out and in. Label maps come back exactly. (Its polygons are the format `yolo`.)

out/  data.yaml                     `masks_dir: masks`, where the pictures of each split are, and the names of ids 0, the background, and up
      images/{train,val}/NAME.jpg   pictures, as they are
      masks/{train,val}/NAME.png    8-bit grey PNG: 0 background, 255 ignore, else the class id
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...config.names import BACKGROUND
from ...errors import UserError
from ...files.documents import read_yaml
from ...files.messages import shown
from ...files.places import put, staged
from .. import native
from ..rows import check_class_list
from ..sample import Sample
from .exporting import Exported
from .grey import Mapped, put_pairs
from .options import LinkOptions
from .yolo.reading import find_pictures, find_yaml, label_file, named, numbered_names
from .yolo.writing import DATA, IMAGES, data_yaml

KEY, MASKS = "masks_dir", "masks"
IGNORED = "ignore_label"
"""What `label_mapping` calls 255."""


def export_ultralytics(
    classes: Sequence[str],
    items: Iterable[Sample],
    out: Path | str,
    options: LinkOptions | None = None,
) -> Exported:
    """Write a folder that Ultralytics' semantic segmentation trains on. `out` appears only when everything is in it.

    Raises UserError naming the sample that cannot be used.
    """
    check_class_list(classes)

    def place(name: str, split: str, suffix: str) -> tuple[str, str]:
        return f"{IMAGES}/{split}/{name}.{suffix}", f"{MASKS}/{split}/{name}.png"

    with staged(out) as part:
        placed = put_pairs(part, classes, items, options or LinkOptions(), place)
        splits = {one.split for one in placed}
        if "train" not in splits:
            (part / IMAGES / "train").mkdir(parents=True, exist_ok=True)  # data.yaml names it, and readers want it
        put(part / DATA, (data_yaml((BACKGROUND, *classes), sorted(splits)) + f"{KEY}: {MASKS}\n").encode("utf-8"))
    notes = []
    if "train" not in splits:
        notes.append(f"no samples for training: {IMAGES}/train is empty")
    if "val" not in splits:
        notes.append(f"no samples for validation: val in {DATA} is the training set; a split of 0.1 sets a tenth aside")
    return Exported(len(placed), 2 * len(placed) + 1, tuple(notes))


def is_ultralytics(folder: Path) -> bool:
    """Whether a folder's YAML file says where masks are, or, as Ultralytics has it, has a folder `masks` beside it."""
    try:
        return names_masks(find_yaml(folder))
    except UserError:
        return False


def names_masks(file: Path) -> bool:
    """The same of a YAML file. Raises UserError when it cannot be read."""
    data, beside = read_yaml(file, dict[str, Any]), file.parent
    return KEY in data or ("names" in data and (beside / MASKS).is_dir() and (beside / IMAGES).is_dir())


def import_ultralytics(
    source: Path | str, *, split: str | None = None, images: Path | str | None = None
) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes, without the background, and samples of a folder with PNG masks, or of the folder whose YAML file is named.

    The class 0 of the name `background` is the background; where there is none of this name, every class is one of ours, and nothing but
    255, which is ignored, is no class. One name alone means masks of 0, background, and 1. `label_mapping` is heeded.
    split, images: as `import_yolo` has them. Raises UserError naming the file of what is not there or not inside the folder.
    """
    source = Path(source)
    file = find_yaml(source) if source.is_dir() else source
    data = read_yaml(file, dict[str, Any])
    if not isinstance(folder := data.get(KEY, MASKS), str) or not folder or Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise UserError(f"{file}: '{KEY}' must be the name of the masks' folder, which stands where `{IMAGES}` does in paths")
    classes, ids = _ids(numbered_names(data.get("names"), file), data.get("label_mapping"), file)
    place, found = find_pictures(file, data, split, images)
    items = []
    for name, one in named(found, place):
        mask = label_file(one.labels, folder, ".png")
        if not mask.is_file():
            raise UserError(f"{one.path}: has no mask {mask}")
        if not place.inside(mask):
            raise UserError(f"{mask}: is a link that leads out of {file.parent}; what is outside of it is not read")
        items.append(Sample(one.path, Mapped(mask, ids, str(file)), metadata={"split": one.split}, name=name))
    return classes, items


def _ids(names: Mapping[int, str], mapping: Any, file: Path) -> tuple[tuple[str, ...], dict[int, int]]:
    """Classes, and the id of each value of a mask."""
    if max(names) >= native.IGNORE:
        raise UserError(f"{file}: 'names' numbers a class {max(names)}; masks hold 0 to 254, and 255 is ignored")
    if len(names) == 1 and next(iter(names.values())).casefold() != BACKGROUND:
        its = {0: 0, 1: 1}
        classes = tuple(names.values())
    else:
        ground = {number for number, name in names.items() if name.casefold() == BACKGROUND}
        classes = tuple(name for number, name in names.items() if number not in ground)
        its = {**dict.fromkeys(ground, 0), **{number: i for i, number in enumerate((n for n in names if n not in ground), 1)}}
    try:
        check_class_list(classes)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    its[native.IGNORE] = native.IGNORE
    return classes, _mapped(its, mapping, file) if mapping is not None else its


def _mapped(ids: Mapping[int, int], mapping: Any, file: Path) -> dict[int, int]:
    """The ids of the values that `label_mapping` makes of those in the files."""
    if not isinstance(mapping, Mapping):
        raise UserError(f"{file}: 'label_mapping' must give values of masks the numbers of classes, not {shown(mapping)}")
    found = dict(ids)
    for value, number in mapping.items():
        number = native.IGNORE if number in (IGNORED, None) else number
        if type(value) is not int or type(number) is not int or number not in ids:
            raise UserError(f"{file}: label_mapping: {shown(value)}: must be the number of a class or {IGNORED}, not {shown(number)}")
        if 0 <= value <= 255:
            found[value] = ids[number]
    return found
