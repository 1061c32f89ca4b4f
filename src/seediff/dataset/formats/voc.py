"""Writes and reads Pascal VOC 2012's folders for segmentation. Label maps come back exactly.

out/  JPEGImages/NAME.jpg                    pictures, as they are (PNG files stay PNG unless JPEG is asked for)
      SegmentationClass/NAME.png             palette PNG: 0 background, 255 ignore, else the class id
      SegmentationObject/NAME.png            not written, only read: 0 background, 255 ignore, else the object's number
      ImageSets/Segmentation/{train,val,trainval}.txt   names, one per line
      classes.txt                            not part of VOC: line i (from 0) names id i
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ...config.class_names import VOC_CLASSES
from ...errors import UserError
from ...files.image_files import open_image, stored_pixels
from ...files.label_maps import IGNORE, named_images, visible, walk
from ...files.photo_files import without_suffix
from ...files.reading import composed, inside, read_lines
from .. import native
from ..class_lists import WEIGHTS, find_list, named_classes, voc_colours
from ..encoding import Instances, ReadLabels, encode_image, encode_mask
from ..rows import SPLITS
from ..sample import Sample
from ..stored_masks import read_mask, with_single
from .drivers import Export, Import
from .format_table import Candidate, Contents
from .label_files import PARTS, images_by_name

IMAGES, CLASS_MAPS, OBJECT_MAPS = "JPEGImages", "SegmentationClass", "SegmentationObject"
LISTS = "ImageSets/Segmentation"
PART_LISTS = ("trainval", *SPLITS)
"""The lists that name files of parts. Other programs add lists of something else."""


def write(export: Export, *, jpeg: bool = False) -> None:
    """Pascal VOC's folders. jpeg: convert PNG pictures to JPEG with quality 95, because some readers open only
    NAME.jpg."""
    stay = 0
    for placed in export.placed(convert, jpeg=jpeg):
        label_map, image = placed.encoded
        if image is None:
            stay += placed.sample.suffix != "jpg"
            export.put(f"{IMAGES}/{placed.file_name}", placed.picture)
        else:
            export.put(f"{IMAGES}/{placed.name}.jpg", image)
        export.put(f"{CLASS_MAPS}/{placed.name}.png", label_map)
    lists = {"train": ("train",), "val": ("val",), "trainval": ("train", "val")}
    if "test" in export.parts:
        lists["test"] = ("test",)
    for title, splits in lists.items():
        names = (name for name, split in zip(export.names, export.splits, strict=True) if split in splits)
        export.put(f"{LISTS}/{title}.txt", "".join(f"{name}\n" for name in names))
    export.put(native.CLASSES, native.classes_text(export.classes))
    export.count(stay, f"pictures stay PNG files in {IMAGES}; use --jpeg for readers that only open NAME.jpg")


def convert(sample: Sample, labels: np.ndarray, jpeg: bool) -> tuple[bytes, bytes | None]:
    """(label map, picture) of a sample: the bytes of its label map's file, and of a JPEG if the picture is
    converted."""
    label_map = encode_mask(labels)
    if jpeg and sample.suffix != "jpg":
        return label_map, encode_image(sample.image, "jpg")
    return label_map, None


def find_voc(folder: Path) -> Path | None:
    """The folder with SegmentationClass/: this folder, or a year's folder in it or in its VOCdevkit/, VOC2012 first;
    None without one."""
    year = "VOC2[0-9][0-9][0-9]"
    years = sorted(folder.glob(year)) + sorted((folder / "VOCdevkit").glob(year))
    roots = [folder, *sorted(years, key=lambda path: (path.name != "VOC2012", path.parent != folder))]
    return next((root for root in roots if (root / "SegmentationClass").is_dir()), None)


def is_folder(candidate: Candidate) -> bool:
    return find_voc(candidate.path) is not None


def read(
    source: Import,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    images: Path | None = None,
) -> Contents:
    """A Pascal VOC folder, or the VOCdevkit that holds it.

    split: the list in ImageSets/Segmentation to read, such as "train"; None: all lists together, or every label map if
    no list is of a part. Names without a mask are left out. classes: the classes in the order of their ids; None: the
    names in a list in the folder (class_lists.py), or else VOC's twenty. images: the folder of the pictures, if
    JPEGImages is a link that leads out of the folder. The list, or else VOC's palette, says what colours in masks mean.
    """
    root = find_voc(source.path)
    if root is None:
        raise UserError(source.path, f"has no {CLASS_MAPS}", "name the folder that holds it, such as VOCdevkit/VOC2012")
    class_list = find_list(root, classes=classes, note=source.note)
    class_list = class_list or named_classes(VOC_CLASSES if classes is None else classes)
    folder, masks = images or root / IMAGES, root / CLASS_MAPS
    image_paths, maps = images_by_name(folder), dict(named_images(masks))
    if not maps:
        held = ", ".join(sorted({path.suffix or path.name for path in walk(masks)})[:5]) or "nothing"
        fix = "masks are PNG files"
        if (root / f"{CLASS_MAPS}PNG").is_dir():
            fix = f"put {CLASS_MAPS}PNG, which labelme writes, in its place: remove it, and rename that folder"
        raise UserError(masks, f"has no PNG file; it holds {held}", fix)
    known, files = {*image_paths, *maps}, sorted(filter(Path.is_file, visible(root / LISTS, "*.txt")))
    lists = [_read_list(path, known) for path in files]
    named = {name: str(path) for name, path in maps.items()}
    if split is not None or any(one.part in PART_LISTS for one in lists):
        named = _names_of(split, lists, known, root)
    class_list = with_single(class_list, [maps[name] for name in named if name in maps], source.note)
    samples, left, both = list[Sample](), 0, 0
    for name, where in named.items():
        image, mask = image_paths.get(name), maps.get(name)
        if source.labels_alone:
            if mask is None:
                raise UserError(masks / f"{name}.png", f"no such file, but {where} lists it")
            samples.append(source.sample(name, image, partial(read_mask, mask, class_list), where))
        elif image is None:
            source.no_image(where, f"{folder} has no picture '{name}'")
        elif mask is None:
            left += 1
        else:
            inside(images or root, image)
            labels, numbers = partial(read_mask, mask, class_list), root / OBJECT_MAPS / mask.relative_to(masks)
            objects = partial(_objects, labels, numbers) if numbers.is_file() else None
            within = {one.part for one in lists if one.part in SPLITS and name in one.names}
            both += len(within) > 1
            part = next((one for one in reversed(SPLITS) if one in within), None)
            samples.append(source.sample(name, image, labels, where, mask, numbers, split=part, objects=objects))
    if left and not samples:
        raise UserError(masks, f"has no mask of '{next(iter(named))}' or of any other picture")
    source.count(both, f"pictures are in several lists of {LISTS}: a list for validation or testing counts")
    source.count(left, f"of {len(named)} pictures have no mask in {CLASS_MAPS}: they are left out")
    about = f"Pascal VOC's folders in {root}, {split or 'all lists'}"
    return Contents(class_list.classes, samples, class_list.ids, about)


@dataclass(frozen=True)
class NameList:
    """A list in ImageSets/Segmentation."""

    title: str
    names: Mapping[str, str]
    """Name → the file and line that has it."""

    @property
    def part(self) -> str:
        """SeeDiff's name of the split with this title, or else the title in small letters."""
        return PARTS.get(self.title.lower(), self.title.lower())


