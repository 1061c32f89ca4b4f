"""Writes and reads YOLO's folders for segmentation. The pieces of objects come back exactly; ignored pixels become
background.

out/  data.yaml                     the folders of pictures of each split, and the names of the classes, numbered from 0
      images/{train,val}/NAME.jpg   pictures, as they are
      labels/{train,val}/NAME.txt   one line per piece: class number, then x and y of each corner as shares of the sides
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError, first_line
from ...files.documents import read_yaml
from ...files.messages import shown
from ...files.reading import ANNOTATIONS, read_text
from ...metrics.confusion import iou_of_present
from .. import native
from ..encoding import Instances, number_type
from ..rows import check_class_list
from ..sample import Sample
from ..shapes.objects import Objects, find_objects
from ..shapes.polygons import fill_polygon, object_polygons
from ..shapes.rle import check_layers, paint_box
from .drivers import Export, Source, see_samples
from .label_files import Shapes, shown_size
from .yolo_data import (
    DATA,
    IMAGES,
    LABELS,
    check_used,
    find_pictures,
    find_yaml,
    label_file,
    named,
    numbered_names,
    write_data,
)

KEPT = 1 << 28
"""Bytes of filled polygons that are kept until the sizes of all are known; further polygons are filled twice."""
BOX = re.compile(r"^[ \t]*\d+(?:[ \t]+\S+){4}[ \t]*\r?$", re.MULTILINE)
"""A line with a box: class number, centre, width and height. Ultralytics trains no masks on files with such lines among
polygons.
"""
OBJECT = re.compile(r"\s*\d+(?:[ \t]+\S+){4}")
"""The beginning of a label file with objects, and of no other text."""
HAIR = 0.01
"""Corners may be outside the picture by this share of a side. They are moved to the edge, as in Ultralytics."""


def write(export: Export, *, min_area: int = 1) -> None:
    """YOLO's polygons. A note gives the mean and the lowest IoU between a sample's mask and its polygons, filled as
    readers fill them. min_area: connected pieces with fewer pixels are left out."""
    scores: list[tuple[float, str]] = []
    counts: Counter[str] = Counter()
    for placed in export.placed(outline, min_area=min_area):
        text, iou, counted = placed.data
        export.put_image(f"{IMAGES}/{placed.split}/{placed.file_name}", placed)
        export.put(f"{LABELS}/{placed.split}/{placed.name}.txt", text)
        scores += [] if iou is None else [(iou, placed.name)]
        counts.update(counted)
    if scores:
        mean, (lowest, worst) = math.fsum(score for score, _ in scores) / len(scores), min(scores)
        shares = f"{mean:.4f} on average over {len(scores)} samples, at least {lowest:.4f} ({worst})"
        export.note(f"IoU of the polygons with the masks: {shares}")
    if ignored := counts["ignored"]:
        share = ignored / counts["pixels"]
        export.note(
            f"{share:.2%} of all pixels are ignored (255) in the masks; the format has no such thing: background in it"
        )
    if several := counts["several"]:
        export.note(f"{several} objects of several pieces are a line per piece: a polygon of the format is one piece")
    if loose := counts["loose"]:
        export.note(f"{loose} pieces in no object are lines, too: every polygon of the format is an object")
    if small := counts["small"]:
        export.note(f"{small} pieces below {min_area} pixels are left out")
    write_data(export, export.classes)


def outline(sample: Sample, *, classes: Sequence[str], min_area: int) -> tuple[str, float | None, dict[str, int]]:
    """The text of a sample's label file: the pieces of its objects, then those of the classes in the rest of the label
    map; its IoU with the mask, or None if the mask shows no class; and counts: ignored pixels, all pixels, pieces left
    out, objects with several pieces, and pieces in no object."""
    labels = sample.labels(len(classes))
    objects = sample.objects(labels)
    pieces, owners = objects.pieces(min_area)
    rest = find_objects(np.where(objects.index >= 0, np.uint8(0), labels), min_area)
    text = as_yolo(pieces) + as_yolo(rest)
    iou = iou_of_present(labels, from_yolo(text, labels.shape, len(classes), sample.name).label_map())
    several = sum(count > 1 for count in Counter(owners).values())
    ignored = int((labels == native.IGNORE).sum())
    small, loose = pieces.small + rest.small, len(rest.class_ids)
    return text, iou, {"ignored": ignored, "pixels": labels.size, "small": small, "several": several, "loose": loose}


def as_yolo(pieces: Objects) -> str:
    """The text of a label file: one line per object, each a connected piece, in their order; empty without objects."""
    sides = np.array(pieces.index.shape[::-1], np.float64)
    lines = []
    for class_id, polygon in zip(pieces.class_ids, object_polygons(pieces), strict=True):
        shares = (polygon / sides).ravel().tolist()
        lines.append(f"{class_id - 1} " + " ".join([f"{share:.6f}" for share in shares]) + "\n")
    return "".join(lines)


def from_yolo(text: str, shape: tuple[int, ...], classes: int | Sequence[int], where: str | Path) -> Instances:
    """The objects in a label file's text, with class ids from 1: polygons filled as Ultralytics does, small ones over
    large ones, and 255 in boxes where no polygon is.

    shape: (H, W). classes: their number, or their numbers in the file in the order of ids. where: the text's name in
    errors. Raises UserError naming a line that is not a polygon or box of one of the classes.
    """
    height, width = shape
    ids = {str(number): i for i, number in enumerate(range(classes) if isinstance(classes, int) else classes, 1)}
    polygons: list[tuple[int, int, np.ndarray]] = []
    kept: dict[int, tuple[int, int, np.ndarray]] = {}
    boxes: list[np.ndarray] = []
    room, painted, lines = KEPT, 0, text.splitlines()
    for number, line in enumerate(lines, 1):
        if line.strip():
            class_id, shares = _parse_line(line, ids, f"{where}, line {number}")
            if len(shares) == 2:
                boxes.append(shares)
                continue
            filled = fill_polygon(shares * (width, height), (height, width))
            if (room := room - filled[2].size) >= 0:
                kept[len(polygons)] = filled
            polygons.append((int(filled[2].sum()), class_id, shares))
            check_layers(painted := painted + polygons[-1][0], shape, str(where))
    numbers, known = np.zeros((height, width), number_type(len(lines))), Shapes()
    for centre, sides in boxes:
        (left, top), (right, bottom) = (centre - sides / 2) * (width, height), (centre + sides / 2) * (width, height)
        painted += paint_box(numbers, left, top, right, bottom, known.number(native.IGNORE, "box"))
        check_layers(painted, shape, str(where))
    for place in sorted(range(len(polygons)), key=lambda place: -polygons[place][0]):
        _, class_id, shares = polygons[place]
        top, left, mask = kept.get(place) or fill_polygon(shares * (width, height), (height, width))
        numbers[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = known.number(class_id)
    return known.painted(numbers)


def _parse_line(line: str, ids: Mapping[str, int], where: str) -> tuple[int, np.ndarray]:
    """The class id (from 1) of a line, and its corners as (P, 2) shares; for a box, its centre and sides. ids: class
    number in the file → id."""
    first, *rest = line.split()
    if (class_id := ids.get(first)) is None:
        gaps = list(ids) != [str(number) for number in range(len(ids))]
        known = f"one of {', '.join([*ids][:20])}" if gaps else f"a whole number from 0 to {len(ids) - 1}"
        raise UserError(f"{where}: class {shown(first)} must be {known}, as {DATA} numbers its names")
    if len(rest) % 2 or (len(rest) < 6 and len(rest) != 4):
        raise UserError(f"{where}: {len(rest)} numbers after the class; a polygon has x and y of three or more corners")
    try:
        shares = np.array([float(value) for value in rest])
    except ValueError as error:
        raise UserError(f"{where}: {first_line(error)}") from error
    if not ((shares >= -HAIR) & (shares <= 1 + HAIR)).all():  # also false for NaN
        raise UserError(f"{where}: a corner is outside the picture; x and y are shares of its sides, in [0, 1]")
    return class_id, shares.clip(0, 1).reshape(-1, 2)


def is_folder(folder: Path) -> bool:
    return (folder / DATA).is_file() or ((folder / IMAGES).exists() and any(folder.glob("*.y*ml")))


def read(
    source: Source, *, split: str | None = None, images: Path | str | None = None
) -> tuple[tuple[str, ...], list[Sample]]:
    """A YOLO folder, or the folder of the given YAML file.

    split: "train", "val" or "test"; None: all that the YAML file lists. images: the folder of the pictures, if they lie
    elsewhere or `images` is a link that leads out of the folder. A picture without a label file is all background.
    """
    file = find_yaml(source.path) if source.path.is_dir() else source.path
    data = read_yaml(file, dict[str, Any])
    names = numbered_names(data.get("names"), file)
    check_class_list(tuple(names.values()), file)
    if "kpt_shape" in data:
        raise UserError(f"{file}: has poses (kpt_shape), whose points would be read as corners; masks need polygons")
    place, pictures = find_pictures(file, data, split, images, label_file)
    samples: list[Sample] = []
    used: set[Path] = set()
    without = boxes = lines = 0
    for name, picture in named(source, pictures, place):
        label = label_file(picture.labels)
        used.add(label)
        if exists := label.exists():
            place.check_label(label)
        without += not exists
        text = read_text(label, ANNOTATIONS) if exists else ""
        count = sum(bool(line.strip()) for line in text.splitlines())
        boxes, lines = boxes + len(BOX.findall(text)), lines + count
        paint = partial(_paint, picture.path, label if exists else None, tuple(names))
        (paint,) = source.as_stored(picture.path, label, paint, shown=True)
        labels, objects = see_samples(paint)
        instances = objects if source.numbered(count) else None
        samples.append(Sample(picture.path, labels, instances, {"split": picture.split}, name=name))
    if samples and without == len(samples):
        raise UserError(
            f"{pictures[0].path}: has no label file {label_file(pictures[0].labels)}, and no other picture has one"
        )
    check_used(source, place, pictures, used, "*.txt", _has_objects)
    if boxes and boxes == lines:
        raise UserError(f"{file}: all its {boxes} objects are boxes; masks need polygons, of three or more corners")
    if boxes:
        source.note(f"{boxes} of {lines} objects are boxes; what is in them and in no polygon is ignored (255)")
    if without:
        source.note(f"{without} of {len(samples)} pictures have no label file: they show background alone")
    return tuple(names.values()), samples


def _has_objects(path: Path) -> bool:
    return path.name != native.CLASSES and OBJECT.match(read_text(path, ANNOTATIONS)) is not None


def _paint(picture: Path, label: Path | None, numbers: Sequence[int]) -> Instances:
    return from_yolo(read_text(label, ANNOTATIONS) if label else "", shown_size(picture), numbers, label or picture)
