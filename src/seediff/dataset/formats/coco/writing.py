"""Writes COCO's JSON: objects for detectors, and a semantic variant from which label maps come back exactly.

out/  images/NAME.png               pictures, as they are
      annotations/instances.json    an annotation per object (an instance, or else a connected piece of a class)
      annotations/semantic.json     an annotation per class of each image; 255 is the category 255, "ignore"

Category ids are class ids, from 1. With samples for validation or testing, there are `instances_train.json`,
`instances_val.json`, and so on. An image's `metadata` in semantic.json is its row of metadata.jsonl.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from .... import __version__
from ...class_lists import check_meaning
from ...sample import Sample
from ...shapes.objects import Objects, whole_classes
from ...shapes.polygons import object_polygons
from ...shapes.rle import encode
from ...split import split_of
from ..drivers import Export
from .reading import ANNOTATIONS, IGNORED, IMAGES, INSTANCES, SEMANTIC

WRITTEN_ANEW = ("file_name", "mask", "class_ids", "area")
"""Fields of a row that follow from the files. `classes` does not: it may have names without a pixel, and an order."""


def write(export: Export, *, min_area: int = 1, polygons: bool = False) -> None:
    """COCO's instances.json, and semantic.json, from which label maps are restored exactly. min_area: objects with
    fewer pixels are left out. polygons: objects as polygons instead of RLE, which pycocotools fills exactly."""
    check_meaning(export.classes, ignored=())
    named = [{"id": i, "name": name} for i, name in enumerate(export.classes, 1)]
    known = {INSTANCES: named, SEMANTIC: [*named, {"id": IGNORED[0], "name": IGNORED[1]}]}
    plain = export.parts in ([], ["train"])
    endings = {"train": ""} if plain else {part: f"_{part}" for part in export.parts}
    info = {"description": "masks by SeeDiff", "version": __version__}
    documents: dict[tuple[str, str], dict[str, Any]] = {
        (kind, ending): {"info": info, "images": [], "annotations": [], "categories": categories}
        for kind, categories in known.items()
        for ending in endings.values()
    }
    small = 0
    for placed in export.placed(annotate, min_area=min_area, polygons=polygons):
        (height, width), found, left_out = placed.data
        small += left_out
        ending = endings[placed.split]
        export.put_image(f"{IMAGES}/{placed.file_name}", placed)
        metadata = {key: value for key, value in placed.sample.metadata.items() if key not in WRITTEN_ANEW}
        if "split" in metadata and placed.split != split_of(metadata):  # another share was set aside
            metadata["split"] = placed.split
        number = len(documents[SEMANTIC, ending]["images"]) + 1
        image = {"id": number, "file_name": placed.file_name, "width": width, "height": height}
        for kind, own in found.items():
            document = documents[kind, ending]
            document["images"].append({**image, "metadata": metadata} if kind == SEMANTIC and metadata else image)
            annotations = document["annotations"]
            first = len(annotations) + 1
            annotations += [{"id": i, "image_id": number, **one} for i, one in enumerate(own, first)]
    for (kind, ending), document in documents.items():
        export.put(f"{ANNOTATIONS}/{kind}{ending}.json", json.dumps(document, ensure_ascii=False))
    export.count(small, f"pieces below {min_area} pixels are not objects in {INSTANCES}; {SEMANTIC} has them")


def annotate(
    sample: Sample, *, classes: Sequence[str], min_area: int, polygons: bool
) -> tuple[tuple[int, ...], dict[str, list[dict[str, Any]]], int]:
    """(height, width) of a sample; kind of file → its annotations; and the number of small pieces."""
    labels = sample.labels(len(classes))
    pieces = sample.objects(labels, min_area)
    found = {INSTANCES: of_objects(pieces, polygons), SEMANTIC: of_objects(whole_classes(labels))}
    return labels.shape, found, pieces.small


def of_objects(objects: Objects, polygons: bool = False) -> list[dict[str, Any]]:
    shapes = _polygons(objects) if polygons else encode(objects.index + 1).values()
    return [
        {"category_id": class_id, "iscrowd": 0, "area": area, "bbox": box, "segmentation": shape}
        for class_id, area, box, shape in zip(objects.class_ids, objects.areas, _boxes(objects), shapes, strict=True)
    ]


def _boxes(objects: Objects) -> list[list[int]]:
    return [[x, y, right - x, bottom - y] for x, y, right, bottom in objects.boxes_xyxy]


def _polygons(objects: Objects) -> list[list[list[int]]]:
    """Each object's polygons, one per connected piece, along the edges of its pixels."""
    pieces, owners = objects.pieces()
    polygons: list[list[list[int]]] = [[] for _ in objects.class_ids]
    for number, polygon in zip(owners, object_polygons(pieces), strict=True):
        # Right and lower sides are moved to the pixels' far edges, the others to the near ones.
        polygons[number].append(np.floor(polygon + 0.7).astype(int).ravel().tolist())
    return polygons
