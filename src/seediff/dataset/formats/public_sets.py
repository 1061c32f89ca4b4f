"""The public data sets that are read as they are distributed: their files, their classes, and the class of each stored
id. (Pascal VOC's layout is the format `voc`.)"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ...errors import UserError
from ...files.label_maps import IGNORE, PHOTO_ENDING, named_images
from ...files.reading import read_lines

CAMVID_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "signsymbol", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
CITYSCAPES_CLASSES = (
    "road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole",
    "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck",
    "bus", "caravan", "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
"""The classes of Cityscapes' ids 7 … 33 in order, without the void ids, as in PiCIE, STEGO and DiffSeg."""
COCO_STUFF_CLASSES = tuple(
    (
        "electronic-things, appliance-things, food-things, furniture-things, indoor-things, kitchen-things, "
        "accessory-things, animal-things, outdoor-things, person-things, sports-things, vehicle-things, ceiling-stuff, "
        "floor-stuff, food-stuff, furniture-stuff, raw-material-stuff, textile-stuff, wall-stuff, window-stuff, "
        "building-stuff, ground-stuff, plant-stuff, sky-stuff, solid-stuff, structural-stuff, water-stuff"
    ).split(", ")
)
"""The coarse classes of the label hierarchy of H. Caesar, J. Uijlings, V. Ferrari, "COCO-Stuff: Thing and Stuff Classes
in Context", CVPR 2018, CC BY 4.0."""
COCO_STUFF_COARSE = (
    "9 11 11 11 11 11 11 11 11 8 8 8 8 8 8 7 7 7 7 7 7 7 7 7 7 6 6 6 6 6 6 6 6 10 10 10 10 10 10 10 10 10 10 5 5 5 5 "
    "5 5 5 5 2 2 2 2 2 2 2 2 2 2 3 3 3 3 3 3 3 3 3 3 0 0 0 0 0 0 1 1 1 1 1 1 4 4 4 4 4 4 4 4 17 17 22 20 20 22 15 25 "
    "16 13 12 12 17 17 23 15 15 17 15 21 15 25 13 13 13 13 13 22 26 14 14 15 22 21 21 24 20 22 15 17 16 15 22 24 21 "
    "17 25 16 21 17 22 16 21 21 25 21 26 21 24 20 17 14 21 26 15 23 20 21 24 15 24 22 25 15 20 17 17 22 14 18 18 18 "
    "18 18 18 18 26 26 19 19 24"
)
"""The coarse class, from 0, of each pixel value: a label's published id minus one. IIC's numbers (xu-ji/IIC,
`cocostuff_fine_to_coarse.py`, MIT License, Copyright (c) 2019 Xu Ji; see NOTICE), which PiCIE, STEGO and DiffSeg use,
too."""
ADE20K_IDS, ADE20K_LAST = {"13": "person", "21": "car", "81": "bus"}, 150
"""Entries that objectInfo150.txt must have, so that pixel values have their published meaning."""


@dataclass(frozen=True)
class PublicSet:
    """A public data set as it is distributed. masks, images: folders in the root, where {} is the part's, of which
    the first that is there counts. parts: split → its folder. classes: of the ids from `first` on. void: ids without a
    class. maps: names of label maps, whose group is the sample's. ending: of a picture's name after it. below: where
    the root may be in the named folder. listed: a file that the root must have. usual: the split that papers use."""

    title: str
    masks: tuple[str, ...]
    parts: Mapping[str, str]
    images: tuple[str, ...]
    classes: tuple[str, ...] = ()
    first: int = 0
    void: tuple[int, ...] = ()
    maps: str = "(.+)"
    ending: str = ""
    below: tuple[str, ...] = ("",)
    listed: str = ""
    usual: str = "val"


