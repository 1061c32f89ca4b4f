"""Writes COCO's JSON files: objects for detectors, and classes, from which label maps come back exactly. Reads JSON
files of any program.

out/  images/NAME.png               pictures, as they are
      annotations/instances.json    an annotation per object (an instance, or else a connected piece of a class)
      annotations/semantic.json     an annotation per class of each image; 255 is the category 255, "ignore"

Category ids are class ids, from 1. With samples for validation or testing, there are `instances_train.json`,
`instances_val.json`, and so on. An image's `metadata` in semantic.json is its row of metadata.jsonl.

in/  annotations/instances_val2017.json       COCO itself: pictures in val2017/; likewise stuff_
     annotations/instances_train.json         others: pictures in images/train/; SeeDiff: all in images/
     train/_annotations.coco.json             Roboflow: pictures beside it; likewise valid/ and test/
     labels.json, or another single file      pictures in images/, data/ or beside it
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ...files.messages import Note, no_note, show_json
from ...files.photo_files import visible
from ...files.reading import Json, fit, is_there
from ...rows.row import as_row
from ...rows.values import part_of
from ...version import __version__
from ..class_lists import Category, ClassList, number_classes
from ..sample import Sample
from ..shapes.objects import Objects, whole_classes
from ..shapes.polygons import object_polygons
from ..shapes.rle import box_runs, count_runs, encode_runs, polygon_runs
from .exporting import Export, MinArea, Placed, least_area
from .labelled import Labelled, Shapes, Wanted
from .painting import Near, ReadShapes, Shape, Side, is_box
from .source import Contents, Source
from .what_is_there import Unread

IGNORED_CATEGORY = (IGNORE, "ignore")
"""Id and name of the category that stands for 255 in SeeDiff's semantic.json."""
IMAGES = "images"
ANNOTATIONS = "annotations"
INSTANCES = "instances"
SEMANTIC = "semantic"
PREFIXES = (SEMANTIC, INSTANCES, "person_keypoints", "stuff")
"""Prefixes of mask files, the preferred first. Of a folder, only files with the first prefix that occurs are read."""
CLASS_PREFIXES = (SEMANTIC, "stuff")
"""Prefixes of files in which an annotation is a whole class."""
ROBOFLOW_FILE = "_annotations.coco.json"
"""The name of Roboflow's files."""
STUDIO = "Label Studio"
"""The contributor of Label Studio's files."""


