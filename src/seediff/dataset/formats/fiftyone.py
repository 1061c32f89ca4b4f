"""Writes and reads FiftyOne's `ImageSegmentationDirectory`. Label maps come back exactly.

out/  data/NAME.jpg or .png    pictures, as they are
      labels/NAME.png          8-bit grey PNG: 0 background, 255 ignore, else the class id
      classes.txt              not part of the format, because FiftyOne keeps `mask_targets` in its database: line i (from 0) names id i

With a share for validation, or samples for validation or testing, these folders are in train/, val/ and test/, each to be loaded with its
own tag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ...errors import UserError
from .. import native
from ..rows import check_class_list
from ..sample import SPLITS, Sample
from .drivers import Export, Source
from .label_files import Mapped, grey, pictures_below

DATA, LABELS = "data", "labels"


def write(export: Export) -> None:
    several = export.share is not None or export.parts not in ([], ["train"])
    for placed in export.placed(grey):
        above = f"{placed.split}/" if several else ""
        export.put_image(f"{above}{DATA}/{placed.file_name}", placed)
        export.put(f"{above}{LABELS}/{placed.name}.png", placed.data)
    export.put(native.CLASSES, native.classes_text(export.classes))


def is_folder(folder: Path) -> bool:
    return any((base / DATA).is_dir() and (base / LABELS).is_dir() for base in (folder, *(folder / split for split in SPLITS)))


def read(source: Source, *, classes: Sequence[str] | None = None) -> tuple[tuple[str, ...], list[Sample]]:
    path = source.path
    if not is_folder(path):
        raise UserError(f"{path}: has no {DATA}/ and {LABELS}/ with pictures and label maps of the same names")
    listed = (path if (path / native.CLASSES).is_file() else path.resolve().parent) / native.CLASSES
    if classes is None and not listed.is_file():
        raise UserError(f"{path / native.CLASSES}: there is no such file; --classes names the ids from 1 on")
    names = tuple(native.read_classes(listed.parent) if classes is None else classes)
    check_class_list(names, listed)
    ids = {number: number for number in range(len(names) + 1)}
    parts = {"": path} if (path / DATA).is_dir() else {split: path / split for split in SPLITS}
    found = [(split, folder, picture) for split, folder in parts.items() for picture in pictures_below(folder / DATA)]
    stems = Counter(_stem(picture, folder) for _, folder, picture in found)
    samples = []
    used: set[Path] = set()
    for split, folder, picture in found:
        stem = _stem(picture, folder)
        label_map = folder / LABELS / f"{stem}.png"
        if not label_map.is_file():
            raise UserError(f"{picture}: has no label map {label_map}")
        used.add(label_map)
        name = f"{split}/{stem}" if split and stems[stem] > 1 else stem
        row = {"split": split} if split else {}
        samples.append(source.sample(name, picture, Mapped(label_map, ids, str(listed)), row, picture, picture, label_map))
    for folder in parts.values():
        for label_map in pictures_below(folder / LABELS):
            if label_map.suffix.lower() == ".png" and label_map not in used:
                source.no_picture(label_map, f"is a label map, but there is no PNG or JPEG picture of its name in {folder / DATA}")
    return names, samples


def _stem(picture: Path, folder: Path) -> str:
    return picture.relative_to(folder / DATA).with_suffix("").as_posix()
