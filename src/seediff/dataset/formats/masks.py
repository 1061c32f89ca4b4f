"""Writes pictures and PNG masks in Ultralytics' folders for semantic segmentation, and reads these and other usual
folders. The values in a mask are classes, or its colours are, if a list of colours says so. Label maps come back
exactly. (Ultralytics' polygons are the format `yolo`.)

out/  data.yaml                     `masks_dir: masks`, the folders of pictures, and the names of ids from 0 on
      images/{train,val}/NAME.jpg   pictures, as they are
      masks/{train,val}/NAME.png    8-bit grey PNG: 0 background, 255 ignore, else the class id

in/  images/NAME.jpg, masks/NAME.png      also img, imgs, image, img_dir or data; mask, label, labels, annotations,
                                          ann_dir, gt or gts; also NAME_mask.png of NAME.jpg or NAME_sat.jpg
     images/train/…, masks/train/…        or train/images/…, train/masks/…, likewise val/ and test/
     NAME.jpg, NAME_mask.png              beside each other
     classes.txt                          or another list (class_lists.py)

Public data sets as they are distributed (public_sets.py). Void is 255, and nothing is background:

in/  gtFine/, leftImg8bit/                     Cityscapes: 27 classes
     annotations/, images/, objectInfo150.txt   ADE20K: 150 classes
     SPLITannot/, SPLIT/                        CamVid, SegNet's: 11 classes
     annotations/val2017/, images/val2017/      COCO-Stuff: 27 coarse classes; also stuffthingmaps_trainval2017/

Label maps alone, to compare with: in labels/, masks/ or the folder itself, with or without pictures in images/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...config.class_names import BACKGROUND, MAX_CLASSES
from ...errors import UserError
from ...files.label_maps import IGNORE, map_folder
from ...files.names import BATCHES, CONFIG
from ...files.photo_files import named_images
from ...rows.values import SPLITS, part_of
from .. import native
from ..class_lists import ClassList, described, find_class_list
from ..encoding import encode_grey
from ..sample import Sample, flat_name
from .exporting import Export
from .labelled import Pair
from .public_sets import find_published, read_published
from .set_files import ends_of, images_by_name, top_folder
from .source import Contents, Source
from .what_is_there import Unread
from .yolo import IMAGES, MASKS, write_data

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "img_dir", "data")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "ann_dir", "gt", "gts")
ENDINGS = ("_mask", "-mask", "_masks", "_cp_masks", "_label", "_labels", "_gt", "_seg", "_segmentation")
"""Endings of masks' names: a_mask.png may be the mask of a.jpg."""
IMAGE_ENDINGS = ("_sat", "_img", "_image")
"""Endings of pictures' names: a_mask.png may be the mask of a_sat.jpg."""
PNG = "*.[pP][nN][gG]"
MASKS_KEY = "masks_dir"


class Folders(NamedTuple):
    """A folder of pictures and the folder of their masks, which may be the same folder."""

    split: str | None
    images: Path
    masks: Path


def write(export: Export) -> None:
    """Writes Ultralytics' folders for semantic segmentation."""
    # Programs replace the last folder `images` of a picture's path by `masks`, so names must not have such a folder.
    export.names = [flat_name(name) if IMAGES in name.split("/")[:-1] else name for name in export.names]
    for placed in export.placed(grey):
        export.put(f"{IMAGES}/{placed.split}/{placed.file_name}", placed.picture)
        export.put(f"{MASKS}/{placed.split}/{placed.name}.png", placed.encoded)
    write_data(export, (BACKGROUND, *export.classes), f"{MASKS_KEY}: {MASKS}\n")


def grey(sample: Sample, labels: np.ndarray) -> bytes:
    """A label map (H, W) as a grey PNG. From a palette PNG, Ultralytics would read colours."""
    return encode_grey(labels)


