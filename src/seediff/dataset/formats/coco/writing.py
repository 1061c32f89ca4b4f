"""Writes COCO's JSON: objects for detectors, and a semantic variant from which label maps come back exactly.

    out/  images/NAME.png                  pictures, as they are
          annotations/instances.json       one annotation per object (of the sample's `instances`, or else a connected
                                           piece of a class): RLE, or polygons on request
          annotations/semantic.json        one annotation per class of each image: RLE, iscrowd 0; 255 is the category
                                           255, "ignore"
          annotations/panoptic.json        optional: the segments of each image, whose ids are the colours of
                                           annotations/panoptic/NAME.png

Category ids are class ids, from 1. With samples for validation or testing, there are `instances_train.json`,
`instances_val.json`, and so on. An image's `metadata` in semantic.json is its row of metadata.jsonl, without the fields
that follow from the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .... import __version__
from ....config.names import BACKGROUND
from ....metrics.scores import iou
from ... import native
from ...class_lists import check_meaning
from ...sample import Sample
from ...shapes.objects import Objects, whole_classes
from ...shapes.polygons import object_polygons
from ...shapes.rle import encode, fill, polygon_runs
from ...split import split_of
from ..drivers import Export
from .document import ANNOTATIONS, IGNORED, IMAGES, INSTANCES, PANOPTIC, SEMANTIC, SHIFTS

WRITTEN_ANEW = ("file_name", "mask", "class_ids", "area")
"""Fields of a row that can be recomputed from the files. `classes` cannot: it may have names without a pixel, and an
order.
"""


@dataclass
class Part:
    """The images and annotations of one file, with ids from 1."""

    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    def add(self, image: dict[str, Any], annotations: Iterable[dict[str, Any]]) -> None:
        image_id = len(self.images) + 1
        self.images.append({"id": image_id, **image})
        for annotation in annotations:
            self.annotations.append({"id": len(self.annotations) + 1, "image_id": image_id, **annotation})

    def document(self, categories: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        info = {"description": "masks by SeeDiff", "version": __version__}
        return {"info": info, "images": self.images, "annotations": self.annotations, "categories": list(categories)}


def categories(classes: Sequence[str], *, ignore: bool) -> list[dict[str, Any]]:
    """COCO's categories of the classes, with ids from 1. ignore: add the category for 255."""
    return [{"id": i, "name": name} for i, name in enumerate(classes, 1)] + [
        {"id": IGNORED[0], "name": IGNORED[1]}
    ] * ignore


def of_objects(objects: Objects, *, polygons: bool) -> list[dict[str, Any]]:
    """One annotation per object, without `id` and `image_id`."""
    shapes = _polygons(objects) if polygons else encode(objects.index + 1).values()
    return [
        {
            "category_id": class_id,
            "iscrowd": 0,
            "area": area,
            "bbox": [x, y, right - x, bottom - y],
            "segmentation": shape,
        }
        for class_id, area, (x, y, right, bottom), shape in zip(
            objects.class_ids, objects.areas, objects.boxes_xyxy, shapes, strict=True
        )
    ]


def _polygons(objects: Objects) -> list[list[list[int]]]:
    """Each object's polygons [x, y, x, y, …], one per connected piece, along the edges of its pixels, in COCO's
    coordinates.
    """
    pieces, owners = objects.pieces()
    polygons: list[list[list[int]]] = [[] for _ in objects.class_ids]
    for number, polygon in zip(owners, object_polygons(pieces), strict=True):
        # These outlines run inside the pixels: right and lower sides are moved to the pixels' far edges, the others to
        # the near ones.
        polygons[number].append(np.floor(polygon + 0.7).astype(int).ravel().tolist())
    return polygons


