"""Writes and reads Pascal VOC 2012's folders for segmentation. Label maps come back exactly.

out/  JPEGImages/NAME.jpg                    pictures, as they are (PNG files stay PNG unless JPEG is asked for)
      SegmentationClass/NAME.png             palette PNG: 0 background, 255 ignore, else the class id
      SegmentationObject/NAME.png            optional: 0 background, 255 ignore, else the object's number
      Annotations/NAME.xml                   optional: boxes of the objects
      ImageSets/Segmentation/{train,val,trainval}.txt   names, one per line classes.txt                            not
      part of VOC: line i (from 0) names id i; labelme's class_names.txt is read too

Palette and grey PNG files hold ids; pictures in colours use those of VOC's palette. A labelmap.txt, as CVAT and
Datumaro write it, defines other colours, in lines `name:r,g,b:parts:actions`. With it, palette files count as pictures
in colours, and grey values number its lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ...config.names import VOC_CLASSES
from ...errors import UserError
from ...files.label_maps import voc_palette
from ...files.messages import shown
from ...files.pictures import open_picture
from ...files.reading import inside, read_lines
from .. import native
from ..encoding import MOST_OBJECTS, Instances
from ..rows import check_class_list, check_name, flat_name
from ..sample import Sample
from ..shapes.objects import Objects
from .drivers import Export, Source
from .label_files import GROUNDS, IGNORED, PARTS, listed_classes

IMAGES, CLASS_MAPS, OBJECT_MAPS, BOXES, LISTS = (
    "JPEGImages",
    "SegmentationClass",
    "SegmentationObject",
    "Annotations",
    "ImageSets/Segmentation",
)
LABELMAP = "labelmap.txt"
TRAINVAL, OTHERS = "trainval", 4
SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
MAX_OBJECTS = 254  # object maps are uint8 too, and 0 and 255 are reserved


def write(export: Export, *, min_area: int = 1, objects: bool = False, boxes: bool = False, jpeg: bool = False) -> None:
    """Pascal VOC's folders. objects: also write SegmentationObject. boxes: also write Annotations, with a box per
    object. min_area, with one of them: pieces with fewer pixels do not count as objects. jpeg: convert PNG pictures to
    JPEG of quality 95, because some readers open only NAME.jpg."""
    if min_area != 1 and not (objects or boxes):
        raise UserError("min_area", f"{min_area} needs --objects or --boxes; without them, no objects are written")
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
        with open_picture(
            sample.source, f"sample '{sample.name}': its picture" if isinstance(sample.source, bytes) else None
        ) as picture:
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


def find_voc(folder: Path) -> Path | None:
    """The folder with SegmentationClass/: this folder, or that of a year, such as VOC2012/, in it or in its VOCdevkit/.
    VOC2012 goes first."""
    for base in (folder, folder / "VOCdevkit"):
        years = sorted(base.glob("VOC2[0-9][0-9][0-9]"), key=lambda path: (path.name != "VOC2012", path.name))
        for root in ([base] if base == folder else []) + years:
            if (root / CLASS_MAPS).is_dir():
                return root
    return None


def is_folder(folder: Path) -> bool:
    return find_voc(folder) is not None


def read(
    source: Source, *, split: str | None = None, classes: Sequence[str] | None = None, images: Path | str | None = None
) -> tuple[tuple[str, ...], list[Sample]]:
    """A Pascal VOC folder, or the VOCdevkit that holds it.

    split: the list in ImageSets/Segmentation to read, such as "train"; None: all lists together, or every label map if
    no list is of a part. Names without a mask are left out. classes: None: those of the folder's classes.txt,
    labelmap.txt, class_names.txt or labels.txt, or else VOC's twenty. Colours in masks have the meaning given by
    labelmap.txt or by VOC's palette. images: the folder of the pictures, if JPEGImages is a link that leads out of the
    folder.
    """
    if (root := find_voc(source.path)) is None:
        raise UserError(
            f"{source.path}: has no {CLASS_MAPS}; name the folder of a VOC data set that holds it, such as"
            " VOCdevkit/VOC2012"
        )
    label_map = None
    if (root / LABELMAP).is_file() and not (root / native.CLASSES).is_file():
        label_map = read_label_list(root / LABELMAP, classes)
    names = tuple(classes) if classes is not None else label_map.classes if label_map else read_classes(root)
    check_class_list(names, root / LABELMAP if label_map else "")
    decode = partial(read_mask, count=len(names), label_map=label_map)
    return names, _samples(source, root, split, decode, Path(images) if images is not None else None)


def _samples(
    source: Source, root: Path, split: str | None, decode: Callable[[Path], np.ndarray], images: Path | None
) -> list[Sample]:
    folder = images or root / IMAGES
    lists = [List(path.stem, _read_list(path)) for path in sorted((root / LISTS).glob("*.txt")) if path.is_file()]
    named = _named(root, split, lists, folder)
    samples: list[Sample] = []
    for name, where in named.items():
        check_name(name, source.taken, where)
        image = next((path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)
        if image is None:
            source.no_picture(where, f"{folder} has no picture '{name}'")
            continue
        try:
            inside(images or root, image)
        except UserError as error:
            raise UserError(f"{error}; --images names a folder elsewhere that may be read") from error
        mask = root / CLASS_MAPS / f"{name}.png"
        if not mask.exists():
            continue
        within = {each.part for each in lists if each.part and name in each.names}
        row, objects = {"split": within.pop()} if len(within) == 1 else {}, root / OBJECT_MAPS / f"{name}.png"
        for path in (mask, objects):
            inside(root, path)
        reads = [
            partial(decode, mask),
            *([partial(_objects, partial(decode, mask), objects)] if objects.is_file() else []),
        ]
        samples.append(Sample(image, *source.as_stored(image, mask, *reads, shown=False), metadata=row, name=name))
    unmasked = len(named) - len(samples) - source.missing
    if unmasked and not samples:
        name, where = next(iter(named.items()))
        raise UserError(f"{where}: {root / CLASS_MAPS} has no mask of '{name}', nor of any other picture")
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
    if len(known) - 1 > MOST_OBJECTS:
        raise UserError(f"{path}: has {len(known) - 1} objects; at most {MOST_OBJECTS} of a picture can be numbered")
    numbers = numbers[1:].reshape(labels.shape)
    counts = np.bincount(numbers.ravel() * 256 + labels.ravel(), minlength=256 * len(known)).reshape(-1, 256)
    return Instances(numbers.astype(np.uint16), tuple(counts[1:].argmax(1).tolist())).seen()


@dataclass(frozen=True)
class List:
    """A list of samples. title: its file's name, without suffix. names: name → where it is listed, for errors."""

    title: str
    names: Mapping[str, str]

    @property
    def part(self) -> str | None:
        """One of SPLITS, if the list is called like one."""
        return PARTS.get(self.title.lower())

    @property
    def rank(self) -> int:
        """The place of VOC's own lists, from 0; the other lists come last, and are equal."""
        return {TRAINVAL: 0, "train": 1, "val": 2, "test": 3}.get(self.part or self.title.lower(), OTHERS)


