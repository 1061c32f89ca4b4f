"""Writes and reads Pascal VOC 2012's folders for segmentation. Label maps come back exactly.

out/  JPEGImages/NAME.jpg                    pictures, as they are (PNG files stay PNG unless JPEG is asked for)
      SegmentationClass/NAME.png             palette PNG: 0 background, 255 ignore, else the class id
      ImageSets/Segmentation/{train,val,trainval}.txt   names, one per line
      classes.txt                            not part of VOC: `id name` in every line, from `0 background` on
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...config.class_names import BACKGROUND, VOC_CLASSES
from ...errors import UserError
from ...files.label_maps import named_images, visible
from ...files.photo_files import without_suffix
from ...files.reading import composed
from ...rows.parts import SPLITS, part_of
from .. import native
from ..class_lists import find_list, named_classes
from ..encoding import encode_image, encode_mask
from ..sample import Sample
from .drivers import Import, Pair
from .exporting import Export
from .format_table import VOC_YEAR, Contents
from .pictures import images_by_name
from .set_files import SetFiles

IMAGES, CLASS_MAPS = "JPEGImages", "SegmentationClass"
LISTS = "ImageSets/Segmentation"
PART_LISTS = ("trainval", *SPLITS)
"""Titles of the lists that name the pictures of a part. There may be other lists, such as cat_train.txt."""


def write(export: Export, *, jpeg: bool = False) -> None:
    """Writes Pascal VOC's folders. jpeg: convert PNG pictures to JPEG files of quality 95, because some programs open
    only NAME.jpg."""
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
    lines = [f"{number} {name}\n" for number, name in enumerate((BACKGROUND, *export.classes))]
    export.put(native.CLASSES, "".join(lines))
    export.count(stay, f"pictures stay PNG files in {IMAGES}; use --jpeg for readers that only open NAME.jpg")


def convert(sample: Sample, labels: np.ndarray, jpeg: bool) -> tuple[bytes, bytes | None]:
    """(label map, picture) of a sample: the bytes of a PNG, and those of a JPEG; None for a picture that is not
    converted. labels: the label map (H, W). jpeg: as for `write`."""
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


def read(
    source: Import,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    images: Path | None = None,
) -> Contents:
    """Reads a Pascal VOC folder, or the VOCdevkit that holds it.

    split: the list in ImageSets/Segmentation to read, such as "train"; None: all lists together, or all label maps if
    no list is of a part. classes: the classes in the order of their ids; None: the names in a list in the folder
    (class_lists.py), or else VOC's twenty. images: the folder of the pictures, if JPEGImages is a link that leads out
    of the folder.

    Pictures without a label map are left out. The colours in masks mean what a list of colours says, or else what VOC's
    palette says. Raises UserError.
    """
    root = find_voc(source.path)
    if root is None:
        raise UserError(source.path, f"has no {CLASS_MAPS}", "name the folder that holds it, such as VOCdevkit/VOC2012")
    class_list = find_list(source.path, root, root / CLASS_MAPS, classes=classes, note=source.note)
    if class_list is None:
        class_list = replace(named_classes(VOC_CLASSES), where="VOC's twenty: there is no list")
    folder, masks = images or root / IMAGES, root / CLASS_MAPS
    image_paths, maps = images_by_name(folder), dict(named_images(masks))
    if not maps:
        raise UserError(masks, "has no PNG file")
    known = {*image_paths, *maps}
    lists = {path.stem: _names_in(source.files, path, known) for path in sorted(visible(root / LISTS, "*.txt"))}
    titles = {title: part_of(title) or title for title in lists if (part_of(title) or title) in PART_LISTS}
    if split is not None:
        titles = {title: part_of(title) or title for title in lists if split == title} or {
            title: part for title, part in titles.items() if part == part_of(split)
        }
        if not titles:
            raise UserError(root / LISTS / f"{split}.txt", f"no such file; --split names a list of {LISTS}")
    # Name → (part, where it is listed). Of several parts, the last counts, so that none for testing is trained on.
    named = {name: ("", str(path)) for name, path in maps.items()} if not titles else dict[str, tuple[str, str]]()
    for title in sorted(titles, key=lambda title: [*PART_LISTS, titles[title]].index(titles[title])):
        part = titles[title] if titles[title] in SPLITS else ""
        named |= {name: (part or named.get(name, ("", ""))[0], where) for name, where in lists[title].items()}
    found, left = list[Pair](), 0
    for name, (part, where) in named.items():
        image, mask = image_paths.get(name), maps.get(name)
        if mask is None and source.labels_alone:
            raise UserError(masks / f"{name}.png", f"no such file, but {where} lists it")
        if image is None and not source.labels_alone:
            source.leave_out(where, name, [folder])
        elif mask is None:
            left += 1
        else:
            found.append(Pair(part, name, image, mask, where))
    if left and not found:
        raise UserError(masks, f"has no mask of '{next(iter(named))}' or of any other picture")
    source.count(
        len(maps.keys() - named.keys()) * (split is None), f"masks are in no list of {', '.join(PART_LISTS)}: left out"
    )
    source.count(left, f"of {len(named)} pictures have no mask in {CLASS_MAPS}: they are left out")
    if (root / "SegmentationObject").is_dir():
        source.note("its objects (SegmentationObject) are not read; COCO, CVAT and labelme files can bring objects")
    return source.masks_of(found, class_list, about=f"Pascal VOC's folders in {root}, {split or 'all lists'}")


def _names_in(files: SetFiles, path: Path, known: Collection[str]) -> dict[str, str]:
    """Name → file and line that name it, for a list in ImageSets/Segmentation. A line is a name, a picture's file name,
    or several columns such as `/JPEGImages/a.jpg /SegmentationClass/a.png`. path: the list's file. known: the names of
    pictures and label maps."""
    found: dict[str, str] = {}
    for number, line in enumerate(files.lines(path), 1):
        line = composed(line.strip())
        for first in line.split()[:1]:
            forms = line, first, without_suffix(first.removeprefix("/").removeprefix(f"{IMAGES}/"))
            found.setdefault(next((one for one in forms if one in known), line), f"{path}, line {number}")
    return found
