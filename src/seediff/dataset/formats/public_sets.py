"""Public data sets that SeeDiff reads as they are distributed: their files, their classes, and the class of each stored
id. (Pascal VOC is the format `voc`.)"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

from ...errors import UserError
from ...files.label_maps import IGNORE
from ...files.names import PHOTO_ENDING
from ...files.photo_files import named_images
from ..class_lists import ClassList, class_list_files, find_class_list
from .labelled import Pair
from .set_files import SetFiles, images_by_name
from .source import Source

CAMVID_CLASSES = tuple(
    "sky, building, pole, road, pavement, tree, signsymbol, fence, car, pedestrian, bicyclist".split(", ")
)
CITYSCAPES_CLASSES = tuple(
    "road, sidewalk, parking, rail track, building, wall, fence, guard rail, bridge, tunnel, pole, polegroup, "
    "traffic light, traffic sign, vegetation, terrain, sky, person, rider, car, truck, bus, caravan, trailer, train, "
    "motorcycle, bicycle".split(", ")
)
"""The classes of Cityscapes' ids 7 … 33 in order, without the void ids, as in PiCIE, STEGO and DiffSeg."""
COCO_STUFF_CLASSES = tuple(
    "electronic-things, appliance-things, food-things, furniture-things, indoor-things, kitchen-things, "
    "accessory-things, animal-things, outdoor-things, person-things, sports-things, vehicle-things, ceiling-stuff, "
    "floor-stuff, food-stuff, furniture-stuff, raw-material-stuff, textile-stuff, wall-stuff, window-stuff, "
    "building-stuff, ground-stuff, plant-stuff, sky-stuff, solid-stuff, structural-stuff, water-stuff".split(", ")
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


STUFF_LABELS = 182
"""The number of labels in COCO-Stuff's own labels.txt."""


@dataclass(frozen=True)
class PublicSet:
    """A public data set as it is distributed."""

    title: str
    masks: tuple[str, ...]
    """Where the folder of label maps may be in the set's root, the likeliest first. {} stands for the folder of the
    split, as in `parts`."""
    parts: Mapping[str, str]
    """Split → its folder."""
    images: tuple[str, ...]
    """Where the folder of pictures may be in the root, like `masks`."""
    classes: tuple[str, ...] = ()
    """The classes of the ids `first`, `first` + 1, …; () if `names_file` names them."""
    first: int = 0
    void: tuple[int, ...] = ()
    """Ids that mean no class."""
    maps: str = "(.+)"
    """A pattern for the names of label maps. Its group is the sample's name."""
    ending: str = ""
    """What follows the sample's name in the picture's name."""
    below: tuple[str, ...] = ("",)
    """Where the root may be in the folder that the user named."""
    names_file: str = ""
    """A file that must be in the root, and that names the classes if `classes` does not."""
    usual: str = "val"
    """The split on which papers compare methods."""

    @property
    def stuff(self) -> bool:
        """Whether the set is COCO-Stuff, whose folders are those of COCO's JSON files, too."""
        return self.classes == COCO_STUFF_CLASSES


PUBLIC = (
    PublicSet(
        title="ADE20K",
        masks=("annotations/{}",),
        parts={"val": "validation", "train": "training"},
        images=("images/{}",),
        below=("", "ADEChallengeData2016"),
        first=1,
        void=(0,),
        names_file="objectInfo150.txt",
    ),
    PublicSet(
        title="Cityscapes",
        masks=("gtFine/{}",),
        parts={"train": "train", "val": "val"},
        images=("leftImg8bit/{}",),
        classes=CITYSCAPES_CLASSES,
        first=7,
        void=tuple(range(7)),
        maps="(.+)_gtFine_labelIds",
        ending=PHOTO_ENDING,
    ),
    PublicSet(
        title="CamVid",
        masks=("{}annot",),
        parts={"train": "train", "val": "val", "test": "test"},
        images=("{}",),
        classes=CAMVID_CLASSES,
        void=(11,),
        below=("", "CamVid"),
        usual="test",
    ),
    PublicSet(
        title="COCO-Stuff",
        masks=("annotations/{}", "dataset/annotations/{}", "stuffthingmaps_trainval2017/{}", "annotation_{}", "{}"),
        parts={"train": "train2017", "val": "val2017"},
        images=("images/{}", "dataset/images/{}", "{}"),
        classes=COCO_STUFF_CLASSES,
        maps=r"(\d{12})",  # COCO's image ids: other programs leave converted label maps beside the originals
    ),
)
"""CamVid as SegNet distributes it, Cityscapes without its test labels, which are not public, and COCO-Stuff with its 27
coarse classes."""


class Published(NamedTuple):
    """A public data set that was found."""

    layout: PublicSet
    root: Path
    """Its folder."""
    parts: Mapping[str, Path]
    """Split → the folder of its label maps."""
    places: Sequence[Path]
    """The folders in which a class list may be. It goes before the set's own classes."""


def find_published(folder: Path) -> Published | None:
    """The public data set in a folder: its root, the parent of it, or the folder of a split's label maps. None for
    other folders."""
    here = Path(os.path.abspath(folder))
    # If `folder` holds the label maps of a part, the root is its parent or grandparent, and no other part counts.
    for layout in PUBLIC:
        roots = (*(folder / place for place in layout.below), here.parent, here.parent.parent)
        for root, masks in product(roots, layout.masks):
            parts: dict[str, Path] = {}
            for split, part in layout.parts.items():
                path = root / masks.format(part)
                is_inside = Path(os.path.abspath(path)).is_relative_to(here)
                if is_inside and any(re.fullmatch(layout.maps, map_.stem) for map_ in path.rglob("*.png")):
                    parts[split] = path
            places = [folder, root, *(path for part in parts.values() for path in (part, part.parent))]
            if parts and (root / layout.names_file).exists() and not (layout.stuff and _has_list(places)):
                return Published(layout, root, parts, places)
    return None


def _has_list(places: Sequence[Path]) -> bool:
    """Whether there is a class list other than COCO-Stuff's own labels.txt. The folders may then be anyone's, with
    pictures of any name. places: where it may be."""
    return any(len(SetFiles(path).lines(path)) < STUFF_LABELS for path in class_list_files(*places))


def read_published(source: Source, published: Published) -> tuple[ClassList, list[Pair]]:
    """(classes, label maps) of a public set. Without `split`, all splits are read; to compare label maps of the public
    set, only the split whose folder the user named, or else the `usual` split. Raises UserError, also for a split that
    does not exist."""
    layout, root, parts, places = published
    split = source.split
    if split is None and source.is_truth:
        split = layout.usual
        if len(parts) == 1 and source.path not in (root, root.parent):
            (split,) = parts
    if split not in (None, *parts):
        problem = f"{split}: {root} has no such labels; parts of {layout.title} there: {', '.join(parts)}"
        raise UserError("split", problem)
    names = [name for name in parts if split in (None, name)]
    found: list[Pair] = []
    for name in names:
        folders = [root / place.format(layout.parts[name]) for place in layout.images]
        folder = next((one for one in folders if one.is_dir() and one != parts[name]), folders[0])
        if not folder.is_relative_to(source.path) and not source.labels_alone:
            problem = "holds only labels; their images are in the folder beside it"
            raise UserError(source.path, problem, f"name the folder above both, with --split {name}")
        images = images_by_name(folder)
        for key, file in named_images(parts[name]):
            match = re.fullmatch(f"((?:.*/)?){layout.maps}", key)
            if match is None:
                continue
            label = match[1] + match[2]
            image = images.get(label + layout.ending)
            if image is None and not source.labels_alone:
                source.leave_out(file, label, [folder])
            else:
                found.append(Pair(name, label, image, file))
    class_list = None
    if not layout.stuff:
        class_list = find_class_list(*places, note=source.note)
    return class_list or _classes(layout, root, f"{layout.title} in {root}, {', '.join(names)}"), found


def _classes(layout: PublicSet, root: Path, where: str) -> ClassList:
    """The class list of a public set. layout: the set. root: its folder. where: its name in errors. Raises UserError,
    also for another table than ADE20K's, whose first and last columns are Idx and Name: the first name counts."""
    classes = layout.classes
    if not classes:
        path = root / layout.names_file
        rows = [line.split("\t") for line in SetFiles(path).lines(path)[1:] if line.strip()]
        if [row[0].strip() for row in rows] != [*map(str, range(1, 151))]:
            raise UserError(path, "must name the ids 1 to 150 in order")
        classes = tuple(row[-1].split(",")[0].strip() for row in rows)
    ids = {layout.first + number: number + 1 for number in range(len(classes))}
    if layout.stuff:
        ids = {value: int(number) + 1 for value, number in enumerate(COCO_STUFF_COARSE.split())}
    return ClassList(classes, {**dict.fromkeys((*layout.void, IGNORE), IGNORE), **ids}, where=where)