PUBLIC: Mapping[str, PublicSet] = {
    "ade20k": PublicSet(
        "ADE20K", ("annotations/{}",), {"val": "validation", "train": "training"}, ("images/{}",),
        below=("", "ADEChallengeData2016"), void=(0,), listed="objectInfo150.txt",
    ),
    "cityscapes": PublicSet(
        "Cityscapes", ("gtFine/{}",), {"train": "train", "val": "val"}, ("leftImg8bit/{}",),
        CITYSCAPES_CLASSES, 7, tuple(range(7)), "(.+)_gtFine_labelIds", PHOTO_ENDING,
    ),
    "camvid": PublicSet(
        "CamVid", ("{}annot",), {name: name for name in ("train", "val", "test")}, ("{}",), CAMVID_CLASSES,
        void=(11,), below=("", "CamVid"), usual="test",
    ),
    "coco-stuff": PublicSet(
        "COCO-Stuff",
        ("annotations/{}", "dataset/annotations/{}", "stuffthingmaps_trainval2017/{}", "annotation_{}", "{}"),
        {"train": "train2017", "val": "val2017"},
        ("images/{}", "dataset/images/{}", "{}"), COCO_STUFF_CLASSES,
        maps=r"(\d{12})",  # COCO's image ids: other programs leave converted label maps beside the originals
    ),
}  # fmt: skip
"""CamVid is SegNet's; the test labels of Cityscapes are not public. COCO-Stuff has 27 coarse classes."""


@dataclass(frozen=True)
class PublicPart:
    """A part of a public data set. ids: stored value → id, from 1, or 255 for none. files: name of a sample → its label
    map. images: the folder of the pictures, whose names end with `ending`."""

    about: str
    classes: tuple[str, ...]
    ids: Mapping[int, int]
    files: Mapping[str, Path]
    images: Path
    ending: str


def published_layout(folder: Path) -> str | None:
    """The public data set in a folder."""
    return next((name for name in PUBLIC if find_parts(folder, name)), None)


def find_parts(folder: Path, name: str) -> tuple[Path, dict[str, Path]] | None:
    """The root of a public data set, and split → its folder of label maps. folder: the root, its parent, or a part's
    label maps, without a classes.txt, which gives classes of its own."""
    layout, here = PUBLIC[name], Path(os.path.abspath(folder))
    if (folder / "classes.txt").is_file():
        return None
    roots = (*(folder / place for place in layout.below), here.parent, here.parent.parent)
    for root, masks in product(roots, layout.masks):
        parts: dict[str, Path] = {}
        for split, part in layout.parts.items():
            path = root / masks.format(part)
            below = Path(os.path.abspath(path)).is_relative_to(here)
            if below and any(re.fullmatch(layout.maps, map_.stem) for map_ in path.rglob("*.png")):
                parts[split] = path
        if parts and (root / layout.listed).exists():
            return root, parts
    return None


def usual_part(folder: Path, name: str) -> str:
    """The part of a public data set that `folder` is itself, or else the one that papers use."""
    root, parts = find_parts(folder, name) or (folder, {})
    alone = len(parts) == 1 and folder not in (root, root.parent)
    return next(iter(parts)) if alone else PUBLIC[name].usual


def open_part(folder: Path, name: str, split: str) -> PublicPart:
    """A part of what `published_layout` found. Raises UserError if it is not there."""
    layout, (root, parts) = PUBLIC[name], find_parts(folder, name) or (folder, {})
    if split not in parts:
        problem = f"{split}: {root} has no such labels; parts of {layout.title} there: {', '.join(parts)}"
        raise UserError("split", problem)
    maps = {re.fullmatch(f"((?:.*/)?){layout.maps}", key): path for key, path in named_images(parts[split])}
    files = {f"{match[1]}{match[2]}": path for match, path in maps.items() if match}
    classes = layout.classes
    ids = {layout.first + number: number + 1 for number in range(len(classes))}
    if name == "coco-stuff":
        ids = {value: int(number) + 1 for value, number in enumerate(COCO_STUFF_COARSE.split())}
    elif name == "ade20k":
        names = _object_info(root / layout.listed)
        classes, ids = tuple(names.values()), dict(zip(names, range(1, len(names) + 1), strict=True))
    places = [root / place.format(layout.parts[split]) for place in layout.images]
    images = next((place for place in places if place.is_dir() and place != parts[split]), places[0])
    void = dict.fromkeys(layout.void, IGNORE)
    return PublicPart(f"{layout.title} in {root}, {split}", classes, {**void, **ids}, files, images, layout.ending)


def _object_info(path: Path) -> dict[int, str]:
    """Id → the first of its names, from ADE20K's table, whose first and last columns are Idx and Name."""
    rows = [line.split("\t") for line in read_lines(path)[1:] if line.strip()]
    names = {row[0].strip(): row[-1].split(",")[0].strip() for row in rows}
    if not ADE20K_IDS.items() <= names.items() or names.keys() != {*map(str, range(1, ADE20K_LAST + 1))}:
        raise UserError(path, f"must name the ids 1 to {ADE20K_LAST} as published, such as {ADE20K_IDS}")
    return {int(number): name for number, name in names.items()}
