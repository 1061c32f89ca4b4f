"""Reads Datumaro's own JSON. Label maps of its masks come back exactly; polygons are filled as pycocotools does.

in/  annotations/SUBSET.json     `categories.label.labels`, and `items` with masks, polygons, boxes and others, by `label_id`
     images/SUBSET/PATH          pictures; PATH is the item's `image.path`; in older exports images/PATH
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from ...errors import UserError
from ...files.documents import read_json
from ...files.reading import ANNOTATIONS as LIMIT
from .. import native
from ..encoding import Instances
from ..sample import Sample, picture_size
from ..shapes.polygons import check_outlines, polygon_runs
from ..shapes.rle import area, check_count, check_layers, count_runs, paint_box, paint_runs
from .coco.document import Rle
from .drivers import Source, portable
from .label_files import PARTS, Shapes, Side, beginning, check_frame, class_names, label_ids

ANNOTATIONS, IMAGES = "annotations", "images"
FILLED = ("mask", "polygon")
TABLE = re.compile(rb'"categories"\s*:\s*\{')
"""Matches Datumaro's files, but not COCO's, whose categories are a list."""


class Shape(msgspec.Struct, frozen=True):
    """An annotation. points: x, y, x, y, … in pixels. bbox: left, top, width, height. z_order: higher shapes cover lower ones. group:
    shapes of the same class and group are one object; 0: no group."""

    type: str
    label_id: int | None = None
    rle: Rle | None = None
    points: list[float] = []
    bbox: tuple[float, float, float, float] | None = None
    z_order: int | None = None
    group: int | None = None


class Picture(msgspec.Struct, frozen=True):
    """size: height and width."""

    path: str = ""
    size: tuple[Side, Side] | None = None


class Item(msgspec.Struct, frozen=True):
    id: str
    annotations: list[Shape] = []
    image: Picture | None = None


class Label(msgspec.Struct, frozen=True):
    name: str


class Labels(msgspec.Struct, frozen=True):
    labels: Annotated[list[Label], msgspec.Meta(min_length=1)]


class Categories(msgspec.Struct, frozen=True):
    label: Labels


class Document(msgspec.Struct, frozen=True):
    categories: Categories
    items: list[Item]


def is_folder(folder: Path) -> bool:
    return any(is_file(path) for path in _files(folder)[:8])


def is_file(path: Path) -> bool:
    try:
        return TABLE.search(beginning(path, 1 << 16)) is not None
    except UserError:
        return False


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted((folder / ANNOTATIONS).glob("*.json")) if path.is_file()]


def read(source: Source, *, images: Path | str | None = None) -> tuple[tuple[str, ...], list[Sample]]:
    """Pixels in a box but in no mask are ignored, because a box is not a mask; other annotations are left out."""
    root = source.path if source.path.is_dir() else source.path.parent.parent
    files = _files(source.path) if source.path.is_dir() else [source.path]
    if not files:
        raise UserError(f"{source.path / ANNOTATIONS}: has no JSON file; Datumaro's export has one per subset")
    documents = {path: read_json(path, Document, limit=LIMIT) for path in files}
    labels = [label.name for label in documents[files[0]].categories.label.labels]
    names = class_names(labels, files[0])
    known = label_ids(names)
    ids = [known.get(label, known.get(label.casefold(), 0)) for label in labels]
    counted = Counter[str]()
    stems = Counter(item.id for document in documents.values() for item in document.items)
    samples = []
    for path, document in documents.items():
        if [label.name for label in document.categories.label.labels] != labels:
            raise UserError(f"{path}: its labels are not those of {files[0]}; import them one by one")
        split = PARTS.get(path.stem.lower())
        folders = [Path(images) / path.stem, Path(images)] if images is not None else [root / IMAGES / path.stem, root / IMAGES]
        for item in document.items:
            where = f"{path}: item {item.id[:60]!r}"
            file_name = portable(item.image.path if item.image and item.image.path else f"{item.id}.jpg")
            short = file_name.removeprefix(f"{path.stem}/")
            if (at := source.picture(folders, [file_name, short], "path", where)) is None:
                continue
            counted.update(each.type for each in item.annotations)
            name = f"{path.stem}/{item.id}" if stems[item.id] > 1 else item.id
            row = {"split": split} if split else {}
            stated = item.image.size if item.image else None
            samples.append(source.painted(name, at[0], partial(_paint, item.annotations, at[0], stated, ids, where), row, where))
    if counted["bbox"]:
        source.note(f"{counted['bbox']} boxes are no masks; what is in them and in no mask is ignored (255)")
    if others := sum(number for kind, number in counted.items() if kind not in (*FILLED, "bbox")):
        source.note(f"{others} annotations are neither masks, polygons nor boxes: they are left out")
    return names, samples


def _paint(shapes: Sequence[Shape], picture: Path, stated: tuple[int, int] | None, ids: Sequence[int], where: str) -> Instances:
    """The annotations of an item: first the boxes, then the masks in the order of `z_order`, then of the file; later ones cover earlier
    ones. stated: the picture's (height, width) in the file."""
    shape = stated or picture_size(picture)
    check_frame(picture, shape, where)
    filled = [each for each in shapes if each.type in FILLED]
    check_count(len(shapes), where)
    check_outlines((each.points for each in filled if each.type == "polygon"), where)
    numbers, known = np.zeros(shape, np.uint16, order="F"), Shapes()
    painted = 0
    for left, top, width, height in (each.bbox for each in shapes if each.type == "bbox" and each.bbox):
        painted += paint_box(numbers, left, top, left + width, top + height, known.number(native.IGNORE, "box"))
        check_layers(painted, shape, where)
    for each in sorted(filled, key=lambda each: each.z_order or 0):
        if each.label_id is None or not 0 <= each.label_id < len(ids):
            raise UserError(f"{where}: has a {each.type} of label_id {each.label_id}, which 'categories' does not name")
        if each.type == "polygon":
            runs = polygon_runs([each.points], shape, where)
        elif each.rle is None:
            raise UserError(f"{where}: has a mask without 'rle'")
        else:
            runs = count_runs(each.rle.size, each.rle.counts, shape, where)
        check_layers(painted := painted + area(runs), shape, where)
        paint_runs(numbers, runs, known.number(ids[each.label_id], each.group or None))
    return known.painted(numbers)