def _read_list(path: Path, known: Collection[str]) -> NameList:
    """A list, whose lines may be a name, a name with a picture's suffix, or more columns. known: the names of pictures
    and masks."""
    found: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        line = composed(line.strip())
        for first in line.split()[:1]:
            paths = line, first, first.removeprefix("/").removeprefix(f"{IMAGES}/")
            name = next((one for one in (line, *map(without_suffix, paths)) if one in known), line)
            found.setdefault(name, f"{path}, line {number}")
    return NameList(path.stem, found)


def _names_of(split: str | None, lists: Sequence[NameList], known: Collection[str], root: Path) -> dict[str, str]:
    """Name → where it is listed, for a split. None: for all lists, those of parts first; of other lists, which may name
    something else, only the names of pictures and masks, `known`. Raises UserError."""
    chosen = sorted(lists, key=lambda one: (*PART_LISTS, one.part).index(one.part))
    if split is not None:
        chosen = [one for one in lists if one.title == split] or [one for one in lists if one.part == split]
        if not chosen:
            raise UserError(root / LISTS / f"{split}.txt", f"no such file; --split names a list of {LISTS}")
    named: dict[str, str] = {}
    for one in chosen:
        for name, where in one.names.items():
            if split is not None or one.part in PART_LISTS or name in known:
                named.setdefault(name, where)
    return named


def _objects(decode: ReadLabels, path: Path) -> Instances:
    """The objects of an object map: each value or colour is an object, with the class that most of its pixels have.
    decode: reads the label map. Raises UserError."""
    labels = decode()
    with open_image(path) as image:
        pixels, mode = stored_pixels(image)
        if mode not in ("P", "L", "I", "I;16"):
            pixels = np.asarray(image.convert("RGB"))
    if pixels.shape[:2] != labels.shape:
        raise UserError(path, f"is {pixels.shape[:2]}, but its label map is {labels.shape}; both are (height, width)")
    values, border = pixels, [0]
    if pixels.ndim == 3:
        values, border = pixels @ WEIGHTS, [*voc_colours(0)]
    elif pixels.dtype == np.uint8:
        border = [0, IGNORE]
    values = np.where(np.isin(values, border) | (labels == 0) | (labels == IGNORE), 0, values)
    found, numbers = np.unique(np.append(0, values), return_inverse=True)  # 0 comes first, even if no pixel has it
    numbers = numbers[1:].reshape(labels.shape)
    counts = np.bincount(numbers.ravel() * 256 + labels.ravel(), minlength=256 * len(found)).reshape(-1, 256)
    return Instances(numbers, tuple(counts[1:].argmax(1).tolist())).visible()
