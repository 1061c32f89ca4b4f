"""Reads pictures and PNG masks in common layouts: values, or colours in a list, are classes. Label maps come back
exactly.

in/  images/NAME.jpg, masks/NAME.png      also img, imgs, image or data; mask, label, labels, annotations or gt; also
                                          NAME_mask.png
     images/train/…, masks/train/…        or train/images/…, train/masks/…, likewise val/ and test/
     NAME.jpg, NAME_mask.png              beside each other
     classes.txt                          or another list (class_lists.py)

Public data sets as they are distributed; classes and ids are those of `dataset/labels.py`, void is 255, and nothing is
background:

in/  gtFine/, leftImg8bit/                     Cityscapes: 27 classes
     annotations/, images/, objectInfo150.txt   ADE20K: 150 classes
     SPLITannot/, SPLIT/                        CamVid, SegNet's: 11 classes
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import UserError
from .. import native
from ..class_lists import find_list, named_classes, read_mask
from ..labels import LabelSet, find_parts, open_published, published_layout
from ..sample import Sample
from .drivers import Source
from .label_files import PARTS, pictures_below

PICTURE_FOLDERS = ("images", "image", "imgs", "img", "data")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "gt")
ENDINGS = ("_mask", "-mask", "_masks", "_label", "_labels", "_gt", "_seg")
"""Endings that names of masks may have after the names of their pictures."""


def is_folder(folder: Path) -> bool:
    """Whether there are pictures with masks, or a public data set. False for SeeDiff's own folders, which contain more
    and may be unfinished, and for folders that a JSON file describes."""
    own = any((folder / name).exists() for name in (native.METADATA, native.CONFIG, native.BATCHES))
    coco = any(any(folder.glob(pattern)) for pattern in ("annotations/*.json", "*.coco.json", "instances*.json"))
    return published_layout(folder) is not None or (not own and not coco and any(True for _ in _pairs(folder)))


def _pairs(root: Path) -> Iterator[tuple[str | None, Path, Path]]:
    """(split, folder of pictures, folder of masks) wherever both have files; they may be the same folder."""
    for base in (
        root,
        *(
            path
            for path in sorted(root.iterdir() if root.is_dir() else ())
            if PARTS.get(path.name.lower()) and path.is_dir()
        ),
    ):
        split = None if base == root else PARTS[base.name.lower()]
        pictures = next((path for name in PICTURE_FOLDERS if (path := base / name).is_dir()), None)
        masks = next(
            (path for name in MASK_FOLDERS if (path := base / name).is_dir() and any(path.rglob("*.png"))), None
        )
        if pictures and masks:
            yield split, pictures, masks
        elif any(path for ending in ENDINGS for path in base.glob(f"*{ending}.png")):
            yield split, base, base


def read(
    source: Source, *, split: str | None = None, classes: Sequence[str] | None = None
) -> tuple[tuple[str, ...], list[Sample]]:
    """Pictures and PNG masks of the same names in images/ and masks/, or beside each other as NAME_mask.png, also in
    folders per split; or Cityscapes, ADE20K or CamVid as they are distributed, whose void is ignored (255) and whose
    classes and ids are known.

    split: "train", "val" or "test"; None: all. classes: None: those of a list (class_lists.py) in or beside the
    folders.

    With a single class, 255 is that class if no mask has a value other than 0 and 255. Otherwise 255 is ignored.
    """
    root = source.path
    if classes is None and (layout := published_layout(root)):
        return _read_public(source, layout, split)
    if not (folders := list(_pairs(root))):
        raise UserError(
            f"{root}: has no {PICTURE_FOLDERS[0]}/ and {MASK_FOLDERS[0]}/ with PNG masks, and no NAME{ENDINGS[0]}.png"
        )
    places = [root, *(masks for *_, masks in folders), *(masks.parent for *_, masks in folders)]
    listed = find_list(*places, classes=classes) or (named_classes(classes) if classes is not None else None)
    if listed is None:
        raise UserError(
            f"{root}: nothing says what the masks' values mean; --classes names the ids from 1 on, or a classes.txt"
            " does"
        )
    names = listed.classes
    found = [(split, *pair) for split, pictures, masks in folders for pair in _matched(pictures, masks, source)]
    single = found and len(names) == 1 and listed.colours is None and not listed.ids[0]
    if single and not any((read_mask(mask, listed) % 255).any() for *_, mask in found):
        source.note(f"no mask has a value but 0 and 255: 255 is '{names[0]}', and nothing is ignored")
        listed = replace(listed, ids={0: 0, native.IGNORE: 1})
    samples, counts = [], Counter(name for _, name, *_ in found)
    for folder, name, picture, mask in found:
        part = folder or (PARTS.get(name.partition("/")[0].lower()) if "/" in name else None)
        if split not in (None, part or "train"):
            continue
        name = f"{folder}/{name}" if folder and counts[name] > 1 else name
        labels, row = partial(read_mask, mask, listed), {"split": part} if part else {}
        samples.append(source.sample(name, picture, labels, row, picture, picture, mask))
    if not samples and split is not None:
        raise UserError("split", f"{split}: no picture of {root} is in it")
    return names, samples


def _read_public(source: Source, layout: str, split: str | None) -> tuple[tuple[str, ...], list[Sample]]:
    _, parts = find_parts(source.path, layout) or (None, {})
    sets = [(part, open_published(source.path, layout, part)) for part in (parts if split is None else [split])]
    samples = []
    for part, labels in sets:
        if labels.images and not labels.images.is_relative_to(source.path):
            problem = "holds labels whose pictures lie beside it"
            raise UserError(source.path, problem, f"name the folder above both, with --split {part}")
        for name, file in labels.files.items():
            if (picture := labels.picture(name)) is None:
                source.no_picture(file, f"there is no picture of it in {labels.images}")
                continue
            samples.append(
                source.sample(name, picture, partial(_labels, labels, name), {"split": part}, file, file, picture)
            )
    return sets[0][1].classes, samples


def _labels(labels: LabelSet, name: str) -> np.ndarray:
    """(H, W) uint8: the label map `name`, with the classes from id 1."""
    classes = labels.read(name)
    return np.where(classes < 0, native.IGNORE, classes + 1).astype(np.uint8)


def _matched(pictures: Path, masks: Path, source: Source) -> list[tuple[str, Path, Path]]:
    """(name, picture, mask) of each picture that has a mask; the others are left out. A mask without a picture counts
    as a missing picture."""
    files = {
        path.relative_to(masks).with_suffix("").as_posix(): path
        for path in pictures_below(masks)
        if path.suffix.lower() == ".png"
    }
    pairs, left, used = [], 0, set[Path]()
    for path in pictures_below(pictures):
        name = path.relative_to(pictures).with_suffix("").as_posix()
        if pictures == masks and any(name.endswith(ending) for ending in ENDINGS) and path.suffix.lower() == ".png":
            continue
        tried = ([] if pictures == masks else [name]) + [name + ending for ending in ENDINGS]
        mask = next((files[one] for one in tried if one in files), None)
        if mask is None:
            left += 1
            continue
        used.add(mask)
        pairs.append((name, path, mask))
    if lost := [
        path for name, path in files.items() if path not in used and (pictures != masks or name.endswith(ENDINGS))
    ]:
        source.no_picture(lost[0], f"is a mask, but there is no picture of its name in {pictures}")
        source.missing += len(lost) - 1
    if left:
        source.note(f"{left} of {left + len(pairs)} pictures have no mask in {masks}: they are left out")
    return pairs