def _named(root: Path, split: str | None, lists: Sequence[List], images: Path) -> dict[str, str]:
    """Name → where it is listed, for the samples of a split; None: of all, or of all label maps if there are none of
    VOC's own lists. images: the folder of the pictures."""
    if split is not None:
        if not (
            asked := [each for each in lists if each.title == split] or [each for each in lists if each.part == split]
        ):
            raise UserError(f"{root / LISTS / split}.txt: there is no such file; --split names a list of {LISTS}")
        return {name: where for each in asked for name, where in each.names.items()}
    masks = root / CLASS_MAPS
    if all(each.rank == OTHERS for each in lists):
        return {_name(path, masks): str(path) for path in sorted(masks.rglob("*.png"))}
    named: dict[str, str] = {}
    known: set[str] | None = None
    for each in sorted(lists, key=lambda each: each.rank):
        if each.rank == OTHERS and known is None:  # CVAT's other subsets, or lists of something else than files
            known = {
                _name(path, folder)
                for folder in (masks, images)
                for path in folder.rglob("*")
                if path.suffix in SUFFIXES
            }
        named |= {
            name: where for name, where in each.names.items() if name not in named and (known is None or name in known)
        }
    return named


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _read_list(path: Path) -> dict[str, str]:
    """Name → where it is listed, for errors."""
    return {line.strip(): f"{path}, line {number}" for number, line in enumerate(read_lines(path), 1) if line.strip()}


def read_classes(folder: Path) -> tuple[str, ...]:
    """The classes that a list in the folder names, or else VOC's twenty."""
    listed = listed_classes(folder)
    return listed[1] if listed else VOC_CLASSES


WEIGHTS = np.array([65536, 256, 1], np.uint32)
"""Turns a colour (r, g, b) into one number."""


