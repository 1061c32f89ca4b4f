"""COCO's JSON files from any program: which files and pictures belong together, the files' types, and their shapes as
painted pixels.

annotations/instances_val2017.json       COCO itself: pictures in val2017/; likewise stuff_
annotations/instances_train.json         others: pictures in images/train/; SeeDiff: all in images/
train/_annotations.coco.json             Roboflow: pictures beside it; likewise valid/ and test/
labels.json, or another single file      pictures in images/, data/ or beside it
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, floor
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE, visible
from ...files.messages import show_json
from ...rows.parts import part_of
from ..class_lists import ClassList, Note, no_note, number_classes
from ..shapes.objects import Objects
from ..shapes.rle import count_runs, polygon_runs
from .labelled import Draw
from .painting import BOXES, Canvas, Near, Side, is_box
from .set_files import SetFiles

IGNORED_CATEGORY = (IGNORE, "ignore")
"""Id and name of the category that stands for 255 in SeeDiff's semantic.json."""
IMAGES, ANNOTATIONS = "images", "annotations"
INSTANCES, SEMANTIC = "instances", "semantic"
FILE_KINDS = (SEMANTIC, INSTANCES, "person_keypoints", "stuff")
"""Prefixes of mask files, the preferred first. Of a folder, only files with the first prefix that occurs are read."""
ROBOFLOW_FILE = "_annotations.coco.json"
"""The name of Roboflow's files."""


@dataclass(frozen=True)
class CocoName:
    """The path of a COCO file, and what it says.

    For example, annotations/instances_val2017.json has the kind "instances", the words "val2017" and the part "val".
    Roboflow's train/_annotations.coco.json has no kind; its words are "train", the name of its folder.
    """

    path: Path
    kind: str
    """The beginning of the file's name: one of FILE_KINDS; "" for another beginning."""
    words: str
    """The rest of the file's name, without its suffix."""

    @classmethod
    def of(cls, path: Path) -> CocoName:
        """The name of a file. path: the file."""
        if path.name == ROBOFLOW_FILE:
            return cls(path, "", path.parent.name)
        kind = next((kind for kind in FILE_KINDS if path.stem.startswith(kind)), "")
        return cls(path, kind, path.stem.removeprefix(kind).removeprefix("_"))

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

    def beside(self, kind: str) -> Path:
        """The file of another kind with the same words: annotations/stuff_val2017.json for the example and "stuff"."""
        return self.path.with_name(self.path.name.replace(self.kind, kind, 1))

    def image_folders(self, root: Path, images: Path | None) -> list[Path]:
        """The folders that may hold the pictures, the likeliest first. root: the dataset's folder. images: the folder
        of pictures that the user named, or None."""
        parts = [part for part in dict.fromkeys((self.words, self.words.rpartition("_")[2])) if part.strip(".")]
        if images is not None:
            return [images, *(images / part for part in parts)]
        above = self.path.parent
        folders: list[Path] = []
        if self.path.name == ROBOFLOW_FILE:
            folders, parts = [above], []
        if above.name == ANNOTATIONS:
            above = above.parent
        places = [*(f"{IMAGES}/{part}" for part in parts), IMAGES, *parts, "data", ""]
        if self.kind and self.beside(SEMANTIC).is_file():
            # SeeDiff writes the pictures of all parts into images/, where `train/` may belong to a sample's name.
            places.insert(0, IMAGES)
        for base in (root, above):
            folders += [base / place for place in places]
        return list(dict.fromkeys([*folders, self.path.parent]))


Crowds = Literal["ignored", "objects"]
"""What to do with annotations with `iscrowd` 1."""
Id = int | float | str


class Category(msgspec.Struct, frozen=True):
    """A class."""

    id: int
    name: str
    supercategory: Any = None


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
        if not self.masked:
            return bool(self.bbox) and len(self.bbox or ()) == 4
        polygons = [[*zip(one[::2], one[1::2], strict=False)] for one in self.polygons]
        return len(polygons) == 1 and is_box(polygons[0])

    @property
    def masked(self) -> bool:
        """Whether the object has a mask, not only a box."""
        return isinstance(self.segmentation, Rle) or bool(self.polygons)


class CocoFile(msgspec.Struct, frozen=True):
    """A file of annotations."""

    categories: list[Category]
    images: list[CocoImage]
    annotations: list[Annotation]

    def by_image(self) -> dict[Id, list[Annotation]]:
        """Image id → the annotations of the image."""
        annotations: dict[Id, list[Annotation]] = {image.id: [] for image in self.images}
        for annotation in self.annotations:
            annotations[annotation.image_id].append(annotation)
        return annotations


def load_coco(files: SetFiles, path: Path) -> CocoFile:
    """Reads a file and checks it. Raises UserError."""
    return checked(files.json(path, CocoFile, strict=False), path)


