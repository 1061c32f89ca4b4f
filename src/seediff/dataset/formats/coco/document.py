"""Reads COCO files as checked values: categories, images and annotations; and assigns a class to each category."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from ....errors import UserError
from ....files.documents import parse_json
from ....files.pictures import check_pixels
from ....files.reading import ANNOTATIONS as LIMIT
from ....files.reading import read_bytes
from ... import native
from ...class_lists import number_classes
from ..label_files import Side

IGNORED = (native.IGNORE, "ignore")
"""Id and name of the category for 255 in SeeDiff's semantic.json."""
IMAGES, ANNOTATIONS = "images", "annotations"
INSTANCES, SEMANTIC, PANOPTIC = "instances", "semantic", "panoptic"
SHIFTS = np.array([1, 256, 65536], np.uint32)
"""The id of a segment in a panoptic PNG is red + 256 · green + 65536 · blue of its colour; 0 is no segment."""

SegmentId = Annotated[int, msgspec.Meta(ge=0, lt=1 << 24)]


class Category(msgspec.Struct, frozen=True):
    id: int
    name: str
    supercategory: Any = None
    isthing: Any = None


class Image(msgspec.Struct, frozen=True):
    """metadata: the image's row of metadata.jsonl, in files that SeeDiff wrote."""

    id: int
    file_name: str
    height: Side
    width: Side
    metadata: dict[str, Any] = {}

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width


class Rle(msgspec.Struct, frozen=True):
    """size: height and width. counts: run lengths, or COCO's compressed text of them."""

    size: list[int]
    counts: list[int] | str


class Annotation(msgspec.Struct, frozen=True):
    """segmentation: polygons [x, y, x, y, …] or run lengths; no polygons if the annotation is only a box."""

    id: int
    image_id: int
    category_id: int
    segmentation: list[list[float]] | Rle
    iscrowd: bool | int | None = None
    bbox: Any = None

    @property
    def masked(self) -> bool:
        return isinstance(self.segmentation, Rle) or any(self.segmentation)

    @property
    def box_xywh(self) -> tuple[float, ...] | None:
        given = self.bbox
        return (
            tuple(given)
            if isinstance(given, list) and len(given) == 4 and all(type(v) in (int, float) for v in given)
            else None
        )


class Segment(msgspec.Struct, frozen=True):
    id: SegmentId
    category_id: int
    iscrowd: bool | int = 0


class Segments(msgspec.Struct, frozen=True):
    """The annotation of an image in a panoptic file. file_name: the PNG whose colours are the segments' ids."""

    image_id: int
    file_name: str
    segments_info: list[Segment]


class Instances(msgspec.Struct, frozen=True):
    categories: list[Category]
    images: list[Image]
    annotations: list[Annotation]


class Panoptic(msgspec.Struct, frozen=True):
    categories: list[Category]
    images: list[Image]
    annotations: list[Segments]


@dataclass(frozen=True)
class Document:
    """A checked file: the ids of images and categories are unique, and annotations refer to existing ones. where: the
    file's name in errors. instances: image id → annotations; in a panoptic file there are none. segments: image id →
    segments; None unless the file is panoptic."""

    where: str
    categories: list[Category]
    images: list[Image]
    instances: Mapping[int, list[Annotation]]
    segments: Mapping[int, Segments] | None

    def used(self) -> set[int]:
        """The ids of the categories that annotations and segments have."""
        infos = (info.category_id for segments in (self.segments or {}).values() for info in segments.segments_info)
        return {
            *infos,
            *(annotation.category_id for annotations in self.instances.values() for annotation in annotations),
        }


def load(path: Path) -> Document:
    """A COCO file, checked. Raises UserError naming an invalid entry."""
    data = read_bytes(path, LIMIT)
    return checked(parse_json(data, Panoptic if b'"segments_info"' in data else Instances, str(path)), str(path))


def checked(content: Instances | Panoptic, where: str) -> Document:
    """The content of a file, checked. Raises UserError."""
    for part, entries in (("images", content.images), ("categories", content.categories)):
        for number, twice in _doubles(entry.id for entry in entries):
            raise UserError(f"{where}: {part}[{number}] has the id {twice} of another one")
    for image in content.images:
        check_pixels((image.width, image.height), f"{where}, image {image.id}")
    categories = {category.id for category in content.categories}
    instances: dict[int, list[Annotation]] = {image.id: [] for image in content.images}
    segments: dict[int, Segments] = {}
    for number, annotation in enumerate(content.annotations):
        panoptic = isinstance(annotation, Segments)
        name = f"annotations[{number}]" if panoptic else f"annotation {annotation.id}"
        if annotation.image_id not in instances:
            raise UserError(f"{where}: {name} is of image {annotation.image_id}, which is not there")
        used = [info.category_id for info in annotation.segments_info] if panoptic else [annotation.category_id]
        if absent := [category for category in used if category not in categories]:
            raise UserError(f"{where}: {name} is of category {absent[0]}, which is not there")
        if not panoptic:
            instances[annotation.image_id].append(annotation)
            continue
        for _, twice in _doubles(info.id for info in annotation.segments_info):
            raise UserError(f"{where}: {name} has two segments {twice}")
        if segments.setdefault(annotation.image_id, annotation) is not annotation:
            raise UserError(f"{where}: {name} is of image {annotation.image_id}, which has one already")
    return Document(
        where, content.categories, content.images, instances, segments if isinstance(content, Panoptic) else None
    )


def _doubles(values: Iterable[int]) -> Iterator[tuple[int, int]]:
    """(position, value) of each value that occurred before."""
    seen: set[int] = set()
    for number, value in enumerate(values):
        if value in seen:
            yield number, value
        seen.add(value)


def classes_of(documents: Sequence[Document]) -> tuple[tuple[str, ...], dict[int, int]]:
    """The classes, without the background, and category id → id in label maps. Class ids count from 1 in the order of
    the category ids. All documents must have the same categories. Raises UserError."""
    first = documents[0]
    used = set().union(*(document.used() for document in documents))
    names = _names(first, used)
    for other in documents[1:]:
        if _names(other, used) != names:
            raise UserError(f"{other.where}: its categories are not those of {first.where}; import them one by one")
    listed = number_classes(names, f"{first.where}: categories", void=lambda *entry: entry == IGNORED)
    return listed.classes, dict(listed.ids)


def _names(document: Document, used: Collection[int]) -> dict[int, str]:
    """The categories' names by id, in rising order, without the parent category that Roboflow writes with id 0 and no
    annotation has."""
    known = sorted(document.categories, key=lambda category: category.id)
    parent = len(known) > 1 and known[0].id == 0 and 0 not in used
    parent = parent and any(category.supercategory == known[0].name for category in known[1:])
    return {category.id: category.name for category in known[parent:]}