def write(export: Export) -> None:
    """Writes the objects to instances.json, and the classes to semantic.json. Objects below `min_area` are left out;
    with "auto", those of a class are a crowd, which programs ignore. pycocotools fills polygons to exactly the same
    masks."""
    min_area = export.options.min_area
    categories = [{"id": i, "name": name} for i, name in enumerate(export.classes, 1)]
    endings = {part: f"_{part}" for part in export.parts}
    if export.parts in ([], ["train"]):
        endings = {"train": ""}
    ignored = {"id": IGNORED_CATEGORY[0], "name": IGNORED_CATEGORY[1]}
    instances = {ending: new_document(categories) for ending in endings.values()}
    semantic = {ending: new_document([*categories, ignored]) for ending in endings.values()}
    small = 0
    several = 0
    for placed in export.placed(annotate, min_area=min_area, polygons=export.options.polygons):
        objects, whole, areas, left_out, in_pieces = placed.encoded
        small += left_out
        several += in_pieces
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
    for prefix, documents in ((INSTANCES, instances), (SEMANTIC, semantic)):
        for ending, document in documents.items():
            export.put(f"{ANNOTATIONS}/{prefix}{ending}.json", json.dumps(document, ensure_ascii=False))
    written = f"one object per piece in {INSTANCES}, one annotation in {SEMANTIC}"
    export.count(several, f"mask in several pieces: {written}; --min-area N leaves out pieces below N pixels")
    fate = "ignored (iscrowd 1)" if min_area == "auto" else "no objects"
    export.note_pieces(small, f"{fate} in {INSTANCES}; {SEMANTIC} has them")


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
    pixels of each object, the number of objects that are left out, and of classes whose pieces became objects. labels:
    the label map (H, W). min_area, polygons: as in `ExportOptions`."""
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
    numbers = np.asfortranarray(objects.numbers)
    count = len(objects.class_ids)
    shapes = _polygons(objects) if polygons else [encode_runs(numbers == number) for number in range(1, count + 1)]
    boxes = [[left, top, right - left, bottom - top] for left, top, right, bottom in objects.boxes_xyxy]
    about = zip(objects.class_ids, objects.areas, boxes, shapes, strict=True)
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


def read(source: Source) -> Contents:
    """Reads a COCO folder, or one JSON file; `find_annotations` says which files of a folder. Class ids count from 1 in
    the order of the category ids. Where objects overlap, the smaller object is visible. Pixels that are only in an
    ignored crowd, or only in a box, are ignored (255). Raises UserError."""
    documents = {path: load_coco(source, path) for path in find_annotations(source.path)}
    source.not_read(chain(*map(unknown_files, {path.parent for path in documents})), documents)
    _check_crowds(source, documents)
    class_list = classes_of(documents, source.note)
    pictures = list[Labelled[Shapes]]()
    for path, document in documents.items():
        name = CocoName.of(path)
        source.shown |= document.of_shown
        read_of = document.shapes(path)
        folders = name.image_folders(source)
        objects = _objects_beside(source, name, class_list)
        for image in document.images:
            row = as_row(image.metadata, f"{path}: metadata of image '{image.file_name}'")
            size = (None, None) if document.of_shown else (image.height, image.width)
            shapes = Shapes(read_of[image.id], size, objects.get(image.file_name))
            wanted = Wanted([image.file_name], folders)
            pictures.append(Labelled(f"{path}, image {image.id}", wanted, shapes, name.part, row=row))
    of_classes = CocoName.of(next(iter(documents))).prefix in CLASS_PREFIXES
    return source.shapes_of(pictures, class_list, proves_objects=lambda _: not of_classes, small_on_top=True)


def _objects_beside(source: Source, name: CocoName, class_list: ClassList) -> dict[str, ReadShapes]:
    """Name of a picture → its objects, from the instances.json that SeeDiff writes beside semantic.json. Empty if this
    file is missing or has other classes. name: the file that is read. class_list: its classes."""
    file = name.path.with_name(name.path.name.replace(SEMANTIC, INSTANCES, 1))
    if name.prefix != SEMANTIC or not is_there(file):
        return {}
    document = load_coco(source, file)
    if classes_of({file: document}).ids.items() - class_list.ids.items():
        return {}
    shapes = document.shapes(file)
    return {image.file_name: shapes[image.id] for image in document.images}


def _check_crowds(source: Source, documents: Mapping[Path, CocoFile]) -> None:
    """Notes how many annotations are ignored. documents: the files. Raises UserError if all masks are crowds, because
    some tools write every mask as a crowd."""
    annotations = list(chain(*(document.annotations for document in documents.values())))
    crowds = sum(bool(each.masked and each.iscrowd) for each in annotations)
    ignored = sum(bool(each.ignore) for each in annotations)
    if crowds and source.crowds is None and crowds == sum(each.masked for each in annotations):
        problem = "all its masks are crowds (iscrowd 1), which are ignored, but some tools mark every mask this way"
        fix = "--crowds objects takes them for objects, --crowds ignored leaves them out"
        raise UserError(next(iter(documents)), problem, fix)
    of = f"of {len(annotations)} annotations"
    source.count(crowds, f"{of} with `iscrowd` 1, no objects: pixels only in them are ignored (255)")
    source.count(ignored, f"{of} with `ignore`: pixels in them are ignored (255)")


@dataclass(frozen=True)
class CocoName:
    """The path of a COCO file, and what it says.

    For example, annotations/instances_val2017.json has the prefix "instances", the words "val2017" and the part "val".
    Roboflow's train/_annotations.coco.json has no prefix; its words are "train", the name of its folder.
    """

    path: Path
    prefix: str
    """The beginning of the file's name: one of PREFIXES; "" for another beginning."""
    words: str
    """The rest of the file's name, without its suffix."""

    @classmethod
    def of(cls, path: Path) -> CocoName:
        """The name of a file. path: the file."""
        if path.name == ROBOFLOW_FILE:
            return cls(path, "", path.parent.name)
        prefix = next((prefix for prefix in PREFIXES if path.stem.startswith(prefix)), "")
        return cls(path, prefix, path.stem.removeprefix(prefix).removeprefix("_"))

    @property
    def part(self) -> str:
        """The split that the last word means without its year: "val" for `val2017`; "test" also for `test-dev`.
        Otherwise all words."""
        splits = [part_of(word.rstrip("0123456789")) for word in re.split("[_-]", self.words)]
        last = splits[-1]
        if last is None:
            return self.words
        if "test" in splits:
            return "test"
        return last

    def image_folders(self, source: Source) -> list[Path]:
        """The folders that may hold the pictures, the likeliest first: those named like the part, in the folder that
        the user named, or else beside the annotations and in the usual folders."""
        parts = [part for part in dict.fromkeys((self.words, self.words.rpartition("_")[2])) if part.strip(".")]
        if source.images is not None:
            return [source.images, *(source.images / part for part in parts)]
        # SeeDiff writes the pictures of all parts into images/, where `train/` may belong to a sample's name.
        places = ["", IMAGES, *(f"{IMAGES}/{part}" for part in parts), *parts, "data"]
        beside = self.path.parent
        bases = dict.fromkeys((beside, source.folder, beside.parent if beside.name == ANNOTATIONS else beside))
        return [base / place for base, place in product(bases, places)]


