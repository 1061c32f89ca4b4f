"""Pascal VOC 2012's folders for segmentation, out and in. Label maps come back exactly.

out/  JPEGImages/NAME.jpg                    pictures, as they are (PNG files stay PNG unless JPEG is asked for)
      SegmentationClass/NAME.png             palette PNG: 0 background, 255 ignore, else the class id
      SegmentationObject/NAME.png            optional: 0 background, 255 ignore, else the object's number
      Annotations/NAME.xml                   optional: objects' boxes
      ImageSets/Segmentation/{train,val,trainval}.txt   names, one per line
      classes.txt                            not VOC's own: line i (from 0) names id i
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ...config.names import BACKGROUND, VOC_CLASSES
from ...errors import UserError
from ...files.pictures import open_picture
from ...files.places import put, staged
from ...files.reading import leads_out, read_lines
from .. import native
from ..rows import check_class_list, check_name, flat_name
from ..sample import SPLITS, Sample
from ..shapes.objects import Objects
from ..split import assign_splits
from .exporting import Exported, no_note, worked_on
from .options import VocOptions
from .voc_masks import LABELMAP, read_label_list, read_mask

IMAGES, CLASS_MAPS, OBJECT_MAPS, BOXES, LISTS = (
    "JPEGImages",
    "SegmentationClass",
    "SegmentationObject",
    "Annotations",
    "ImageSets/Segmentation",
)
SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
MAX_OBJECTS = 254  # object maps are uint8 as well


def export_voc(
    classes: Sequence[str],
    items: Iterable[Sample],
    out: Path | str,
    options: VocOptions | None = None,
) -> Exported:
    """Write a VOC folder. `out` appears only when everything is in it.

    Raises UserError naming the sample that cannot be used.
    """
    options = options or VocOptions()
    check_class_list(classes)
    names: list[str] = []
    rows = []
    taken: set[str] = set()
    small = many = png = 0
    convert_ = partial(convert, classes=classes, objects=options.objects, boxes=options.boxes, min_area=options.min_area, jpeg=options.jpeg)
    with staged(out) as part, worked_on(items, convert_, options.workers) as converted:
        for item, its in converted:
            name = flat_name(item.name)
            check_name(name, taken)
            names.append(name)
            rows.append(item.metadata)
            if its.jpeg is None:
                png += item.suffix != "jpg"
                item.put_image(part / IMAGES / f"{name}.{item.suffix}", link=options.link)
            else:
                put(part / IMAGES / f"{name}.jpg", its.jpeg)
            for folder, suffix, data in ((CLASS_MAPS, "png", its.mask), (OBJECT_MAPS, "png", its.objects), (BOXES, "xml", its.boxes)):
                if data is not None:
                    put(part / folder / f"{name}.{suffix}", data)
            small += its.small
            many += its.many
        splits = assign_splits(names, rows, options.split, options.seed)
        lists = {"train": ["train"], "val": ["val"], "trainval": ["train", "val"], **({"test": ["test"]} if "test" in splits else {})}
        for list_name, kept in lists.items():
            lines = "".join(name + "\n" for name, own in zip(names, splits, strict=True) if own in kept)
            put(part / LISTS / f"{list_name}.txt", lines.encode("utf-8"))
        put(part / native.CLASSES, native.classes_text(classes))
    notes = []
    if png:
        notes.append(f"{png} pictures stay PNG files in {IMAGES}; --jpeg writes them anew, for readers that open NAME.jpg only")
    if small:
        notes.append(f"{small} pieces below {options.min_area} pixels are no objects (255 in {OBJECT_MAPS}); {CLASS_MAPS} has them")
    if many:
        notes.append(f"{many} objects beyond {MAX_OBJECTS} in an image, the smallest, are 255 in {OBJECT_MAPS}")
    return Exported(len(names), len(names) * (2 + options.objects + options.boxes) + len(lists) + 1, tuple(notes))


@dataclass(frozen=True)
class Converted:
    """A sample's new files; None: it gets none. small, many: pieces that are no objects; objects that have no number."""

    mask: bytes
    jpeg: bytes | None
    objects: bytes | None
    boxes: bytes | None
    small: int
    many: int


