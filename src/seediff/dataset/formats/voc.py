"""Writes and reads Pascal VOC 2012's folders for segmentation. Label maps come back exactly.

out/  JPEGImages/NAME.jpg                    pictures, as they are (PNG files stay PNG unless JPEG is asked for)
      SegmentationClass/NAME.png             palette PNG: 0 background, 255 ignore, else the class id
      ImageSets/Segmentation/{train,val,trainval}.txt   names, one per line
      classes.txt                            not part of VOC: `id name` in every line, from `0 background` on
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...config.class_names import BACKGROUND, VOC_CLASSES
from ...files.photo_files import named_images
from .. import native
from ..class_lists import find_class_list, named_classes
from ..encoding import encode_image, encode_mask
from ..sample import Sample
from .exporting import Export
from .format_table import VOC_YEAR
from .labelled import Pair
from .parts import find_part_lists
from .set_files import images_by_name
from .source import Contents, Source
from .what_is_there import Unread

IMAGES = "JPEGImages"
CLASS_MAPS = "SegmentationClass"
LISTS = "ImageSets/Segmentation"


def write(export: Export) -> None:
    """Writes Pascal VOC's folders, with JPEG files alone if the user wants it: some programs open only NAME.jpg."""
    stay = 0
    for placed in export.placed(convert, jpeg=export.options.jpeg):
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
    lines = [f"{number} {name}\n" for number, name in enumerate((BACKGROUND, *export.classes))]
    export.put(native.CLASSES, "".join(lines))
    export.count(stay, f"image kept as PNG in {IMAGES}; use --jpeg for readers that only open NAME.jpg")


def convert(sample: Sample, labels: np.ndarray, jpeg: bool) -> tuple[bytes, bytes | None]:
    """(label map, picture) of a sample: the bytes of a PNG, and those of a JPEG; None for a picture that is not
    converted. labels: the label map (H, W). jpeg: as in `ExportOptions`."""
    label_map = encode_mask(labels)
    if jpeg and sample.suffix != "jpg":
        return label_map, encode_image(sample.image, "jpg")
    return label_map, None


def find_voc(folder: Path) -> Path | None:
    """The folder that contains SegmentationClass/; None if there is no such folder. It is `folder` itself, or else the
    folder of a year in it or in its VOCdevkit/. VOC2012 goes before other years."""
    years = sorted(folder.glob(VOC_YEAR)) + sorted((folder / "VOCdevkit").glob(VOC_YEAR))
    roots = [folder, *sorted(years, key=lambda path: (path.name != "VOC2012", path.parent != folder))]
    return next((root for root in roots if (root / CLASS_MAPS).is_dir()), None)


def read(source: Source) -> Contents:
    """Reads a Pascal VOC folder, or the VOCdevkit that holds it: the images in the lists of parts in
    ImageSets/Segmentation, or all label maps if there is none. The classes are the names in a list in the folder
    (class_lists.py), or else VOC's twenty. Pictures without a label map are left out. The colours in masks mean what a
    list of colours says, or else what VOC's palette says. Raises UserError."""
    root = find_voc(source.path) or source.path
    masks = source.masks or root / CLASS_MAPS
    maps = named_images(masks)
    if not maps:
        fix = "--masks names their folder; or name the folder that holds it, such as VOCdevkit/VOC2012"
        raise Unread(root, f"has no {CLASS_MAPS} with PNG files", fix)
    class_list = find_class_list(source.path, root, masks, classes=source.classes, note=source.note)
    class_list = class_list or source.truth
    if class_list is None:
        class_list = replace(named_classes(VOC_CLASSES), where="VOC's twenty: there is no list")
    folder = source.images or root / IMAGES
    image_paths = images_by_name(folder)
    has_lists = bool(find_part_lists(source.files, root))
    found = list[Pair]()
    for name, mask in maps:
        if name not in image_paths and not source.labels_alone:
            source.leave_out(mask, name, [folder])
        else:
            found.append(Pair("", name, image_paths.get(name), mask, needs_list=has_lists))
    split = source.split
    if split is None and source.is_truth:  # papers compare methods on the images in val.txt
        lists = find_part_lists(source.files, root, "val")
        if any(source.files.lines(path) for _, path in lists):
            split = "val"
    if (root / "SegmentationObject").is_dir():
        source.note("its objects (SegmentationObject) are not read; COCO, CVAT and labelme files can bring objects")
    about = f"Pascal VOC's folders in {root}, {split or 'all lists'}"
    return source.masks_of(found, class_list, root=root, split=split, about=about)