def write(export: Export, *, min_area: int = 1, polygons: bool = False, panoptic: bool = False) -> None:
    """COCO's instances.json, and semantic.json, from which label maps are restored exactly. min_area: objects with
    fewer pixels are left out. polygons: objects as polygons instead of RLE; a note says what is lost. panoptic: also
    write panoptic.json, with a PNG of each picture's segments."""
    check_meaning(export.classes, ignored=())
    parts = [""] if export.parts in ([], ["train"]) else export.parts
    endings = {part: f"_{part}" if part else "" for part in parts}
    documents = {part: (Part(), Part(), Part()) for part in parts}
    ious: list[float] = []
    small = 0
    for placed in export.placed(annotate, min_area=min_area, polygons=polygons, panoptic=panoptic):
        annotated: Annotated = placed.data
        part = placed.split if placed.split in endings else ""
        export.put_image(f"{IMAGES}/{placed.file_name}", placed)
        small += annotated.small
        ious += annotated.ious
        image = {"file_name": placed.file_name, "width": annotated.width, "height": annotated.height}
        metadata = {key: value for key, value in placed.sample.metadata.items() if key not in WRITTEN_ANEW}
        if "split" in metadata and placed.split != split_of(metadata):  # another share was set aside
            metadata["split"] = placed.split
        objects, classes, segments = documents[part]
        objects.add(image, annotated.instances)
        classes.add({**image, "metadata": metadata} if metadata else image, annotated.semantic)
        if annotated.panoptic is not None:
            export.put(f"{ANNOTATIONS}/{PANOPTIC}{endings[part]}/{placed.name}.png", annotated.panoptic[0])
            segments.images.append(objects.images[-1])
            entry = {
                "image_id": len(objects.images),
                "file_name": f"{placed.name}.png",
                "segments_info": annotated.panoptic[1],
            }
            segments.annotations.append(entry)
    for part, (objects, classes, segments) in documents.items():
        for name, document, known in (
            (INSTANCES, objects, categories(export.classes, ignore=False)),
            (SEMANTIC, classes, categories(export.classes, ignore=True)),
            *([(PANOPTIC, segments, panoptic_categories(export.classes))] if panoptic else []),
        ):
            export.put(
                f"{ANNOTATIONS}/{name}{endings[part]}.json", json.dumps(document.document(known), ensure_ascii=False)
            )
    if small:
        export.note(f"{small} pieces below {min_area} pixels are no objects in {INSTANCES}; {SEMANTIC} has them")
    if polygons and ious:
        shares = f"IoU {np.mean(ious):.4f} mean, {min(ious):.4f} lowest"
        export.note(f"polygons, filled by pycocotools, against the masks: {shares}; RLE loses nothing")


@dataclass(frozen=True)
class Annotated:
    """The exported annotations of a sample. small: the number of pieces too small to be objects. ious: of each object's
    polygons with its mask, if there are polygons.

    panoptic: the PNG of the segments and their segments_info; None: not asked for.
    """

    height: int
    width: int
    instances: list[dict[str, Any]]
    semantic: list[dict[str, Any]]
    small: int
    ious: list[float]
    panoptic: tuple[bytes, list[dict[str, Any]]] | None


def annotate(sample: Sample, *, classes: Sequence[str], min_area: int, polygons: bool, panoptic: bool) -> Annotated:
    labels = sample.labels(len(classes))
    pieces = sample.objects(labels, min_area)
    annotations = of_objects(pieces, polygons=polygons)
    height, width = labels.shape
    ious = polygon_ious(pieces.index, annotations) if polygons else []
    segments = panoptic_segments(labels, len(classes), pieces) if panoptic else None
    return Annotated(
        height, width, annotations, of_objects(whole_classes(labels), polygons=False), pieces.small, ious, segments
    )


def polygon_ious(index: np.ndarray, annotations: Sequence[Mapping[str, Any]]) -> list[float]:
    """The IoU of each object's polygons, as pycocotools fills them, with its pixels. index: (H, W), the object at each
    pixel.
    """
    shape = index.shape
    filled = [fill(polygon_runs(annotation["segmentation"], shape, "--polygons"), shape) for annotation in annotations]
    return [iou(mask, index == number) for number, mask in enumerate(filled)]


def panoptic_categories(classes: Sequence[str]) -> list[dict[str, Any]]:
    """The classes as things, with their ids, and the background as stuff, with the id after them, because readers take
    0 for none.
    """
    things = [{"id": i, "name": name, "isthing": 1} for i, name in enumerate(classes, 1)]
    return [*things, {"id": len(classes) + 1, "name": BACKGROUND, "isthing": 0}]


def panoptic_segments(labels: np.ndarray, classes: int, pieces: Objects) -> tuple[bytes, list[dict[str, Any]]]:
    """The PNG of labels (H, W) uint8, and its segments_info: the objects in `pieces`, then one crowd per class for
    pixels in no object, then the background. classes: their number. Ignored pixels are in no segment."""
    index, class_ids = pieces.index.copy(), [*pieces.class_ids]
    left = (index < 0) & (labels != native.IGNORE)
    for class_id in [*(number for number in np.unique(labels[left]).tolist() if number), 0]:
        if (inside := left & (labels == class_id)).any():
            index[inside] = len(class_ids)
            class_ids.append(class_id)
    segments, objects = Objects(index, class_ids), len(pieces.class_ids)
    infos = []
    for number, (class_id, area, (x, y, right, bottom)) in enumerate(
        zip(class_ids, segments.areas, segments.boxes_xyxy, strict=True), 1
    ):
        crowd = int(number > objects and class_id > 0)
        box = [x, y, right - x, bottom - y]
        infos.append(
            {"id": number, "category_id": class_id or classes + 1, "area": area, "bbox": box, "iscrowd": crowd}
        )
    colours = ((index + 1).astype(np.uint32)[..., None] // SHIFTS % 256).astype(np.uint8)
    return native.encode_image(colours, "png"), infos