def convert(item: Sample, *, classes: Sequence[str], objects: bool, boxes: bool, min_area: int, jpeg: bool) -> Converted:
    labels = item.labels(len(classes))
    picture = _as_jpeg(item) if jpeg and item.suffix != "jpg" else None
    if not objects and not boxes:
        return Converted(item.mask_data(labels), picture, None, None, 0, 0)
    found = item.objects(labels, min_area)
    file_name = f"{flat_name(item.name)}.{'jpg' if jpeg else item.suffix}"
    return Converted(
        item.mask_data(labels),
        picture,
        native.encode_mask(object_map(labels, found)) if objects else None,
        annotation(file_name, (*labels.shape, _bands(item)), found, classes) if boxes else None,
        found.small,
        max(0, len(found.areas) - MAX_OBJECTS) if objects else 0,
    )


def object_map(labels: np.ndarray, found: Objects) -> np.ndarray:
    """(H, W) uint8: objects from 1 on; 255 where the label map has it, or a class without an object of its own; else 0."""
    order = np.argsort([-area for area in found.areas], kind="stable")[:MAX_OBJECTS]
    numbers = np.full(len(found.areas) + 1, native.IGNORE, np.uint8)
    numbers[np.sort(order)] = np.arange(len(order)) + 1
    return np.where(labels == 0, np.uint8(0), numbers[found.index])  # index −1 is the last entry


def annotation(file_name: str, size: tuple[int, int, int], found: Objects, classes: Sequence[str]) -> bytes:
    """An XML file of VOC's boxes: corners count from 1 and are both inside. size: height, width and bands of the picture.

    An object is `truncated` where it reaches the picture's edge.
    """
    height, width, depth = size
    root = ElementTree.Element("annotation")
    for tag, text in (("folder", IMAGES), ("filename", file_name)):
        ElementTree.SubElement(root, tag).text = text
    ElementTree.SubElement(ElementTree.SubElement(root, "source"), "database").text = "SeeDiff"
    _fill(ElementTree.SubElement(root, "size"), {"width": width, "height": height, "depth": depth})
    ElementTree.SubElement(root, "segmented").text = "1"
    for class_id, (left, top, right, bottom) in zip(found.class_ids, found.boxes_xyxy, strict=True):
        truncated = left == 0 or top == 0 or right == width or bottom == height
        node = ElementTree.SubElement(root, "object")
        _fill(node, {"name": classes[class_id - 1], "pose": "Unspecified", "truncated": int(truncated), "difficult": 0})
        _fill(ElementTree.SubElement(node, "bndbox"), {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom})
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, encoding="utf-8") + b"\n"


def _fill(node: ElementTree.Element, values: dict[str, str | int]) -> None:
    for tag, value in values.items():
        ElementTree.SubElement(node, tag).text = str(value)


def _bands(item: Sample) -> int:
    with open_picture(item.source, f"sample '{item.name}': its picture" if isinstance(item.source, bytes) else None) as picture:
        return len(picture.getbands())


def _as_jpeg(item: Sample) -> bytes:
    with open_picture(item.data(), f"sample '{item.name}': its picture") as picture:
        return native.encode_image(np.asarray(picture.convert("RGB")), "jpg")


def find_voc(folder: Path) -> Path | None:
    """The folder with SegmentationClass/: this one, or the year below it, or below its VOCdevkit/. VOC2012 goes before other years."""
    for base in (folder, folder / "VOCdevkit"):
        years = sorted(base.glob("VOC2[0-9][0-9][0-9]"), key=lambda path: (path.name != "VOC2012", path.name))
        for root in ([base] if base == folder else []) + years:
            if (root / CLASS_MAPS).is_dir():
                return root
    return None


