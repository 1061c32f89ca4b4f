"""Writes COCO's JSON files: objects for detectors, and classes, from which label maps come back exactly. Reads JSON
files of any program.

out/  images/NAME.png               pictures, as they are
      annotations/instances.json    an annotation per object (an instance, or else a connected piece of a class)
      annotations/semantic.json     an annotation per class of each image; 255 is the category 255, "ignore"

Category ids are class ids, from 1. With samples for validation or testing, there are `instances_train.json`,
`instances_val.json`, and so on. An image's `metadata` in semantic.json is its row of metadata.jsonl.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from ... import __version__
from ...errors import UserError
from ...files.label_maps import IGNORE
from ...files.reading import Json
from ...rows.row import as_row
from ..sample import Sample
from ..shapes.objects import Objects, whole_classes
from ..shapes.polygons import object_polygons
from ..shapes.rle import encode
from .coco_data import (
    ANNOTATIONS,
    IGNORED_CATEGORY,
    IMAGES,
    INSTANCES,
    SEMANTIC,
    CocoFile,
    CocoName,
    Crowds,
    classes_of,
    draw_of,
    find_annotations,
    load_coco,
    unknown_files,
)
from .drivers import Import
from .exporting import Export, MinArea, Placed, least_area
from .format_table import Contents
from .labelled import Draw, Labelled


def write(export: Export, *, min_area: MinArea = 1, polygons: bool = False) -> None:
    """Writes the objects to instances.json, and the classes to semantic.json. min_area: objects with fewer pixels are
    left out; with "auto", those of a class are a crowd, which programs ignore. polygons: write objects as polygons
    instead of run lengths. pycocotools fills these polygons to exactly the same masks."""
    categories = [{"id": i, "name": name} for i, name in enumerate(export.classes, 1)]
    endings = {part: f"_{part}" for part in export.parts}
    if export.parts in ([], ["train"]):
        endings = {"train": ""}
    ignored = {"id": IGNORED_CATEGORY[0], "name": IGNORED_CATEGORY[1]}
    instances = {ending: new_document(categories) for ending in endings.values()}
    semantic = {ending: new_document([*categories, ignored]) for ending in endings.values()}
    small, several = 0, 0
    for placed in export.placed(annotate, min_area=min_area, polygons=polygons):
        objects, whole, areas, left_out, in_pieces = placed.encoded
        small, several = small + left_out, several + in_pieces
        export.see(placed.sample, areas)
        ending = endings[placed.split]
        export.put(f"{IMAGES}/{placed.file_name}", placed.picture)
        # Without what `import` computes again. `classes` is not among it: it may name classes without a pixel, in any
        # order.
        row = placed.sample.row.replace(file_name=None, mask_file_name=None, class_ids=None, area=None)
        if row.split is not None and placed.split != row.part:  # another share was set aside
            row = row.replace(split=placed.split)
        add_image(instances[ending], placed, objects)
        add_image(semantic[ending], placed, whole, row.to_json())
    for kind, documents in ((INSTANCES, instances), (SEMANTIC, semantic)):
        for ending, document in documents.items():
            export.put(f"{ANNOTATIONS}/{kind}{ending}.json", json.dumps(document, ensure_ascii=False))
    export.note_several(several, "become one annotation per piece, because the set has no objects of its own")
    fate = "ignored (iscrowd 1)" if min_area == "auto" else "not objects"
    export.note_pieces(min_area, small, f"are {fate} in {INSTANCES}; {SEMANTIC} has them")


def new_document(categories: list[Json]) -> Json:
    """A COCO document that has no images yet."""
    info = {"description": "masks by SeeDiff", "version": __version__}
    return {"info": info, "images": [], "annotations": [], "categories": categories}


def add_image(document: Json, placed: Placed, annotations: Sequence[Json], metadata: Json | None = None) -> None:
    """Adds an image and its annotations to a COCO document. Both are numbered from 1. placed: the image. annotations:
    without `id` and `image_id`. metadata: the row to write into the image."""
    number = len(document["images"]) + 1
    image = {"id": number, "file_name": placed.file_name, "width": placed.width, "height": placed.height}
    if metadata:
        image["metadata"] = metadata
    document["images"].append(image)
    for annotation in annotations:
        document["annotations"].append({"id": len(document["annotations"]) + 1, "image_id": number, **annotation})


def annotate(
    sample: Sample, labels: np.ndarray, min_area: MinArea, polygons: bool
) -> tuple[list[Json], list[Json], list[int], int, int]:
    """(objects, classes, areas, small, several) of a sample: an annotation per object, an annotation per class, the
    pixels of each object, the number of objects that are left out, and the number of classes in several pieces, which
    are objects where the sample has none. labels: the label map (H, W). min_area, polygons: as for `write`."""
    objects = sample.objects(labels, least_area(sample, labels, min_area))
    annotations = of_objects(objects, polygons)
    if min_area == "auto" and sample.row.unchecked:
        rest = objects.rest(labels)
        rest[rest == IGNORE] = 0
        annotations += [{**one, "iscrowd": 1} for one in of_objects(whole_classes(rest))]
    several = 0 if sample.has_objects else sum(count > 1 for count in Counter(objects.class_ids).values())
    return annotations, of_objects(whole_classes(labels)), objects.areas, objects.small, several


def of_objects(objects: Objects, polygons: bool = False) -> list[Json]:
    """An annotation for each object, without `id` and `image_id`. polygons: write polygons instead of run lengths."""
    numbers, count = np.asfortranarray(objects.numbers), len(objects.class_ids)
    shapes = _polygons(objects) if polygons else [encode(numbers == number) for number in range(1, count + 1)]
    about = zip(objects.class_ids, objects.areas, objects.boxes_xywh, shapes, strict=True)
    return [
        {"category_id": class_id, "iscrowd": 0, "area": area, "bbox": box, "segmentation": shape}
        for class_id, area, box, shape in about
    ]


def _polygons(objects: Objects) -> list[list[list[int]]]:
    """The polygons [x, y, x, y, …] of each object, one around each of its connected pieces, along the edges of
    pixels."""
    pieces, owners = objects.pieces()
    polygons: list[list[list[int]]] = [[] for _ in objects.class_ids]
    for number, polygon in zip(owners, object_polygons(pieces), strict=True):
        # Corners of right and lower sides, at 0.45 in their pixel, go to its far edge; the others, at 0.05, to its near
        # edge.
        polygons[number].append(np.floor(polygon + 0.7).astype(int).ravel().tolist())
    return polygons


def read(
    source: Import,
    *,
    images: Path | None = None,
    crowds: Crowds | None = None,
) -> Contents:
    """Reads a COCO folder, or one JSON file. Class ids count from 1 in the order of the category ids.

    images: the pictures' folder; None: the usual places near the annotations. crowds: "ignored" ignores annotations
    with iscrowd 1, and "objects" takes them for objects. None ignores them too, but raises UserError if all masks are
    crowds, because some tools write every mask as a crowd.

    `find_annotations` says which files of a folder are read. Where objects overlap, the smaller object is visible.
    Pixels that are only in an ignored crowd, or only in a box without a mask, are ignored (255).
    """
    documents = {path: load_coco(source.files, path) for path in find_annotations(source.path)}
    source.not_read(chain(*map(unknown_files, {path.parent for path in documents})), documents)
    boxes = _check_masks(documents, crowds, source)
    listed = classes_of(documents, source.note)
    classes, ids = listed.classes, listed.ids
    pictures, empty = list[Labelled](), 0
    for path, document in documents.items():
        name, by_image = CocoName.of(path), document.by_image()
        folders, object_drawings = name.image_folders(source.folder, images), _objects_beside(source, name, classes)
        for image in document.images:
            row = as_row(image.metadata, f"{path}: metadata of image '{image.file_name}'")
            annotations = by_image[image.id]
            draw = draw_of(annotations, ids, path, crowds == "objects", boxes)
            objects: Draw | None = draw
            if name.kind in (SEMANTIC, "stuff"):  # an annotation is a whole class
                objects = object_drawings.get(image.file_name)
            about = {"part": name.part, "row": row, "draw": draw, "objects": objects}
            size = image.height, image.width
            pictures.append(Labelled(f"{path}, image {image.id}", [image.file_name], folders, size=size, **about))
            empty += not annotations
    source.count(empty, f"of {len(pictures)} pictures have no shape: background only")
    return Contents(listed, source.samples_of(pictures))


def _objects_beside(source: Import, name: CocoName, classes: Sequence[str]) -> dict[str, Draw]:
    """Name of a picture → its objects, from the instances.json that SeeDiff writes beside semantic.json. Empty if this
    file is missing or has other classes. name: the file that is read. classes: its classes."""
    file = name.beside(INSTANCES)
    if name.kind != SEMANTIC or not file.is_file():
        return {}
    document = load_coco(source.files, file)
    listed = classes_of({file: document})
    if listed.classes != classes:
        return {}
    by_image = document.by_image()
    return {image.file_name: draw_of(by_image[image.id], listed.ids, file) for image in document.images}


def _check_masks(documents: Mapping[Path, CocoFile], crowds: Crowds | None, source: Import) -> bool:
    """Whether boxes are masks. Notes what is lost of the annotations. documents: the files. crowds: as for `read`.
    Raises UserError as `takes_boxes` does, and if all masks are crowds and `crowds` is None."""
    if crowds not in (None, "ignored", "objects"):
        raise UserError("crowds", f"{crowds} must be ignored or objects")
    shapes = list(chain(*(document.annotations for document in documents.values())))
    masked = [annotation for annotation in shapes if annotation.masked]
    several, where = sum(bool(annotation.iscrowd) for annotation in masked), next(iter(documents))
    if masked and crowds is None and several == len(masked):
        problem = "all its masks are crowds (iscrowd 1), which are ignored, but some tools mark every mask this way"
        raise UserError(where, problem, "--crowds objects takes them for objects, --crowds ignored leaves them out")
    of = f"of {len(shapes)} annotations"
    if crowds != "objects":
        source.count(several, f"{of} are crowds (iscrowd 1), not objects; pixels only in them are ignored (255)")
    source.count(sum(bool(each.ignore) for each in shapes), f"{of} have `ignore`: their pixels are ignored (255)")
    used = [annotation for annotation in shapes if not annotation.ignore]
    boxes = [annotation for annotation in used if annotation.is_box or not annotation.masked]
    return source.takes_boxes(len(boxes), sum(annotation.masked for annotation in boxes), len(used), where)
