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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from ...config.names import VOC_CLASSES
from ...errors import UserError
from ...files.pictures import open_picture
from ...files.reading import composed, inside, read_lines
from .. import native
from ..class_lists import WEIGHTS, check_meaning, find_list, named_classes, read_mask, voc_colours
from ..encoding import Instances
from ..labels import find_voc
from ..rows import flat_name
from ..sample import SPLITS, Sample
from ..shapes.objects import Objects
from .drivers import Export, Source
from .label_files import PARTS, named_pictures

IMAGES, CLASS_MAPS, OBJECT_MAPS, BOXES = "JPEGImages", "SegmentationClass", "SegmentationObject", "Annotations"
LISTS = "ImageSets/Segmentation"
OWN = ("trainval", *SPLITS)
"""Other programs add lists of something else than files."""
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
    for title in (*SPLITS[:2], OWN[0], *(["test"] if "test" in export.parts else [])):
        splits = OWN[1:3] if title == OWN[0] else (title,)
        names = (name for name, split in zip(export.names, export.splits, strict=True) if split in splits)
        export.put(f"{LISTS}/{title}.txt", "".join(f"{name}\n" for name in names))
    export.put(native.CLASSES, native.classes_text(export.classes))
    stay = f"pictures stay PNG files in {IMAGES}; use --jpeg for readers that only open NAME.jpg"
    export.count(counts["png"], stay)
    small = f"pieces below {min_area} pixels are not objects (255 in {OBJECT_MAPS}); {CLASS_MAPS} has them"
    export.count(counts["small"], small)
    export.count(counts["many"], f"objects beyond {MAX_OBJECTS} in an image, the smallest, are 255 in {OBJECT_MAPS}")


def convert(
    sample: Sample, *, classes: Sequence[str], objects: bool, boxes: bool, min_area: int, jpeg: bool
) -> tuple[dict[str, tuple[str, bytes]], dict[str, int]]:
    """The new files of a sample, folder → (suffix, bytes); and counts of pieces that are no numbered objects."""
    labels = sample.labels(len(classes))
    files = {CLASS_MAPS: ("png", native.encode_mask(labels))}
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
    bands of the picture."""
    height, width, depth = size
    boxes = [
        f"\t<object>\n\t\t<name>{escape(classes[class_id - 1])}</name>\n\t\t<pose>Unspecified</pose>\n"
        f"\t\t<truncated>{int(left == 0 or top == 0 or right == width or bottom == height)}</truncated>\n"
        f"\t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{left + 1}</xmin>\n\t\t\t<ymin>{top + 1}</ymin>\n"
        f"\t\t\t<xmax>{right}</xmax>\n\t\t\t<ymax>{bottom}</ymax>\n\t\t</bndbox>\n\t</object>\n"
        for class_id, (left, top, right, bottom) in zip(objects.class_ids, objects.boxes_xyxy, strict=True)
    ]
    return (
        f"<annotation>\n\t<folder>{IMAGES}</folder>\n\t<filename>{escape(file_name)}</filename>\n"
        "\t<source>\n\t\t<database>SeeDiff</database>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n\t\t<depth>{depth}</depth>\n\t</size>\n"
        f"\t<segmented>1</segmented>\n{''.join(boxes)}</annotation>\n"
    ).encode()


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
        raise UserError(source.path, f"has no {CLASS_MAPS}", "name the folder that holds it, such as VOCdevkit/VOC2012")
    listed = find_list(root, classes=classes, note=source.note)
    listed = listed or named_classes(VOC_CLASSES if classes is None else classes)
    folder, masks = root / IMAGES if images is None else Path(images), root / CLASS_MAPS
    pictures = dict(reversed(named_pictures(folder)))  # NAME.jpg goes before NAME.png
    maps = {name: path for name, path in named_pictures(masks) if path.suffix.lower() == ".png"}
    lists = {path.stem: _read_list(path) for path in sorted((root / LISTS).glob("*.txt")) if path.is_file()}
    parts = {title: PARTS.get(title.lower(), title.lower()) for title in lists}
    if split is not None:
        asked = [title for title in lists if title == split] or [title for title in lists if parts[title] == split]
        if not asked:
            raise UserError(root / LISTS / f"{split}.txt", f"no such file; --split names a list of {LISTS}")
        named = {name: where for title in asked for name, where in lists[title].items()}
    elif set(OWN).isdisjoint(parts.values()):
        named = {name: str(path) for name, path in maps.items()}
    else:
        named: dict[str, str] = {}
        for title in sorted(lists, key=lambda title: (*OWN, parts[title]).index(parts[title])):
            known = lists[title] if parts[title] in OWN else lists[title].keys() & {*pictures, *maps}
            named |= {name: where for name, where in lists[title].items() if name in known and name not in named}
    samples, left = list[Sample](), 0
    for name, where in named.items():
        if (image := pictures.get(name)) is None:
            source.no_picture(where, f"{folder} has no picture '{name}'")
        elif (mask := maps.get(name)) is None:
            left += 1
        else:
            inside(root if images is None else folder, image)
            labels, numbers = partial(read_mask, mask, listed), root / OBJECT_MAPS / mask.relative_to(masks)
            objects = partial(_objects, labels, numbers) if numbers.is_file() else False
            within = {parts[title] for title in lists if parts[title] in SPLITS and name in lists[title]}
            row = {"split": within.pop()} if len(within) == 1 else {}
            samples.append(source.sample(name, image, labels, row, where, mask, numbers, objects=objects))
    if left and not samples:
        raise UserError(masks, f"has no mask of '{next(iter(named))}' or of any other picture")
    source.count(left, f"of {len(named)} pictures have no mask in {CLASS_MAPS}: they are left out")
    return listed.classes, samples


def _read_list(path: Path) -> dict[str, str]:
    lines = [(number, composed(line.strip())) for number, line in enumerate(read_lines(path), 1)]
    return {line: f"{path}, line {number}" for number, line in lines if line}


def _objects(decode: Callable[[], np.ndarray], path: Path) -> Instances:
    """The objects of an object map: each value or colour is one, with the class that most of its pixels have."""
    labels = decode()
    with open_picture(path) as picture:
        pixels = np.asarray(picture if picture.mode in ("P", "L", "I", "I;16") else picture.convert("RGB"))
    if (size := pixels.shape[:2]) != labels.shape:
        raise UserError(path, f"is {size}, but its label map is {labels.shape}; both are (height, width)")
    coloured = pixels.ndim == 3
    values = pixels @ WEIGHTS if coloured else pixels
    border = voc_colours(0).keys() if coloured else (0, native.IGNORE) if pixels.dtype == np.uint8 else (0,)
    values = np.where(np.isin(values, list(border)) | (labels == 0) | (labels == native.IGNORE), 0, values)
    known, numbers = np.unique(np.append(0, values), return_inverse=True)  # 0 comes first, even if no pixel has it
    numbers = numbers[1:].reshape(labels.shape)
    counts = np.bincount(numbers.ravel() * 256 + labels.ravel(), minlength=256 * len(known)).reshape(-1, 256)
    return Instances(numbers, tuple(counts[1:].argmax(1).tolist()))