def import_voc(
    source: Path | str,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    images: Path | str | None = None,
    note: Callable[[str], None] = no_note,
) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes, without the background, and samples of a VOC folder, or of the VOCdevkit that holds it.

    split: the list of ImageSets/Segmentation to read, such as "train"; None: all of train, val, trainval and test (every label map where
    there is no list). A row's `split` says in which of train, val and test it was. Names without a mask are left out, which `note` is
    told. classes: None: the folder's classes.txt, else its labelmap.txt, else VOC's twenty. Masks in colours: see `voc_masks`.
    images: where the pictures are, when JPEGImages is a link that leads out of the folder: without it, nothing outside is read.
    Raises UserError naming the file, or the list and its line, of what is not there.
    """
    source = Path(source)
    if (root := find_voc(source)) is None:
        raise UserError(f"{source}: has no {CLASS_MAPS}; name the folder of a VOC data set that holds it, such as VOCdevkit/VOC2012")
    listed = root / LABELMAP
    label_map = None
    if listed.is_file() and not (root / native.CLASSES).is_file():
        label_map = read_label_list(listed, classes)
    names = tuple(classes) if classes is not None else label_map.classes if label_map else _read_classes(root)
    try:
        check_class_list(names)
    except UserError as error:
        raise UserError(f"{listed}: {error}" if label_map else str(error)) from error
    read = partial(read_mask, count=len(names), label_map=label_map)
    return names, _items(root, split, read, Path(images) if images is not None else None, note)


def _items(
    root: Path, split: str | None, read: Callable[[Path], np.ndarray], images: Path | None, note: Callable[[str], None]
) -> list[Sample]:
    lists = {name: _read_list(root / LISTS / f"{name}.txt") for name in (*SPLITS, "trainval")}
    named = _named(root, split, lists)
    items: list[Sample] = []
    taken: set[str] = set()
    folder = images or root / IMAGES
    for name, where in named.items():
        try:
            check_name(name, taken)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        image = next((path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)
        if image is None:
            raise UserError(f"{where}: {folder} has no picture '{name}'")
        if leads_out(images or root, image):
            raise UserError(f"{image}: is a link that leads out of {images or root}; --images names a folder elsewhere that may be read")
        mask = root / CLASS_MAPS / f"{name}.png"
        if not mask.exists():
            continue
        within = [one for one in SPLITS if name in (lists[one] or ())]
        row = {"split": within[0]} if len(within) == 1 else {}
        items.append(Sample(image, partial(read, mask), metadata=row, name=name))
    if named and not items:
        name, where = next(iter(named.items()))
        raise UserError(f"{where}: {root / CLASS_MAPS} has no mask of '{name}', nor of any other picture")
    if left := len(named) - len(items):
        note(f"{left} of {len(named)} pictures have no mask in {CLASS_MAPS}: they are left out")
    return items


def _named(root: Path, split: str | None, lists: dict[str, dict[str, str] | None]) -> dict[str, str]:
    """Name → where it is listed."""
    if split is not None:
        if (asked := _read_list(path := root / LISTS / f"{split}.txt")) is None:
            raise UserError(f"{path}: there is no such file; --split names a list of {LISTS}")
        return asked
    if all(one is None for one in lists.values()):
        masks = root / CLASS_MAPS
        return {path.relative_to(masks).with_suffix("").as_posix(): str(path) for path in sorted(masks.rglob("*.png"))}
    named: dict[str, str] = {}
    for one in (lists["trainval"], lists["train"], lists["val"], lists["test"]):
        for name, where in (one or {}).items():
            named.setdefault(name, where)
    return named


def _read_list(path: Path) -> dict[str, str] | None:
    """Name → where it is listed, for errors. None when there is no such list."""
    if not path.exists():
        return None
    return {line.strip(): f"{path}, line {number}" for number, line in enumerate(read_lines(path), 1) if line.strip()}


def _read_classes(source: Path) -> tuple[str, ...]:
    """classes.txt, whose first line may be the background's, else VOC's twenty."""
    if not (path := source / native.CLASSES).exists():
        return VOC_CLASSES
    lines = [line.strip() for line in read_lines(path) if line.strip()]
    return tuple(lines[1:] if lines[:1] == [BACKGROUND] else lines)
