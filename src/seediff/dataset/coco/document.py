"""What a COCO file says, checked: categories, images, annotations; and which class each category is.

A file of anybody's is a plain object here, as JSON has it; everything that is read of it is looked at before it is used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import UserError
from ...prompts import BACKGROUND
from .. import native
from ..store import check_classes
from .writing import IGNORED

MAX_PIXELS = 100_000_000
"""Of one image."""


@dataclass(frozen=True)
class Category:
    id: int
    name: str
    supercategory: str = ""


@dataclass(frozen=True)
class Picture:
    """An entry of `images`. row: its `metadata`, which our own files have."""

    id: int
    file_name: str
    height: int
    width: int
    row: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width


@dataclass(frozen=True)
class Annotation:
    """An entry of `annotations`, or, in a panoptic file, one of its `segments_info`. segmentation: as the file has it, not yet looked at;
    None where there is only a box."""

    id: int
    image_id: int
    category_id: int
    crowd: bool
    segmentation: Any = None
    box_xywh: tuple[float, ...] = ()


@dataclass(frozen=True)
class Segments:
    """A panoptic file's annotation of an image: the PNG whose colours are the segments' ids."""

    image_id: int
    file_name: str
    segments: tuple[Annotation, ...]


@dataclass(frozen=True)
class Document:
    """where: how errors call it. panoptic: by image id, in a panoptic file, whose `annotations` are all segments."""

    where: str
    categories: tuple[Category, ...]
    images: tuple[Picture, ...]
    annotations: tuple[Annotation, ...]
    panoptic: Mapping[int, Segments] = field(default_factory=dict)

    def by_image(self) -> dict[int, list[Annotation]]:
        found: dict[int, list[Annotation]] = {one.id: [] for one in self.images}
        for one in self.annotations:
            found[one.image_id].append(one)
        return found


def parse(document: Any, where: str) -> Document:
    """A COCO file's content. Raises UserError naming the entry that is not as it should be."""
    if not isinstance(document, Mapping):
        raise UserError(f"{where}: must be an object with images, annotations and categories")
    categories = tuple(
        Category(one["id"], one["name"], one["supercategory"] if isinstance(one.get("supercategory"), str) else "")
        for one in _entries(document, "categories", {"id": int, "name": str}, where)
    )
    images = tuple(_picture(one, where) for one in _entries(document, "images", PICTURE, where))
    for number, twice in _doubles(one.id for one in images):
        raise UserError(f"{where}: images[{number}] has the id {twice} of another one")
    for number, twice in _doubles(one.id for one in categories):
        raise UserError(f"{where}: categories[{number}] has the id {twice} of another one")
    if _is_panoptic(document):
        panoptic = [_segments(one, i, where) for i, one in enumerate(_entries(document, "annotations", PANOPTIC, where))]
        for number, twice in _doubles(one.image_id for one in panoptic):
            raise UserError(f"{where}: annotations[{number}] is of image {twice}, which has one already")
        annotations = [one for segments in panoptic for one in segments.segments]
        read = Document(where, categories, images, tuple(annotations), {one.image_id: one for one in panoptic})
    else:
        annotations = [_annotation(one) for one in _entries(document, "annotations", ANNOTATION, where)]
        read = Document(where, categories, images, tuple(annotations))
    known, classes = {one.id for one in images}, {one.id for one in categories}
    for one in (*read.panoptic.values(), *annotations):
        name = "its annotation" if isinstance(one, Segments) else f"annotation {one.id}"
        if one.image_id not in known:
            raise UserError(f"{where}: {name} is of image {one.image_id!r}, which is not there")
        if isinstance(one, Annotation) and one.category_id not in classes:
            raise UserError(f"{where}: {name} is of category {one.category_id!r}, which is not there")
    return read


PICTURE: dict[str, Any] = {"id": int, "file_name": str, "width": int, "height": int}
ANNOTATION: dict[str, Any] = {"id": int, "image_id": int, "category_id": int, "segmentation": (dict, list)}
PANOPTIC: dict[str, Any] = {"image_id": int, "file_name": str, "segments_info": list}
SEGMENT: dict[str, Any] = {"id": int, "category_id": int}