@dataclass(frozen=True)
class LabelMap:
    """A list of classes with colours. classes: without the background, by id from 1. colours: a colour's number → id.
    order: the id of each line of the list."""

    path: Path
    classes: tuple[str, ...]
    colours: Mapping[int, int]
    order: tuple[int, ...]


def read_label_list(path: Path, classes: Sequence[str] | None = None) -> LabelMap:
    """The content of a labelmap.txt. classes: all its classes, in the order of their ids; None: in its own order.
    Raises UserError naming an invalid line."""
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        if line.strip() and not line.startswith("#"):
            name, _, rest = line.partition(":")
            rows.append(
                (name.strip(), [part.strip() for part in rest.partition(":")[0].split(",")], f"{path}, line {number}")
            )
    return label_map(path, rows, classes)


def label_map(
    path: Path, rows: Sequence[tuple[str, Sequence[str], str]], classes: Sequence[str] | None = None
) -> LabelMap:
    """The content of a list. rows: (name, parts of its colour, the row's name in errors). classes: as of
    `read_label_list`. Raises UserError."""
    lines: list[tuple[str, int]] = []
    for name, parts, where in rows:
        if len(parts) != 3 or not all(
            part.isascii() and part.isdecimal() and len(part) < 4 and int(part) < 256 for part in parts
        ):
            given = shown(f"{name}:{','.join(parts)}".removesuffix(":"))
            raise UserError(f"{where}: must be a name and its colour, as in dog:64,0,128::, not {given}")
        lines.append((name, int(np.array(parts, np.uint32) @ WEIGHTS)))
    names = [name for name, _ in lines if name.casefold() not in (*GROUNDS, *IGNORED)]
    if classes is not None and (missing := [name for name in names if name not in classes]):
        raise UserError("classes", f"does not name {shown(missing[0])}, which is a class of {path}")
    named = tuple(names if classes is None else classes)
    ids = {name: number for number, name in enumerate(named, 1)}
    order = tuple(0 if name.casefold() in GROUNDS else ids.get(name, native.IGNORE) for name, _ in lines)
    colours: dict[int, int] = {}
    for (name, colour), number in zip(lines, order, strict=True):
        if colours.setdefault(colour, number) != number:
            raise UserError(f"{path}: gives {shown(name)} a colour that another name has")
    # Unless the list says otherwise, black is the background and VOC's border is ignored.
    return LabelMap(path, named, {**voc_colours(0), **colours}, order)


def voc_colours(count: int) -> dict[int, int]:
    """A colour's number in VOC's palette → id, for ids 0 to `count` and 255."""
    colours = (np.array(voc_palette(), np.uint32).reshape(256, 3) @ WEIGHTS).tolist()
    return {colours[number]: number for number in (*range(count + 1), native.IGNORE)}


def read_mask(path: Path, count: int, label_map: LabelMap | None) -> np.ndarray:
    """(H, W) uint8 of ids. count: the number of classes. Raises UserError naming the file, and a value or colour that
    is not a class.
    """
    with open_picture(path) as picture:
        kind, mode = picture.format, picture.mode
        coloured = mode in ("RGB", "RGBA") or (mode == "P" and label_map is not None)
        pixels = np.asarray(picture.convert("RGB") if coloured else picture)
    if kind == "PNG" and mode == "1" and count == 1 and label_map is None:
        return pixels.astype(np.uint8)
    if kind != "PNG" or mode not in ("P", "L", "RGB", "RGBA"):
        one_bit = "; one of 1 bit can only mean a single class" if mode == "1" else ""
        raise UserError(
            f"{path}: is {kind} {mode} inside; a mask is an 8-bit PNG: palette, grey or in colours{one_bit}"
        )
    if not coloured and label_map is None:
        return pixels
    colours = voc_colours(count) if label_map is None else label_map.colours
    if not coloured:
        colours = {**dict(enumerate(label_map.order if label_map else ())), native.IGNORE: native.IGNORE}
    values, places = np.unique(pixels @ WEIGHTS if coloured else pixels, return_inverse=True)
    if unknown := [value for value in values.tolist() if value not in colours]:
        what = (
            f"the colour {','.join(str(unknown[0] >> shift & 255) for shift in (16, 8, 0))}"
            if coloured
            else f"id {unknown[0]}"
        )
        where = label_map.path if label_map else f"VOC's palette; a {LABELMAP} beside the folders says what colours are"
        raise UserError(f"{path}: has {what}, which is no class of {where}")
    return np.array([colours[value] for value in values.tolist()], np.uint8)[places].reshape(pixels.shape[:2])