def is_folder(folder: Path) -> bool:
    """Whether a folder is of the format. SeeDiff's own folders, perhaps unfinished, are not."""
    own = any((folder / name).exists() for name in (native.METADATA, CONFIG, BATCHES))
    return find_published(folder) is not None or (not own and any(True for _ in _folders(folder)))


def _folders(root: Path) -> Iterator[Folders]:
    """The folders of pictures and masks in `root`, and in its folders of splits, such as train/."""
    parts = [part for part in SPLITS if (root / IMAGES / part).is_dir()]
    if parts and described(root):
        yield from (Folders(part, root / IMAGES / part, root / MASKS / part) for part in parts)
        return
    yield from _pairs(root, None)
    for path in sorted(filter(Path.is_dir, root.glob("*"))):
        if part_of(path.name):
            yield from _pairs(path, part_of(path.name))


def _pairs(base: Path, split: str | None) -> Iterator[Folders]:
    """The folders of pictures and masks in the folder of a split, or in the root, whose split is None."""
    images = _usual(base, IMAGE_FOLDERS)
    masks = [path for path in _usual(base, MASK_FOLDERS) if any(path.rglob(PNG))]
    if images and masks:
        yield Folders(split, images[0], masks[0])
    elif any(path.stem.endswith(ENDINGS) for path in base.glob(PNG)):
        yield Folders(split, base, base)


def _usual(base: Path, names: Sequence[str]) -> list[Path]:
    """The folders in `base` with one of these names, in any case, in the order of the names."""
    folders = {path.name.lower(): path for path in sorted(base.glob("*")) if path.is_dir()}
    return [folders[name] for name in names if name in folders]


def read(source: Source) -> Contents:
    """Reads pictures and PNG masks. The first of these layouts that applies is read:

    a public set (public_sets.py)      unless `classes`, `images` or `masks` are given
    label maps alone                   only to compare label maps, without data.yaml or pairs of folders
    usual folders, NAME_mask.png       unless `images` or `masks` are given
    the folders `images` and `masks`

    The classes are the names in a list (class_lists.py) in or beside the folders, or in data.yaml.

    If the set has a single class, grey masks with the values 0 and 255 alone show this class as 255. In all other
    masks, 255 is ignored. If the numbers are of objects, each number above 0 is an object of the single class. Raises
    UserError.
    """
    images = source.images
    masks = source.masks
    void = source.void
    root = source.path
    folders = [*_folders(source.path)]
    published = find_published(root) if not (source.classes or images or masks or source.truth) else None
    if published is not None:
        if void:
            raise UserError("void", f"is only for plain folders of label maps; {root} names its own", "leave it out")
        class_list, found = read_published(source, published)
        return source.masks_of(found, class_list, about=str(class_list.where))
    about = ""
    if images or masks:
        image_folders, mask_folders = [*_usual(root, IMAGE_FOLDERS), root], [*_usual(root, MASK_FOLDERS), root]
        folders = [Folders(None, images or image_folders[0], masks or mask_folders[0])]
    if source.labels_alone and described(root) is None and (map_folder(root) != root or not folders):
        about = f"label maps in {map_folder(root)}"
        class_list, found = _labels_alone(source, about)
    else:
        class_list, found = _from_folders(source, folders)
    if source.truth is not None and 0 not in source.truth.ids.values():
        class_list = _from_1(class_list)
    class_list = replace(class_list, ids={**class_list.ids, **dict.fromkeys(void, IGNORE)})
    return source.masks_of(found, class_list, single=described(root) is None, about=about)


def _from_1(class_list: ClassList) -> ClassList:
    """The class list of predictions, where nothing in the labels is background. A 0 can then only be the first class of
    a list that counts from 0: it has no id, if the list does not name it."""
    if class_list.colours is not None or not class_list.named or 0 in class_list.named:
        return class_list
    ids = {number: class_id for number, class_id in class_list.ids.items() if number}
    rule = "its lines are ids from 1 on, unless each begins with its id, and the data has no background"
    return replace(class_list, ids=ids, where=f"{class_list.where}: {rule}")


