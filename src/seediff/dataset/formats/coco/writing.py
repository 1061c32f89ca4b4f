"""COCO's JSON, out: objects for detectors, and a semantic variant from which label maps come back exactly.

    out/  images/NAME.png                  pictures, as they are
          annotations/instances.json       an annotation an object (a connected piece of a class, or several that a person joined): RLE,
                                           or polygons when asked for
          annotations/semantic.json        an annotation a class of each image: RLE, iscrowd 0; 255 is the category 255, "ignore"
          annotations/panoptic.json        optional: the segments of each image, whose ids are the colours of annotations/panoptic/NAME.png

Category ids are class ids, from 1. With validation samples there are `instances_train.json`, `instances_val.json`, and so on. An image's
`metadata` in semantic.json is its row of metadata.jsonl.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .... import __version__
from ....files.places import put, staged
from ....metrics.scores import iou
from ... import native
from ...rows import check_class_list, check_name
from ...sample import SPLITS, Sample
from ...shapes.objects import Objects, find_objects
from ...shapes.rle import fill, rles
from ...shapes.runs import Masks, column_runs, masks_of_ids
from ...split import assign_splits
from ..exporting import Exported, worked_on
from ..options import CocoOptions
from .masks import polygon_runs
from .segments import panoptic_categories, panoptic_segments

IMAGES, ANNOTATIONS = "images", "annotations"
INSTANCES, SEMANTIC, PANOPTIC = "instances", "semantic", "panoptic"
IGNORED = (native.IGNORE, "ignore")
"""Id and name of the category that 255 is in the semantic variant."""
WRITTEN_ANEW = ("file_name", "mask", "classes", "class_ids", "area")
"""Fields of a row that follow from the files."""


@dataclass
class Part:
    """The images and annotations of one file, whose ids are from 1 on."""

    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    def add(self, image: dict[str, Any], annotations: Iterable[dict[str, Any]]) -> None:
        image_id = len(self.images) + 1
        self.images.append({"id": image_id, **image})
        for one in annotations:
            self.annotations.append({"id": len(self.annotations) + 1, "image_id": image_id, **one})

    def document(self, categories: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        info = {"description": "masks by SeeDiff", "version": __version__}
        return {"info": info, "images": self.images, "annotations": self.annotations, "categories": list(categories)}


def as_coco(
    classes: Sequence[str],
    samples: Iterable[tuple[str, np.ndarray]],
    *,
    objects: bool = False,
    min_area: int = 1,
    polygons: bool = False,
) -> dict[str, Any]:
    """COCO's document of samples (file_name, label map (H, W) uint8); `from_coco` gives the label maps back.

    objects: an annotation for each connected piece of at least `min_area` pixels, as `polygons` if so asked, instead of one per class.
    """
    part = Part()
    for file_name, labels in samples:
        found = instances(labels, min_area=min_area, polygons=polygons)[0] if objects else semantic(labels)
        part.add({"file_name": file_name, "width": labels.shape[1], "height": labels.shape[0]}, found)
    return part.document(categories(classes, ignore=not objects))


def categories(classes: Sequence[str], *, ignore: bool) -> list[dict[str, Any]]:
    """COCO's categories of classes: ids from 1, and with `ignore` 255 as well."""
    return [{"id": i, "name": name} for i, name in enumerate(classes, 1)] + [{"id": IGNORED[0], "name": IGNORED[1]}] * ignore


def semantic(labels: np.ndarray) -> list[dict[str, Any]]:
    """An annotation for each class in labels (H, W) uint8, without `id` and `image_id`; 255 is a class here, 0 is not."""
    class_ids, masks = masks_of_ids(column_runs(labels))
    return [one for one in _annotations(class_ids.tolist(), masks, rles(masks)) if one["category_id"] > 0]


def instances(labels: np.ndarray, *, min_area: int = 1, polygons: bool = False) -> tuple[list[dict[str, Any]], int]:
    """An annotation for each connected piece of a class in labels (H, W) uint8, without `id` and `image_id`; and how many were too small.

    Holes stay holes; in polygons they are cut in.
    """
    found = find_objects(labels, min_area)
    return of_objects(labels, found, polygons=polygons), found.small


def of_objects(labels: np.ndarray, found: Objects, *, polygons: bool) -> list[dict[str, Any]]:
    """An annotation for each object that was found in labels (H, W) uint8, without `id` and `image_id`."""
    shapes = _polygons(labels, found) if polygons else rles(found.masks)
    return _annotations(found.class_ids, found.masks, shapes)


def _annotations(class_ids: Sequence[int], masks: Masks, shapes: Sequence[Any]) -> list[dict[str, Any]]:
    boxes = masks.boxes_xyxy.copy()
    boxes[:, 2:] -= boxes[:, :2]  # COCO's: left, top, width, height
    return [
        {"category_id": class_id, "iscrowd": 0, "area": area, "bbox": box, "segmentation": shape}
        for class_id, area, box, shape in zip(class_ids, masks.areas.tolist(), boxes.tolist(), shapes, strict=True)
    ]


