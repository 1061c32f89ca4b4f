"""What a COCO file says, checked as a whole: categories, images, annotations; and which class each category is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ....config.names import BACKGROUND
from ....errors import UserError
from ....files.documents import fit, parse_json
from ....files.pictures import check_pixels
from ....files.reading import ANNOTATIONS as LIMIT
from ....files.reading import read_bytes
from ... import native
from ...rows import check_class_list
from ...shapes.rle import check_count

IGNORED = (native.IGNORE, "ignore")
"""Id and name of the category that 255 is in our semantic variant."""

Side = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
SegmentId = Annotated[int, msgspec.Meta(ge=0, lt=1 << 24)]


class Category(msgspec.Struct, frozen=True):
    id: int
    name: str
    supercategory: Any = None


class Image(msgspec.Struct, frozen=True):
    """metadata: its row of metadata.jsonl, in our own files."""

    id: int
    file_name: str
    height: Side
    width: Side
    metadata: dict[str, Any] = {}

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width


class Rle(msgspec.Struct, frozen=True):
    """size: height and width. counts: run lengths, or COCO's text of them."""

    size: list[int]
    counts: list[int] | str


class Annotation(msgspec.Struct, frozen=True):
    """segmentation: polygons [x, y, x, y, …] or run lengths; no polygons where there is only a box."""

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
        return tuple(given) if isinstance(given, list) and len(given) == 4 and all(type(v) in (int, float) for v in given) else None


class Segment(msgspec.Struct, frozen=True):
    id: SegmentId
    category_id: int


class Segments(msgspec.Struct, frozen=True):
    """A panoptic file's annotation of an image: the PNG whose colours are the segments' ids."""

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
    """A file whose ids are all there, and there once. where: how errors call it."""

    where: str
    content: Instances | Panoptic

    @property
    def instances(self) -> list[Annotation]:
        """Annotations of objects; a panoptic file has none."""
        return self.content.annotations if isinstance(self.content, Instances) else []

    @property
    def segments(self) -> dict[int, Segments]:
        """Of a panoptic file, by image."""
        return {one.image_id: one for one in self.content.annotations} if isinstance(self.content, Panoptic) else {}

    def by_image(self) -> dict[int, list[Annotation]]:
        """Raises UserError for an image of more annotations than one has."""
        found: dict[int, list[Annotation]] = {one.id: [] for one in self.content.images}
        for one in self.instances:
            found[one.image_id].append(one)
        for image_id, its in found.items():
            check_count(len(its), f"{self.where}, image {image_id}")
        return found

    def used(self) -> set[int]:
        """The categories that anything is of."""
        inner = (info.category_id for one in self.segments.values() for info in one.segments_info)
        return {*inner, *(one.category_id for one in self.instances)}


def load(path: Path) -> Document:
    """A COCO file. Raises UserError naming the entry that is not as it should be."""
    data = read_bytes(path, LIMIT)
    kind = Panoptic if b'"segments_info"' in data else Instances
    return _checked(parse_json(data, kind, str(path)), str(path))


def parse(document: Mapping[str, Any], where: str) -> Document:
    """A COCO document of objects as plain values. Raises UserError as `load`."""
    return _checked(fit(document, Instances, where), where)


def _checked(content: Instances | Panoptic, where: str) -> Document:
    images = {one.id for one in content.images}
    categories = {one.id for one in content.categories}
    for part, ids in (("images", content.images), ("categories", content.categories)):
        for number, twice in _doubles(one.id for one in ids):
            raise UserError(f"{where}: {part}[{number}] has the id {twice} of another one")
    for image in content.images:
        check_pixels((image.width, image.height), f"{where}, image {image.id}")
    for number, one in enumerate(content.annotations):
        name = f"annotation {one.id}" if isinstance(one, Annotation) else f"annotations[{number}]"
        if one.image_id not in images:
            raise UserError(f"{where}: {name} is of image {one.image_id}, which is not there")
        of = [one.category_id] if isinstance(one, Annotation) else [info.category_id for info in one.segments_info]
        if absent := [number for number in of if number not in categories]:
            raise UserError(f"{where}: {name} is of category {absent[0]}, which is not there")
        for _, twice in _doubles(info.id for info in ([] if isinstance(one, Annotation) else one.segments_info)):
            raise UserError(f"{where}: {name} has two segments {twice}")
    if isinstance(content, Panoptic):
        for number, twice in _doubles(one.image_id for one in content.annotations):
            raise UserError(f"{where}: annotations[{number}] is of image {twice}, which has one already")
    return Document(where, content)


def _doubles(values: Iterable[int]) -> Iterable[tuple[int, int]]:
    """The place and value of each that was there before."""
    seen: set[int] = set()
    for number, value in enumerate(values):
        if value in seen:
            yield number, value
        seen.add(value)


def classes_of(documents: Sequence[Document]) -> tuple[tuple[str, ...], dict[int, int]]:
    """Classes, without the background, and the id in a label map of each category: from 1 in the order of the categories' ids. Several
    documents must have the same categories. Raises UserError."""
    first, *others = documents
    used = set().union(*(document.used() for document in documents))
    known = _without_parent(first, used)
    for other in others:
        if [(one.id, one.name) for one in _without_parent(other, used)] != [(one.id, one.name) for one in known]:
            raise UserError(f"{other.where}: its categories are not those of {first.where}; import them one by one")
    named = [one for one in known if (one.id, one.name) != IGNORED and one.name != BACKGROUND]
    names = tuple(category.name for category in named)
    check_class_list(names, f"{first.where}: categories")
    ids = {one.id: 0 if one.name == BACKGROUND else native.IGNORE for one in known}
    ids.update({one.id: number for number, one in enumerate(named, 1)})
    return names, ids


def _without_parent(document: Document, used: Collection[int]) -> list[Category]:
    """The categories by id, without the parent of all others that Roboflow writes as category 0 and no annotation is of."""
    known = sorted(document.content.categories, key=lambda one: one.id)
    if len(known) > 1 and known[0].id == 0 and 0 not in used and any(one.supercategory == known[0].name for one in known[1:]):
        return known[1:]
    return known
