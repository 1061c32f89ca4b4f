"""Reads pictures and PNG masks in common layouts: values, or colours in a list, are classes. Label maps come back
exactly.

in/  images/NAME.jpg, masks/NAME.png      also img, imgs, image, img_dir or data; mask, label, labels, annotations,
                                          ann_dir, gt or gts; also NAME_mask.png of NAME.jpg or NAME_sat.jpg
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

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ...errors import UserError
from ...files.outputs import BATCHES
from ...files.reading import inside
from .. import native
from ..class_lists import ClassList, find_list, named_classes, read_mask
from ..labels import find_parts, open_published, published_layout
from ..sample import Sample
from .drivers import Source, unique_names
from .label_files import PARTS, named_pictures

PICTURE_FOLDERS = ("images", "image", "imgs", "img", "img_dir", "data")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "ann_dir", "gt", "gts")
ENDINGS = ("_mask", "-mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation")
"""Endings that names of masks may have after the names of their pictures."""
OF_PICTURES = ("_sat", "_img", "_image")
"""Endings that such a mask has instead."""
PNG = "*.[pP][nN][gG]"
Found = list[tuple[str | None, str, Path, Path]]
"""Split, name, picture and mask of each sample."""


def is_folder(folder: Path) -> bool:
    """False for SeeDiff's own folders, which may be unfinished, and for folders that a JSON file describes."""
    own = any((folder / name).exists() for name in (native.METADATA, native.CONFIG, BATCHES))
    coco = any(any(folder.glob(pattern)) for pattern in ("annotations/*.json", "*.coco.json", "instances*.json"))
    return published_layout(folder) is not None or (not own and not coco and any(True for _ in _folders(folder)))


def _folders(root: Path) -> Iterator[tuple[str | None, Path, Path]]:
    """(split, folder of pictures, folder of masks) wherever both have files; they may be the same folder."""
    inner = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    parts = [(path, split) for path in inner if (split := PARTS.get(path.name.lower()))]
    for base, split in ((root, None), *parts):
        pictures, masks = _usual(base, PICTURE_FOLDERS), _usual(base, MASK_FOLDERS)
        if pictures and (masks := [path for path in masks if any(path.rglob(PNG))]):
            yield split, pictures[0], masks[0]
        elif any(path.stem.endswith(ENDINGS) for path in base.glob(PNG)):
            yield split, base, base


def _usual(base: Path, names: Sequence[str]) -> list[Path]:
    """The folders in `base` with one of these names, in any case, in the order of the names."""
    found = {path.name.lower(): path for path in sorted(base.glob("*")) if path.is_dir()}
    return [found[name] for name in names if name in found]


def read(
    source: Source,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    images: Path | str | None = None,
    masks: Path | str | None = None,
) -> tuple[tuple[str, ...], list[Sample]]:
    """Pictures and PNG masks, or Cityscapes, ADE20K or CamVid as they are distributed. images, masks: their folders;
    None: the usual one of the two in the folder, or else the folder itself.

    split: "train", "val" or "test"; None: all. classes: None: those of a list (class_lists.py) in or beside the
    folders. With a single class, 255 is that class if no mask has a value other than 0 and 255. Otherwise 255 is
    ignored.
    """
    root = source.path
    if images is None and masks is None:
        folders, layout = _folders(root), published_layout(root) if classes is None else None
    else:
        pictures, truth = [*_usual(root, PICTURE_FOLDERS), root], [*_usual(root, MASK_FOLDERS), root]
        folders, layout = [(None, Path(images or pictures[0]), Path(masks or truth[0]))], None
    source.images = layout is None
    listed, found = _published(source, layout, split) if layout else _matched(source, [*folders], classes)
    samples, names = [], unique_names((folder, name + picture.suffix) for folder, name, picture, _ in found)
    for name, (folder, path, picture, mask) in zip(names, found, strict=True):
        part = folder or (PARTS.get(path.partition("/")[0].lower()) if "/" in path else None)
        if split in (None, part or "train"):
            labels, row = partial(read_mask, mask, listed), {"split": part} if part else {}
            inside(Path(images or root), picture)
            inside(Path(masks or root), mask)
            samples.append(source.sample(name, picture, labels, row, picture))
    if not samples and split is not None:
        raise UserError("split", f"{split}: no picture of {root} is in it")
    return listed.classes, samples