def _labels_alone(source: Source, about: str) -> tuple[ClassList, list[Pair]]:
    """The classes and the label maps of a folder whose pictures may be missing. about: the set's name in errors. Raises
    UserError."""
    num_classes = source.num_classes
    where = map_folder(source.path)
    maps = named_images(where)
    above = filter(described, [where.parent.parent])  # of a folder such as masks/train
    class_list = find_class_list(where, where.parent, *above, classes=source.classes, note=source.note)
    if class_list is None and num_classes is not None:
        if not 1 <= num_classes <= MAX_CLASSES:
            raise UserError("num_classes", f"{num_classes} must be between 1 and {MAX_CLASSES}")
        numbers = range(num_classes)
        class_list = ClassList(tuple(map(str, numbers)), {number: number + 1 for number in numbers}, where=about)
    class_list = class_list or source.truth
    if class_list is None:
        fix = "add a classes.txt of names from id 1 on, or lines `id name`; `evaluate segments` takes --num-classes"
        raise UserError(source.path, "nothing says what the ids of its label maps mean", fix)
    images = dict[str, Path]()
    if source.truth is None:
        images = images_by_name(source.path / IMAGE_FOLDERS[0])
    return class_list, [Pair(None, name, images.get(name), path) for name, path in maps]


def _from_folders(source: Source, folders: Sequence[Folders]) -> tuple[ClassList, list[Pair]]:
    """The classes, and the masks in the folders with their pictures. Raises UserError."""
    root = source.path
    if not folders:
        problem = f"has no {IMAGE_FOLDERS[0]}/ and {MASK_FOLDERS[0]}/ with PNG masks, and no NAME{ENDINGS[0]}.png"
        raise Unread(root, problem)
    for path in sorted(filter(Path.is_dir, root.glob("*"))):
        if part_of(path.name) is None and any(one.split for one in folders) and any(_pairs(path, None)):
            source.note(f"{path} is not read: its name is none of {', '.join(SPLITS)}")
    places = [root, *(one.masks for one in folders), *(one.masks.parent for one in folders)]
    class_list = find_class_list(*places, classes=source.classes, note=source.note)
    if class_list is None:
        problem = "nothing says what the masks' values mean"
        raise UserError(root, problem, "name the ids from 1 up with --classes or a classes.txt")
    return class_list, list(chain(*(_with_pictures(source, one) for one in folders)))


def _with_pictures(source: Source, folders: Folders) -> list[Pair]:
    """Each mask with its picture. Pictures without a mask are left out, with a note. Raises UserError for a mask
    without a picture, or with two."""
    split, images, masks = folders
    maps = [(name, path) for name, path in named_images(masks) if images != masks or name.endswith(ENDINGS)]
    files = {path for _, path in maps}
    photos = {name: path for name, path in images_by_name(images).items() if path not in files}
    # What a mask's name may begin with → the picture's name, the likeliest last
    names = {name.removesuffix(own): name for own in IMAGE_ENDINGS for name in photos}
    names |= {path.relative_to(images).as_posix(): name for name, path in photos.items()}
    names |= {name: name for name in photos}
    found = list[Pair]()
    labelled = dict[str, Path]()
    for key, path in maps:
        stems = [key.removesuffix(ending) for ending in ("", *ENDINGS) if key.endswith(ending)]
        ends = [end for stem in stems for end in ends_of(stem)]
        name = next((names[end] for end in ends if end in names), None)
        if name is None:
            source.leave_out(path, stems[-1], [images])
            continue
        if name in labelled:
            raise UserError(path, f"is a mask of {photos[name]}, and so is {labelled[name]}", "keep one")
        labelled[name] = path
        part = split
        if split is None and name not in stems:  # pictures are in one folder, and masks in one for each part
            part = top_folder(key)
        found.append(Pair(part, name, photos[name], path))
    return found