Id = int | float | str


class CocoImage(msgspec.Struct, frozen=True):
    """A picture."""

    id: Id
    file_name: str
    height: Side
    width: Side
    metadata: dict[str, Any] = {}
    """The picture's row of metadata.jsonl, in files that SeeDiff wrote."""


class Rle(msgspec.Struct, frozen=True):
    """A mask as run lengths."""

    size: list[int]
    counts: list[int] | str
    """The run lengths, or the text into which COCO compresses them."""


class Annotation(msgspec.Struct, frozen=True):
    """An object as polygons [x, y, x, y, …], as run lengths, or only as a box [x, y, width, height]."""

    image_id: Id
    id: Any = None
    category_id: int | None = None
    segmentation: list[list[Near]] | Rle | None = None
    bbox: list[Near] | None = None
    iscrowd: bool | int | None = None
    ignore: bool | float | None = None

    @property
    def polygons(self) -> list[list[float]]:
        """The polygons, without stray points and lines, which have no area; [] for run lengths."""
        given = self.segmentation if isinstance(self.segmentation, list) else []
        return [polygon for polygon in given if len(polygon) not in (0, 2, 4)]

    @property
    def is_box(self) -> bool:
        """Whether the object is only a box, or a polygon that is one."""
        polygons = self.polygons
        if len(polygons) != 1:
            return not self.masked
        return is_box([*zip(polygons[0][::2], polygons[0][1::2], strict=False)])

    @property
    def masked(self) -> bool:
        """Whether the object has a mask, not only a box."""
        return isinstance(self.segmentation, Rle) or bool(self.polygons)


class CocoFile(msgspec.Struct, frozen=True):
    """A file of annotations."""

    categories: list[Category]
    images: list[CocoImage]
    annotations: list[Annotation]
    info: Any = None

    @property
    def of_shown(self) -> bool:
        """Whether Label Studio wrote the file: shapes on the picture as it is shown. It stretches polygons, not boxes,
        to the sides of the picture as it is stored."""
        return isinstance(self.info, dict) and self.info.get("contributor") == STUDIO

    def shapes(self, path: Path) -> dict[Id, ReadShapes]:
        """Image id → the shapes of the image. path: the file."""
        annotations: dict[Id, list[Annotation]] = {image.id: [] for image in self.images}
        for annotation in self.annotations:
            annotations[annotation.image_id].append(annotation)
        sizes = {image.id: (image.height, image.width) for image in self.images if self.of_shown}
        return {i: partial(_shapes, path, of_image, sizes.get(i)) for i, of_image in annotations.items()}


def load_coco(source: Source, path: Path) -> CocoFile:
    """Reads a file. Crowds are objects if the user says so. Raises UserError if two images or categories have one id,
    or if an annotation names an id that does not exist."""
    kind: Any = CocoFile | list[msgspec.Raw]
    document = source.files.json(path, kind, strict=False)
    if isinstance(document, list):
        raise Unread(path, "is a list, as of results (predictions), which names no images and categories")
    images = [entry.id for entry in document.images]
    categories = [entry.id for entry in document.categories]
    for part, ids in (("images", images), ("categories", categories)):
        if len({*ids}) < len(ids):
            raise UserError(path, f"two {part} have the id {Counter(ids).most_common(1)[0][0]}")
    existing = {"image": {*images}, "category": {*categories}}
    for number, entry in enumerate(document.annotations):
        for part, id_ in (("image", entry.image_id), ("category", entry.category_id)):
            if id_ not in existing[part]:
                raise UserError(path, f"annotations[{number}] is of {part} {show_json(id_)}, which does not exist")
    if source.crowds != "objects":
        return document
    annotations = [msgspec.structs.replace(entry, iscrowd=None) for entry in document.annotations]
    return msgspec.structs.replace(document, annotations=annotations)