def checked(document: CocoFile, path: Path) -> CocoFile:
    """Returns the document. Raises UserError if two images or categories have one id, or if an annotation names an id
    that does not exist. path: the document's file, for errors."""
    images, categories = [entry.id for entry in document.images], [entry.id for entry in document.categories]
    for part, ids in (("images", images), ("categories", categories)):
        if len({*ids}) < len(ids):
            raise UserError(path, f"two {part} have the id {Counter(ids).most_common(1)[0][0]}")
    existing = {"image": {*images}, "category": {*categories}}
    for number, entry in enumerate(document.annotations):
        for part, id_ in (("image", entry.image_id), ("category", entry.category_id)):
            if id_ not in existing[part]:
                raise UserError(path, f"annotations[{number}] is of {part} {show_json(id_)}, which does not exist")
    return document


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


def _runs(annotation: Annotation, shape: tuple[int, int], where: str) -> np.ndarray:
    """(N,): the run lengths of an annotation's mask. shape: (H, W) of the picture. where: the annotation's name in
    errors. Raises UserError."""
    if isinstance(annotation.segmentation, Rle):
        return count_runs(annotation.segmentation.size, annotation.segmentation.counts, shape, where)
    if not annotation.masked:
        x, y, width, height = annotation.bbox or (0, 0, 0, 0)
        left, top, right, bottom = floor(x), floor(y), ceil(x + width), ceil(y + height)  # what the box touches
        return polygon_runs([[left, top, right, top, right, bottom, left, bottom]], shape, where)
    return polygon_runs(annotation.polygons, shape, where)


def draw_of(
    annotations: Sequence[Annotation],
    ids: Mapping[int, int],
    where: Path,
    all_objects: bool = False,
    boxes: bool = False,
) -> Draw:
    """Paints the annotations of a picture. ids: category id → id in label maps. where: the JSON file. all_objects:
    crowds are objects, too. boxes: boxes are masks."""
    return partial(_paint, annotations=annotations, ids=ids, where=where, all_objects=all_objects, boxes=boxes)


def _paint(
    shape: tuple[int, int],
    annotations: Sequence[Annotation],
    ids: Mapping[int, int],
    where: Path,
    all_objects: bool,
    boxes: bool,
) -> Objects:
    """The painted annotations of a picture of the size `shape`, (H, W): first boxes and crowds, as 255;
    over them the objects, the largest first. Annotations with `ignore` are 255, like crowds. The other arguments are
    those of `draw_of`. Raises UserError."""
    canvas = Canvas(shape)
    masks: list[tuple[bool, int, np.ndarray]] = []
    for annotation in annotations:
        if not (annotation.masked or annotation.is_box):
            continue
        runs = _runs(annotation, shape, f"{where}: annotation {annotation.id}")
        seen, class_id = False, IGNORE
        if annotation.is_box and not boxes:
            canvas.runs(runs, BOXES)
            continue
        if not annotation.ignore and (all_objects or not annotation.iscrowd):
            seen, class_id = True, ids[annotation.category_id or 0]
        masks.append((seen, class_id, runs))
    for _, class_id, runs in sorted(masks, key=lambda mask: (mask[0], -mask[2][1::2].sum())):
        canvas.runs(runs, canvas.number(class_id))
    return canvas.painted()


def find_annotations(source: Path) -> list[Path]:
    """The JSON files of a set, such as instances_train.json and instances_val.json.

    source: one JSON file, or the folder of the set. In a folder, these files are searched for, first in annotations/:
    those of the first of FILE_KINDS, or else Roboflow's files, or else files whose names end in a split, or else the
    only file. Raises UserError if there are no such files.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(source, "no such folder or JSON file")
    folder = source / ANNOTATIONS
    if not folder.is_dir():
        folder = source
    usual = [
        *((folder, f"{kind}*.json") for kind in FILE_KINDS),
        (folder, ROBOFLOW_FILE),
        (source, f"*/{ROBOFLOW_FILE}"),
    ]
    for base, pattern in usual:
        files = sorted(visible(base, pattern))
        if files:
            return files
    others = unknown_files(folder)
    parts = [path for path in others if part_of(CocoName.of(path).part)]
    if parts or len(others) == 1:
        return parts or others
    fix = "name the JSON file itself"
    if others:
        fix += f": it holds {', '.join(path.name for path in others[:5])}"
    raise UserError(folder, f"has no {SEMANTIC}*.json or {INSTANCES}*.json", fix)


def unknown_files(folder: Path) -> list[Path]:
    """The JSON files in a folder whose names are not those of COCO's own files for other tasks."""
    known = ("captions", "image_info", "labels_", "panoptic", *FILE_KINDS)
    return [path for path in sorted(visible(folder, "*.json")) if not path.name.startswith(known)]
