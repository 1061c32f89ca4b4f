"""Writes and reads COCO's panoptic format, in the folders of COCO itself. Label maps come back exactly.

out/  annotations/panoptic_{train,val}.json         categories, pictures, and the segments of each picture
      annotations/panoptic_{train,val}/NAME.png     the number of the segment at each pixel, as R + 256 G + 65536 B;
                                                    0 is void, which is 255 in label maps
      {train,val}/NAME.png                          pictures, as they are

Category ids are class ids, and 0 is `background`. Each object is a segment. In a dataset with objects, the other pixels
of a class are a crowd. In a dataset without objects, each class is one segment of stuff (`isthing` 0).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from ...config.class_names import BACKGROUND
from ...errors import UserError
from ...files.label_maps import IGNORE, voc_palette
from ...files.reading import Json
from ..encoding import encode_image
from ..sample import Sample
from ..shapes.objects import Objects, whole_classes
from .coco import add_image, new_document
from .coco_data import (
    ANNOTATIONS,
    PANOPTIC,
    Annotation,
    Category,
    CocoFile,
    CocoImage,
    CocoName,
    Id,
    checked,
    classes_of,
)
from .drivers import Import
from .exporting import Export
from .format_table import Contents
from .labelled import Drawing, Labelled, Picture
from .set_files import SetFiles


def write(export: Export) -> None:
    """Writes a JSON file for each split, and a PNG of segments for each sample."""
    things = any(sample.has_objects for sample in export.samples)
    colours = np.reshape(voc_palette(), (-1, 3)).tolist()
    categories: list[Json] = []
    for number, name in enumerate((BACKGROUND, *export.classes)):
        kind = {"isthing": int(things and number > 0), "color": colours[number]}
        categories.append({"id": number, "name": name, "supercategory": name, **kind})
    documents = {part: new_document(categories) for part in export.parts}
    for placed in export.placed(segment, things=things):
        mask, segments = placed.encoded
        export.put(f"{placed.split}/{placed.file_name}", placed.picture)
        file_name = f"{placed.name}.png"
        export.put(f"{ANNOTATIONS}/{PANOPTIC}_{placed.split}/{file_name}", mask)
        add_image(documents[placed.split], placed, [{"file_name": file_name, "segments_info": segments}])
    for part, document in documents.items():
        export.put(f"{ANNOTATIONS}/{PANOPTIC}_{part}.json", json.dumps(document, ensure_ascii=False))


def segment(sample: Sample, labels: np.ndarray, things: bool) -> tuple[bytes, list[Json]]:
    """(mask, segments) of a sample: the bytes of the PNG with the number of the segment at each pixel, and its
    `segments_info`. labels: the label map (H, W). things: whether the dataset has objects."""
    objects = Objects(np.zeros(labels.shape, np.int32), [])
    if sample.has_objects:
        objects = sample.objects(labels)
    # `whole_classes` leaves out 0. With every id one higher, it finds the background (1), and leaves out 255, which
    # becomes 0 in uint8.
    rest = whole_classes(objects.rest(labels + np.uint8(1)))
    numbers, segments = np.zeros(labels.shape, np.int32), list[Json]()
    for group, categories, crowds in (
        (objects, objects.class_ids, False),
        (rest, [higher - 1 for higher in rest.class_ids], things),
    ):
        numbers += np.where(group.numbers > 0, group.numbers + len(segments), 0)
        for category, area, box in zip(categories, group.areas, group.boxes_xywh, strict=True):
            about = {"id": len(segments) + 1, "category_id": category, "iscrowd": int(crowds and category > 0)}
            segments.append({**about, "area": area, "bbox": box})
    rgb = (numbers[..., None] >> np.array([0, 8, 16]) & 255).astype(np.uint8)
    return encode_image(rgb, "png"), segments


class Segment(msgspec.Struct, frozen=True):
    """An entry of `segments_info`."""

    id: Annotated[int, msgspec.Meta(ge=1)]
    category_id: int
    iscrowd: bool | int | None = None


class Panoptic(msgspec.Struct, frozen=True):
    """An annotation: the segments of one picture."""

    image_id: Id
    file_name: str
    """The name of the PNG that holds the segments."""
    segments_info: list[Segment]


class PanopticFile(msgspec.Struct, frozen=True):
    """A JSON file of the format."""

    categories: list[Category]
    images: list[CocoImage]
    annotations: list[Panoptic]

    def as_coco(self) -> CocoFile:
        """This file as a COCO file, in which each segment is an annotation with an empty box."""
        annotations = [
            Annotation(picture.image_id, segment.id, segment.category_id, bbox=[0] * 4, iscrowd=segment.iscrowd)
            for picture in self.annotations
            for segment in picture.segments_info
        ]
        return CocoFile(self.categories, self.images, annotations)


def read(source: Import, *, images: Path | None = None) -> Contents:
    """Reads the files panoptic*.json in a folder and in its annotations/, or one such file. The PNG files are in a
    folder with the file's name. images: the pictures' folder; None: the usual places near the file.

    Class ids count from 1 in the order of the category ids. Void is ignored (255). The segments of things are objects,
    except crowds.
    """
    root = source.path
    files = [*sorted(root.glob(f"{ANNOTATIONS}/{PANOPTIC}*.json")), *sorted(root.glob(f"{PANOPTIC}*.json"))]
    if root.is_file():
        files = [root]
    if not files:
        raise UserError(root, f"has no {PANOPTIC}*.json", "name the JSON file itself")
    given = {path: source.files.json(path, PanopticFile, strict=False) for path in files}
    documents = {path: checked(document.as_coco(), path) for path, document in given.items()}
    listed = classes_of(documents, source.note)
    pictures: list[Labelled] = []
    for path, document in documents.items():
        masks = {entry.image_id: path.with_suffix("") / entry.file_name for entry in given[path].annotations}
        source.count(len(document.images) - len(masks), f"pictures of {path} have no annotation: they are left out")
        things = {entry.id for entry in document.categories if entry.isthing}
        name, by_image = CocoName.of(path), document.by_image()
        folders = name.image_folders(source.folder, images)
        for image in document.images:
            if image.id not in masks:
                continue
            where, mask, annotations = f"{path}, image {image.id}", masks[image.id], by_image[image.id]
            if not mask.is_file():
                raise UserError(where, f"there is no mask {mask}")
            segments = {entry.id: listed.ids[entry.category_id or 0] for entry in annotations}
            if len(segments) < len(annotations):
                raise UserError(where, "two of its segments have one id")
            no_objects = {entry.id: 0 for entry in annotations if entry.iscrowd or entry.category_id not in things}
            paint = partial(_paint, files=source.files, mask=source.files.inside(mask))
            drawing = Drawing(where, image.height, image.width, draw=partial(paint, segments=segments))
            objects = None
            if things:
                objects = replace(drawing, draw=partial(paint, segments={**segments, **no_objects}))
            pictures.append(Labelled(Picture([image.file_name], folders, name.part), drawing, objects))
    return Contents(listed, source.samples_of(pictures))


def _paint(shape: tuple[int, int], files: SetFiles, mask: Path, segments: Mapping[int, int]) -> Objects:
    """The segments of a picture. shape: its (H, W). mask: the PNG. segments: number of a segment → class id. Raises
    UserError."""
    pixels, kind, mode = files.pixels(mask)
    if kind != "PNG" or mode != "RGB":
        raise UserError(mask, f"is {kind} {mode} data; a panoptic mask is an RGB PNG")
    if pixels.shape[:2] != shape:
        raise UserError(mask, f"is {pixels.shape[:2]}, but its picture {shape}")
    present, places = np.unique(pixels @ np.array([1, 256, 65536], np.int32), return_inverse=True)
    class_ids = {0: IGNORE, **segments}
    for number in present.tolist():
        if number not in class_ids:
            raise UserError(mask, f"has a segment {number}, which is not in `segments_info`")
    numbers = places.reshape(pixels.shape[:2]).astype(np.int32) + 1
    absent = class_ids.keys() - {*present.tolist(), 0}  # without a pixel, which `Painted.lost` counts
    return Objects(numbers, tuple(class_ids[number] for number in (*present.tolist(), *absent)))