def _polygons(labels: np.ndarray, found: Objects) -> list[list[list[int]]]:
    """Each object's polygons [x, y, x, y, …], one a connected piece, along the edges of its pixels, as COCO counts."""
    from ...shapes.polygons import object_polygons

    pieces = find_objects(np.where(found.index < 0, np.uint8(0), labels))
    columns, rows = np.divmod(pieces.masks.starts[pieces.masks.first], labels.shape[0])
    polygons: list[list[list[int]]] = [[] for _ in found.class_ids]
    for number, polygon in zip(found.index[rows, columns].tolist(), object_polygons(labels, pieces), strict=True):
        # Those outlines run through the middle of pixels: their sides to the right and below belong on the pixels' far edges.
        polygons[number].append(np.floor(polygon + 0.7).astype(int).ravel().tolist())
    return polygons


def export_coco(
    classes: Sequence[str],
    items: Iterable[Sample],
    out: Path | str,
    options: CocoOptions | None = None,
) -> Exported:
    """Write a folder of COCO's. `out` appears only when everything is in it.

    Raises UserError naming the sample that cannot be used.
    """
    options = options or CocoOptions()
    check_class_list(classes)
    items = list(items)
    rows = [item.metadata for item in items]
    splits = assign_splits([item.name for item in items], rows, options.split, options.seed)
    several = [one for one in SPLITS if one in splits] if {*splits} - {"train"} else [""]
    found: list[tuple[dict[str, Any], Annotated]] = []
    taken: set[str] = set()
    ious: list[float] = []
    small = 0
    annotate_ = partial(annotate, classes=len(classes), min_area=options.min_area, polygons=options.polygons, panoptic=options.panoptic)
    with staged(out) as part, worked_on(items, annotate_, options.workers) as annotated:
        for split, (item, its) in zip(splits, annotated, strict=True):
            check_name(item.name, taken)
            file_name = f"{item.name}.{item.suffix}"
            item.put_image(part / IMAGES / file_name, link=options.link)
            small += its.small
            ious += its.ious
            if its.panoptic is not None:
                put(part / ANNOTATIONS / (f"{PANOPTIC}_{split}" if several != [""] else PANOPTIC) / f"{item.name}.png", its.panoptic[0])
                its = replace(its, panoptic=(b"", its.panoptic[1]))  # one picture at a time
            found.append(({"file_name": file_name, "width": its.width, "height": its.height}, its))
        for one in several:
            endings, kinds = f"_{one}" if one else "", (Part(), Part())
            for (image, its), row, own in zip(found, rows, splits, strict=True):
                if one in ("", own):
                    kinds[0].add(image, its.instances)
                    metadata = {key: value for key, value in row.items() if key not in WRITTEN_ANEW}
                    kinds[1].add({**image, "metadata": metadata} if metadata else image, its.semantic)
            for kind, name in zip(kinds, (INSTANCES, SEMANTIC), strict=True):
                document = kind.document(categories(classes, ignore=name == SEMANTIC))
                put(part / ANNOTATIONS / f"{name}{endings}.json", json.dumps(document, ensure_ascii=False).encode("utf-8"))
            if options.panoptic:
                chosen = [its.panoptic[1] for (_, its), own in zip(found, splits, strict=True) if its.panoptic and one in ("", own)]
                document = _panoptic(kinds[0], chosen).document(panoptic_categories(classes))
                put(part / ANNOTATIONS / f"{PANOPTIC}{endings}.json", json.dumps(document, ensure_ascii=False).encode("utf-8"))
    notes = []
    if small:
        notes.append(f"{small} pieces below {options.min_area} pixels are no objects in {INSTANCES}; {SEMANTIC} has them")
    if options.polygons and ious:
        notes.append(
            f"polygons, filled by pycocotools, against the masks: IoU {np.mean(ious):.4f} mean, {min(ious):.4f} lowest; RLE loses nothing"
        )
    files = (1 + options.panoptic) * len(items) + (2 + options.panoptic) * len(several)
    return Exported(len(items), files, tuple(notes))


def _panoptic(part: Part, segments: Sequence[list[dict[str, Any]]]) -> Part:
    """A part's images with the segments of each."""
    named = [f"{image['file_name'].rpartition('.')[0]}.png" for image in part.images]
    entries = zip(part.images, named, segments, strict=True)
    return Part(part.images, [{"image_id": image["id"], "file_name": name, "segments_info": its} for image, name, its in entries])


@dataclass(frozen=True)
class Annotated:
    """What is exported of a sample. small: pieces that are no instances. ious: of each instance's polygons, if they are such.

    panoptic: the PNG of its segments and what they are; None: not asked for.
    """

    height: int
    width: int
    instances: list[dict[str, Any]]
    semantic: list[dict[str, Any]]
    small: int
    ious: list[float]
    panoptic: tuple[bytes, list[dict[str, Any]]] | None


def annotate(item: Sample, *, classes: int, min_area: int, polygons: bool, panoptic: bool) -> Annotated:
    labels = item.labels(classes)
    found = item.objects(labels, min_area)
    its = of_objects(labels, found, polygons=polygons)
    height, width = labels.shape
    ious = polygon_ious(found.index, its) if polygons else []
    segments = panoptic_segments(labels, classes, found) if panoptic else None
    return Annotated(height, width, its, semantic(labels), found.small, ious, segments)


def polygon_ious(index: np.ndarray, its: Sequence[Mapping[str, Any]]) -> list[float]:
    """The IoU of each object's polygons, as pycocotools fills them, with its pixels. index: (H, W), the object of each pixel."""
    shape = index.shape
    filled = [fill(polygon_runs(one["segmentation"], shape, "--polygons"), shape) for one in its]
    return [iou(one, index == number) for number, one in enumerate(filled)]