def _published(source: Source, layout: str, split: str | None) -> tuple[ClassList, Found]:
    _, parts = find_parts(source.path, layout) or (None, {})
    found: Found = []
    for part in parts if split is None else [split]:
        labels = open_published(source.path, layout, part)
        if labels.images and not labels.images.is_relative_to(source.path):
            problem = "holds only labels; their pictures are in the folder beside it"
            raise UserError(source.path, problem, f"name the folder above both, with --split {part}")
        for name, file in labels.files.items():
            if picture := labels.picture(name):
                found.append((part, name, picture, file))
            else:
                source.no_picture(file, f"there is no picture of it in {labels.images}")
    ids = {number: native.IGNORE if i < 0 else i + 1 for number, i in enumerate(labels.table[:256].tolist()) if i > -2}
    return ClassList(labels.classes, ids, {}, labels.about), found


def _matched(
    source: Source, folders: Sequence[tuple[str | None, Path, Path]], classes: Sequence[str] | None
) -> tuple[ClassList, Found]:
    root = source.path
    if not folders:
        problem = f"has no {PICTURE_FOLDERS[0]}/ and {MASK_FOLDERS[0]}/ with PNG masks, and no NAME{ENDINGS[0]}.png"
        raise UserError(root, problem)
    places = [root, *(masks for *_, masks in folders), *(masks.parent for *_, masks in folders)]
    listed = find_list(*places, classes=classes, note=source.note)
    if listed is None and classes is not None:
        listed = named_classes(classes)
    if listed is None:
        problem = "nothing says what the masks' values mean"
        raise UserError(root, problem, "name the ids from 1 up with --classes or a classes.txt")
    found = [(split, *pair) for split, *places in folders for pair in _pairs(source, *places)]
    single = found and len(listed.classes) == 1 and listed.colours is None and not listed.ids[0]
    if single and not any((read_mask(mask, listed) % 255).any() for *_, mask in found):
        source.note(f"the only values in the masks are 0 and 255: 255 is '{listed.classes[0]}', and nothing is ignored")
        listed = replace(listed, ids={0: 0, native.IGNORE: 1})
    return listed, found


def _pairs(source: Source, pictures: Path, masks: Path) -> list[tuple[str, Path, Path]]:
    """(name, picture, mask) of each picture that has a mask; the others are left out."""
    beside = pictures == masks
    maps = {name: path for name, path in named_pictures(masks) if path.suffix.lower() == ".png"}
    if beside:
        maps = {name: path for name, path in maps.items() if name.endswith(ENDINGS)}
    files, ends = set(maps.values()), ENDINGS if beside else ("", *ENDINGS)
    photos = [(name, path) for name, path in named_pictures(pictures) if not beside or path not in files]
    pairs, owners = [], dict[Path, Path]()
    for name, path in photos:
        stems = [beginning + end for beginning in (name + path.suffix, name) for end in ends]
        stems += [name.removesuffix(own) + end for own in OF_PICTURES if name.endswith(own) for end in ENDINGS]
        if mask := next((maps[stem] for stem in stems if stem in maps), None):
            if (other := owners.setdefault(mask, path)) is not path:
                raise UserError(mask, f"could be the mask of {other.name} and of {path.name}", "rename one of them")
            pairs.append((name, path, mask))
    for path in sorted(files.difference(mask for *_, mask in pairs)):
        source.no_picture(path, f"is a mask, but there is no picture of its name in {pictures}")
    source.count(len(photos) - len(pairs), f"of {len(photos)} pictures have no mask in {masks}: they are left out")
    return pairs