def _is_panoptic(document: Mapping[str, Any]) -> bool:
    annotations = document.get("annotations")
    return isinstance(annotations, list) and any(isinstance(one, dict) and "segments_info" in one for one in annotations[:1])


def _entries(document: Mapping[str, Any], part: str, fields: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    entries = document.get(part)
    if not isinstance(entries, list):
        raise UserError(f"{where}: '{part}' must be a list")
    for number, one in enumerate(entries):
        for name, kind in fields.items():
            if not isinstance(one, dict) or not isinstance(one.get(name), kind) or isinstance(one[name], bool):
                raise UserError(f"{where}: {part}[{number}] has no usable '{name}'")
    return entries


def _doubles(values: Iterable[int]) -> Iterable[tuple[int, int]]:
    seen: set[int] = set()
    for number, value in enumerate(values):
        if value in seen:
            yield number, value
        seen.add(value)


def _picture(one: Mapping[str, Any], where: str) -> Picture:
    where = f"{where}, image {one['id']}"
    width, height, row = one["width"], one["height"], one.get("metadata", {})
    if width < 1 or height < 1:
        raise UserError(f"{where}: is {width} × {height} pixels; both sides must be at least 1")
    if width * height > MAX_PIXELS:
        raise UserError(f"{where}: is {width} × {height} pixels; a picture may have {MAX_PIXELS // 10**6} megapixels at most")
    if not isinstance(row, dict):
        raise UserError(f"{where}: 'metadata' must be an object, a row of metadata.jsonl")
    return Picture(one["id"], one["file_name"], height, width, row)


def _annotation(one: Mapping[str, Any]) -> Annotation:
    box = one.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(type(value) in (int, float) for value in box):
        box = ()
    shown = None if one["segmentation"] in ([], [[]]) else one["segmentation"]
    return Annotation(one["id"], one["image_id"], one["category_id"], bool(one.get("iscrowd")), shown, tuple(box))


def _segments(one: Mapping[str, Any], number: int, where: str) -> Segments:
    entries = _entries(one, "segments_info", SEGMENT, f"{where}: annotations[{number}]")
    segments = [Annotation(info["id"], one["image_id"], info["category_id"], bool(info.get("iscrowd"))) for info in entries]
    for _, twice in _doubles(info.id for info in segments):
        raise UserError(f"{where}: annotations[{number}] has two segments {twice}")
    return Segments(one["image_id"], one["file_name"], tuple(segments))


def classes_of(documents: Sequence[Document]) -> tuple[tuple[str, ...], dict[int, int]]:
    """Classes, without the background, and the id in a label map of each category: from 1 in the order of the categories' ids. Several
    documents must have the same categories. Raises UserError."""
    first, *others = documents
    used = {one.category_id for document in documents for one in document.annotations}
    known = _without_parent(first, used)
    for other in others:
        if [(one.id, one.name) for one in _without_parent(other, used)] != [(one.id, one.name) for one in known]:
            raise UserError(f"{other.where}: its categories are not those of {first.where}; import them one by one")
    named = [one for one in known if (one.id, one.name) != IGNORED and one.name != BACKGROUND]
    names = tuple(one.name for one in named)
    try:
        check_classes(names)
    except UserError as error:
        raise UserError(f"{first.where}: categories: {error}") from error
    ids = {one.id: 0 if one.name == BACKGROUND else native.IGNORE for one in known}
    ids.update({one.id: number for number, one in enumerate(named, 1)})
    return names, ids


def _without_parent(document: Document, used: Collection[int]) -> list[Category]:
    """The categories by id, without the parent of all others that Roboflow writes as category 0 and no annotation is of."""
    known = sorted(document.categories, key=lambda one: one.id)
    if len(known) > 1 and known[0].id == 0 and 0 not in used and any(one.supercategory == known[0].name for one in known[1:]):
        return known[1:]
    return known