def classes_of(documents: Mapping[Path, CocoFile], note: Note = no_note) -> ClassList:
    """The classes in the order of the category ids, and category id → id in label maps. documents: the files of a set.
    note: called with lines for the user. Raises UserError if the documents have different categories."""
    used: set[int | None] = set()
    for document in documents.values():
        used.update(annotation.category_id for annotation in document.annotations)
    named = {path: _names(document.categories, used) for path, document in documents.items()}
    first, names = next(iter(named.items()))
    for other in named:
        if named[other] != names:
            raise UserError(other, f"its categories are not those of {first}", "import them one by one")
    return number_classes(names, f"{first}: categories", void=(IGNORE,), note=note)


def _names(categories: Sequence[Category], used: Collection[int | None]) -> dict[int, str]:
    """Category id → name, in rising order. Roboflow's category 0 is the parent of the others; it is left out if no
    annotation has it. used: the category ids of annotations."""
    names = {category.id: category.name for category in sorted(categories, key=lambda category: category.id)}
    if 0 not in used and any(category.id and category.supercategory == names.get(0, object) for category in categories):
        del names[0]
    return names


def _shapes(where: Path, annotations: Sequence[Annotation], size: tuple[int, int] | None) -> Iterator[Shape]:
    """The shapes of a picture's annotations. Crowds and annotations with `ignore` are 255, below all objects. where:
    the JSON file. size: as for `_runs`."""
    for each in annotations:
        here = f"{where}: annotation {each.id}"
        kind = "polygon" if each.masked else "box"
        label, layer = str(each.category_id), 0
        if each.ignore or each.iscrowd:
            label, layer = IGNORED_CATEGORY[1], -1
        yield Shape(here, kind, label, partial(_runs, each=each, size=size, where=here), each.is_box, layer=layer)


def _runs(frame: tuple[int, int], each: Annotation, size: tuple[int, int] | None, where: str) -> np.ndarray:
    """The run lengths of an annotation in a picture of the size `frame`, (H, W). size: to which its polygons
    were stretched; None: `frame`. where: its name in errors. Raises UserError."""
    mask = each.segmentation
    if isinstance(mask, Rle):
        return count_runs(mask.size, mask.counts, frame, where)
    if each.masked:
        sides = np.divide(frame, size or frame)[::-1]
        stretched = [np.multiply(one, np.resize(sides, len(one))).tolist() for one in each.polygons]
        return polygon_runs(stretched, frame, where)
    x, y, width, height = fit(each.bbox or [0] * 4, tuple[float, float, float, float], f"{where}: 'bbox'")
    return box_runs(frame, x, y, x + width, y + height)


def find_annotations(path: Path) -> list[Path]:
    """The JSON files of a set, such as instances_train.json and instances_val.json.

    path: one JSON file, or the folder of the set. In a folder, these files are searched for, first in annotations/:
    those of the first of PREFIXES, or else Roboflow's files, or else files whose names end in a split, or else the
    only file. Raises UserError if there are no such files.
    """
    if path.is_file():
        return [path]
    folder = path / ANNOTATIONS
    if not folder.is_dir():
        folder = path
    usual = [
        *((folder, f"{prefix}*.json") for prefix in PREFIXES),
        (folder, ROBOFLOW_FILE),
        (path, f"*/{ROBOFLOW_FILE}"),
    ]
    for base, pattern in usual:
        files = sorted(visible(base, pattern))
        if files:
            return files
    others = unknown_files(folder)
    parts = [file for file in others if part_of(CocoName.of(file).part)]
    if parts or len(others) == 1:
        return parts or others
    raise Unread(folder, f"has no {SEMANTIC}*.json or {INSTANCES}*.json", "name the JSON file itself")


def unknown_files(folder: Path) -> list[Path]:
    """The JSON files in a folder whose names are not those of COCO's own files for other tasks."""
    known = ("captions", "image_info", "labels_", "panoptic", *PREFIXES)
    return [path for path in sorted(visible(folder, "*.json")) if not path.name.startswith(known)]
