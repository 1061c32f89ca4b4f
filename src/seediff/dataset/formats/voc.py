"""Writes and reads Pascal VOC 2012's folders for segmentation. Label maps come back exactly.

out/  JPEGImages/NAME.jpg                    pictures, as they are (PNG files stay PNG unless JPEG is asked for)
      SegmentationClass/NAME.png             palette PNG: 0 background, 255 ignore, else the class id
      SegmentationObject/NAME.png            optional: 0 background, 255 ignore, else the object's number
      Annotations/NAME.xml                   optional: boxes of the objects
      ImageSets/Segmentation/{train,val,trainval}.txt   names, one per line
      classes.txt                            not part of VOC: line i (from 0) names id i
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ...config.names import VOC_CLASSES
from ...errors import UserError
from ...files.pictures import open_picture
from ...files.reading import inside, read_lines
from .. import native
from ..class_lists import WEIGHTS, ClassList, check_meaning, find_list, named_classes, read_mask, voc_colours
from ..encoding import Instances
from ..labels import find_voc
from ..rows import check_name, flat_name
from ..sample import SPLITS, Sample
from ..shapes.objects import Objects
from .drivers import Export, Source
from .label_files import PARTS

IMAGES, CLASS_MAPS, OBJECT_MAPS, BOXES, LISTS = (
    "JPEGImages",
    "SegmentationClass",
    "SegmentationObject",
    "Annotations",
    "ImageSets/Segmentation",
)
TRAINVAL = "trainval"
SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
MAX_OBJECTS = 254  # object maps are uint8 too, and 0 and 255 are reserved


def write(export: Export, *, min_area: int = 1, objects: bool = False, boxes: bool = False, jpeg: bool = False) -> None:
    """Pascal VOC's folders. objects: also write SegmentationObject. boxes: also write Annotations, with a box per
    object. min_area, with one of them: pieces with fewer pixels do not count as objects. jpeg: convert PNG pictures to
    JPEG of quality 95, because some readers open only NAME.jpg."""
    if min_area != 1 and not (objects or boxes):
        raise UserError("min_area", f"{min_area} needs --objects or --boxes; without them, no objects are written")
    check_meaning(export.classes, ignored=())
    counts: Counter[str] = Counter()
    for placed in export.placed(convert, objects=objects, boxes=boxes, min_area=min_area, jpeg=jpeg):
        files, counted = placed.data
        counts.update(counted)
        if IMAGES not in files:
            counts["png"] += placed.sample.suffix != "jpg"
            export.put_image(f"{IMAGES}/{placed.file_name}", placed)
        for folder, (suffix, data) in files.items():
            export.put(f"{folder}/{placed.name}.{suffix}", data)
    lists = {
        "train": ["train"],
        "val": ["val"],
        TRAINVAL: ["train", "val"],
        **({"test": ["test"]} if "test" in export.parts else {}),
    }
    for title, splits in lists.items():
        names = (name for name, split in zip(export.names, export.splits, strict=True) if split in splits)
        export.put(f"{LISTS}/{title}.txt", "".join(f"{name}\n" for name in names))
    export.put(native.CLASSES, native.classes_text(export.classes))
    if png := counts["png"]:
        export.note(
            f"{png} pictures stay PNG files in {IMAGES}; --jpeg writes them anew, for readers that open NAME.jpg only"
        )
    if small := counts["small"]:
        export.note(
            f"{small} pieces below {min_area} pixels are no objects (255 in {OBJECT_MAPS}); {CLASS_MAPS} has them"
        )
    if many := counts["many"]:
        export.note(f"{many} objects beyond {MAX_OBJECTS} in an image, the smallest, are 255 in {OBJECT_MAPS}")


def convert(
    sample: Sample, *, classes: Sequence[str], objects: bool, boxes: bool, min_area: int, jpeg: bool
) -> tuple[dict[str, tuple[str, bytes]], dict[str, int]]:
    """The new files of a sample, folder → (suffix, bytes); and counts: pieces too small to be objects, and objects
    beyond MAX_OBJECTS, which have no number."""
    labels = sample.labels(len(classes))
    files = {CLASS_MAPS: ("png", sample.mask_data(labels))}
    if jpeg and sample.suffix != "jpg":
        files[IMAGES] = ("jpg", native.encode_image(sample.image, "jpg"))
    if not objects and not boxes:
        return files, {}
    pieces = sample.objects(labels, min_area)
    if objects:
        files[OBJECT_MAPS] = ("png", native.encode_mask(object_map(labels, pieces)))
    if boxes:
        file_name = f"{flat_name(sample.name)}.{'jpg' if jpeg else sample.suffix}"
        with open_picture(sample.stored(), sample.where) as picture:
            size = (picture.height, picture.width, len(picture.getbands()))
        files[BOXES] = ("xml", annotation(file_name, size, pieces, classes))
    return files, {"small": pieces.small, "many": max(0, len(pieces.areas) - MAX_OBJECTS) if objects else 0}


def object_map(labels: np.ndarray, objects: Objects) -> np.ndarray:
    """(H, W) uint8: objects from 1; 255 where the label map is 255, or has a class but no numbered object; else 0."""
    order = np.argsort([-area for area in objects.areas], kind="stable")[:MAX_OBJECTS]
    numbers = np.full(len(objects.areas) + 1, native.IGNORE, np.uint8)
    numbers[np.sort(order)] = np.arange(len(order)) + 1
    return np.where(labels == 0, np.uint8(0), numbers[objects.index])  # index −1, no object, takes the last entry, 255


def annotation(file_name: str, size: tuple[int, int, int], objects: Objects, classes: Sequence[str]) -> bytes:
    """VOC's XML file with the boxes of objects: corners count from 1, and both are in the box. size: height, width and
    bands of the picture.

    An object that reaches the picture's edge is `truncated`.
    """
    height, width, depth = size
    root = ElementTree.Element("annotation")
    for tag, text in (("folder", IMAGES), ("filename", file_name)):
        ElementTree.SubElement(root, tag).text = text
    ElementTree.SubElement(ElementTree.SubElement(root, "source"), "database").text = "SeeDiff"
    _fill(ElementTree.SubElement(root, "size"), {"width": width, "height": height, "depth": depth})
    ElementTree.SubElement(root, "segmented").text = "1"
    for class_id, (left, top, right, bottom) in zip(objects.class_ids, objects.boxes_xyxy, strict=True):
        truncated = left == 0 or top == 0 or right == width or bottom == height
        node = ElementTree.SubElement(root, "object")
        _fill(node, {"name": classes[class_id - 1], "pose": "Unspecified", "truncated": int(truncated), "difficult": 0})
        _fill(
            ElementTree.SubElement(node, "bndbox"), {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom}
        )
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, encoding="utf-8") + b"\n"


def _fill(node: ElementTree.Element, values: dict[str, str | int]) -> None:
    for tag, value in values.items():
        ElementTree.SubElement(node, tag).text = str(value)


def is_folder(folder: Path) -> bool:
    return find_voc(folder) is not None


def read(
    source: Source, *, split: str | None = None, classes: Sequence[str] | None = None, images: Path | str | None = None
) -> tuple[tuple[str, ...], list[Sample]]:
    """A Pascal VOC folder, or the VOCdevkit that holds it.

    split: the list in ImageSets/Segmentation to read, such as "train"; None: all lists together, or every label map if
    no list is of a part. Names without a mask are left out. classes: None: those of a list in the folder
    (class_lists.py), or else VOC's twenty. Colours in masks have the meaning given by the list or by VOC's palette.
    images: the folder of the pictures, if JPEGImages is a link that leads out of the folder.
    """
    if (root := find_voc(source.path)) is None:
        raise UserError(
            f"{source.path}: has no {CLASS_MAPS}; name the folder of a VOC data set that holds it, such as"
            " VOCdevkit/VOC2012"
        )
    listed = find_list(root, classes=classes) or named_classes(VOC_CLASSES if classes is None else classes)
    return listed.classes, _samples(source, root, split, listed, Path(images) if images is not None else None)


def _samples(source: Source, root: Path, split: str | None, listed: ClassList, images: Path | None) -> list[Sample]:
    folder, masks = images or root / IMAGES, root / CLASS_MAPS
    lists = {path.stem: _read_list(path) for path in sorted((root / LISTS).glob("*.txt")) if path.is_file()}
    named = _named(root, split, lists, folder)
    samples: list[Sample] = []
    for name, where in named.items():
        image = next((path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)
        check_name(name, set(), where)
        if image is None:
            source.no_picture(where, f"{folder} has no picture '{name}'")
            continue
        try:
            inside(images or root, image)
        except UserError as error:
            raise UserError(f"{error}; --images names a folder elsewhere that may be read") from error
        mask, numbers = masks / f"{name}.png", root / OBJECT_MAPS / f"{name}.png"
        if not mask.exists():
            continue
        within = {part for title, names in lists.items() if (part := PARTS.get(title.lower())) and name in names}
        inside(root, numbers)
        labels = partial(read_mask, mask, listed)
        objects = partial(_objects, labels, numbers) if numbers.is_file() else False
        row = {"split": within.pop()} if len(within) == 1 else {}
        samples.append(source.sample(name, image, labels, row, where, mask, objects=objects))
    unmasked = len(named) - len(samples) - source.missing
    if unmasked and not samples:
        name, where = next(iter(named.items()))
        raise UserError(f"{where}: {masks} has no mask of '{name}', nor of any other picture")
    if unmasked:
        source.note(f"{unmasked} of {len(named)} pictures have no mask in {CLASS_MAPS}: they are left out")
    return samples


def _objects(decode: Callable[[], np.ndarray], path: Path) -> Instances:
    """The objects of an object map: each value or colour is an object, with the class that most of its pixels have.
    decode: reads the label map."""
    labels = decode()
    with open_picture(path) as picture:
        pixels = np.asarray(picture if picture.mode in ("P", "L", "I", "I;16") else picture.convert("RGB"))
    if pixels.shape[:2] != labels.shape:
        raise UserError(f"{path}: is {pixels.shape[:2]}, but its label map is {labels.shape}; both are (height, width)")
    coloured = pixels.ndim == 3
    values = pixels @ WEIGHTS if coloured else pixels
    border = voc_colours(0).keys() if coloured else (0, native.IGNORE) if pixels.dtype == np.uint8 else (0,)
    values = np.where(np.isin(values, list(border)) | (labels == 0) | (labels == native.IGNORE), 0, values)
    known, numbers = np.unique(np.append(0, values), return_inverse=True)  # 0 comes first, even if no pixel has it
    numbers = numbers[1:].reshape(labels.shape)
    counts = np.bincount(numbers.ravel() * 256 + labels.ravel(), minlength=256 * len(known)).reshape(-1, 256)
    return Instances(numbers, tuple(counts[1:].argmax(1).tolist()))


def _named(root: Path, split: str | None, lists: Mapping[str, Mapping[str, str]], images: Path) -> dict[str, str]:
    """Name → where it is listed, for the samples of a split; None: of all, or of all label maps if there are none of
    VOC's own lists. lists: title → name → where. images: the folder of the pictures."""
    parts = {title: PARTS.get(title.lower(), title.lower()) for title in lists}
    if split is not None:
        if not (asked := [t for t in lists if t == split] or [t for t in lists if parts[t] == split]):
            raise UserError(f"{root / LISTS / split}.txt: there is no such file; --split names a list of {LISTS}")
        return {name: where for title in asked for name, where in lists[title].items()}
    masks, own = root / CLASS_MAPS, (TRAINVAL, *SPLITS)
    ours = sorted((title for title in lists if parts[title] in own), key=lambda title: own.index(parts[title]))
    if not ours:
        return {_name(path, masks): str(path) for path in sorted(masks.rglob("*.png"))}
    named: dict[str, str] = {}
    others = [title for title in lists if title not in ours]  # CVAT's subsets, or lists of something else than files
    folders = (masks, images) if others else ()
    files = {_name(path, folder) for folder in folders for path in folder.rglob("*") if path.suffix in SUFFIXES}
    for title in (*ours, *others):
        for name, where in lists[title].items():
            if title in ours or name in files:
                named.setdefault(name, where)
    return named


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _read_list(path: Path) -> dict[str, str]:
    """Name → where it is listed, for errors."""
    return {line.strip(): f"{path}, line {number}" for number, line in enumerate(read_lines(path), 1) if line.strip()}
