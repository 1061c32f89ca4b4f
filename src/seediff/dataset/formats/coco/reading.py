"""Reads COCO's JSON, from any program, as label maps. Where objects overlap, the smaller one is seen.

annotations/instances_val2017.json       pictures in val2017/, as COCO itself; likewise stuff_ and panoptic_
annotations/instances_train.json         pictures in images/train/, as others, or all in images/, as SeeDiff
train/_annotations.coco.json             Roboflow's, beside its pictures; likewise valid/ and test/
labels.json, or another single file      pictures in images/, data/ or beside it
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ....errors import UserError
from ....files.pictures import open_picture
from ....files.reading import inside
from ... import native
from ...encoding import Instances
from ...rows import check_row, stem_of
from ...sample import Sample
from ...shapes.rle import area, check_layers, count_runs, paint_box, paint_runs, polygon_runs
from ..drivers import Source, portable
from ..known import json_kind
from ..label_files import PARTS, Shapes, check_frame
from .document import (
    ANNOTATIONS,
    IMAGES,
    INSTANCES,
    PANOPTIC,
    SEMANTIC,
    SHIFTS,
    Annotation,
    Document,
    Image,
    Rle,
    Segments,
    classes_of,
    load,
)

Crowds = Literal["ignored", "objects"]
ROBOFLOW = "_annotations.coco.json"
KINDS = (SEMANTIC, INSTANCES, "person_keypoints", PANOPTIC, "stuff")
"""Beginnings of file names. The first kind that a folder has is read."""


def is_folder(folder: Path) -> bool:
    ours = any(json_kind(path) == "coco" for path in sorted(folder.glob("*.json"))[:8] if path.is_file())
    return (folder / ANNOTATIONS).is_dir() or ours or any(folder.glob(f"*/{ROBOFLOW}"))


def read(
    source: Source,
    *,
    images: Path | str | None = None,
    annotations: Path | str | None = None,
    crowds: Crowds | None = None,
) -> tuple[tuple[str, ...], list[Sample]]:
    """A COCO folder, or one JSON file.

    In a folder, annotations/semantic*.json are read, or else instances*.json and other usual names; `annotations` names
    another file. images: the pictures' folder; None: the usual places near the annotations. Where objects overlap, the
    smaller one is visible. Pixels that are only in a crowd (iscrowd 1), or only in a box without a mask, are ignored
    (255). crowds: how to treat crowds; None: as ignored, but with an error if all masks are crowds, because some tools
    write every mask as a crowd.

    Class ids count from 1 in the order of the category ids, without the parent category that Roboflow writes with id 0.
    In panoptic files, each segment has its class, and pixels in no segment are ignored.
    """
    files = [Path(annotations)] if annotations is not None else find_annotations(source.path)
    root = source.path if source.path.is_dir() else source.path.parent
    documents = [load(path) for path in files]
    _check_masks(documents, crowds, source)
    classes, ids = classes_of(documents)
    samples: list[Sample] = []
    stems = Counter(stem_of(portable(image.file_name)) for document in documents for image in document.images)
    for path, document in zip(files, documents, strict=True):
        folders = picture_folders(root, path, Path(images) if images is not None else None)
        split = part_of(path)
        beside = _objects_beside(path, classes)
        thing_ids = {**ids, **{category.id: 0 for category in document.categories if category.isthing == 0}}
        for image in document.images:
            if (at := source.picture(folders, [image.file_name], "file_name", f"{path}, image {image.id}")) is None:
                continue
            picture, stem = at[0], stem_of(portable(image.file_name))
            name = f"{split}/{stem}" if split and len(files) > 1 and stems[stem] > 1 else stem
            check_row(image.metadata, f"{path}: metadata of image '{image.file_name}'")
            row = {**image.metadata, **({"split": split} if split else {})}
            if document.segments is not None and image.id not in document.segments:
                raise UserError(f"{path}, image {image.id}: has no annotation; in a panoptic file every image has one")
            content = document.instances[image.id] if document.segments is None else document.segments[image.id]
            objects = not path.name.startswith((SEMANTIC, "stuff"))
            if document.segments is not None:
                objects = partial(_paint, path, image, content, thing_ids, picture, things=True)
            elif image.file_name in beside:
                objects = partial(beside[image.file_name], picture)
            paint = partial(_paint, path, image, content, ids, picture, crowds_are_objects=crowds == "objects")
            samples.append(source.sample(name, picture, paint, row, path, objects=objects))
    return classes, samples


def _objects_beside(path: Path, classes: Sequence[str]) -> dict[str, Callable[[Path], Instances]]:
    """Picture path → a function that paints the picture's objects, from the instances.json beside a semantic.json of
    SeeDiff. Empty if there is none with the same classes."""
    if (
        not path.name.startswith(SEMANTIC)
        or not (file := path.with_name(path.name.replace(SEMANTIC, INSTANCES, 1))).is_file()
    ):
        return {}
    document = load(file)
    names, ids = classes_of([document])
    if names != tuple(classes) or document.segments is not None:
        return {}
    listed = document.instances
    return {image.file_name: partial(_paint, file, image, listed[image.id], ids) for image in document.images}


def _paint(
    path: Path,
    image: Image,
    content: Sequence[Annotation] | Segments,
    ids: Mapping[int, int],
    picture: Path,
    *,
    crowds_are_objects: bool = False,
    things: bool = False,
) -> Instances:
    """The annotations of an image, or its segments in a panoptic file. things: leave out crowds. The arguments hold no
    more of the file than the image needs, because they may be sent to another process."""
    check_frame(picture, image.shape, f"{path}, image {image.id}")  # before an array of that size is made
    if isinstance(content, Segments):
        return panoptic_segments(path.with_suffix(""), image, content, ids, str(path), things=things)
    return paint(image, content, ids, str(path), crowds_are_objects)


def _check_masks(documents: Sequence[Document], crowds: Crowds | None, source: Source) -> None:
    """Raise UserError if the annotations cannot make label maps: all are boxes, or all are crowds and `crowds` is None.
    Add notes about crowds and boxes."""
    if crowds not in (None, "ignored", "objects"):
        raise UserError("crowds", f"{crowds} must be ignored or objects")
    annotations = [
        annotation for document in documents for listed in document.instances.values() for annotation in listed
    ]
    masked = [annotation for annotation in annotations if annotation.masked]
    where = documents[0].where
    if annotations and not masked:
        raise UserError(f"{where}: its annotations are boxes; label maps need masks, RLE or polygons in 'segmentation'")
    if masked and crowds is None and all(annotation.iscrowd for annotation in masked):
        raise UserError(
            f"{where}: all its masks are crowds (iscrowd 1), which are ignored as a rule, but some tools write every"
            " mask so; --crowds objects takes them for objects, --crowds ignored leaves them out"
        )
    if crowds != "objects" and (several := sum(bool(annotation.iscrowd) for annotation in masked)):
        source.note(
            f"{several} of {len(annotations)} annotations are crowds (iscrowd 1), no objects; what is only in them is"
            " ignored (255)"
        )
    if boxes := len(annotations) - len(masked):
        source.note(
            f"{boxes} of {len(annotations)} annotations are boxes without a mask; what is in them and in no mask is"
            " ignored (255)"
        )


def paint(
    image: Image,
    annotations: Sequence[Annotation],
    ids: Mapping[int, int],
    where: str,
    crowds_are_objects: bool = False,
) -> Instances:
    """The annotations of an image, painted: first boxes without a mask and crowds, as 255, then the objects from the
    largest to the smallest. Masks are held as run lengths, to save memory. ids: category id → id in label maps. Raises
    UserError naming an annotation that is not a mask of this image."""
    numbers, known = np.zeros(image.shape, np.int32, order="F"), Shapes()
    masks: list[tuple[bool, int, np.ndarray]] = []
    painted = 0
    for annotation in annotations:
        if not annotation.masked:
            if box := annotation.box_xywh:
                number = known.number(native.IGNORE, "box")
                painted += paint_box(numbers, box[0], box[1], box[0] + box[2], box[1] + box[3], number)
                check_layers(painted, image.shape, f"{where}, image {image.id}")
            continue
        shown, here = annotation.segmentation, f"{where}: annotation {annotation.id}"
        rle = isinstance(shown, Rle)
        runs = (
            count_runs(shown.size, shown.counts, image.shape, here) if rle else polygon_runs(shown, image.shape, here)
        )
        crowd = bool(annotation.iscrowd) and not crowds_are_objects
        masks.append((not crowd, native.IGNORE if crowd else ids[annotation.category_id], runs))
        check_layers(painted := painted + area(runs), image.shape, f"{where}, image {image.id}")
    masks.sort(key=lambda mask: (mask[0], -area(mask[2])))
    for _, value, runs in masks:
        paint_runs(numbers, runs, known.number(value))
    return known.painted(numbers)


def panoptic_segments(
    folder: Path, image: Image, segments: Segments, ids: Mapping[int, int], where: str, *, things: bool
) -> Instances:
    """The segments of an image, and 255 where there is none. Crowds keep their class, as in panopticapi's own
    converter, but with `things` they are left out.

    folder: annotations/panoptic_val2017/ for annotations/panoptic_val2017.json. ids: category id → id in label maps.
    Raises UserError naming a picture that is missing, or that has a segment that the file does not name.
    """
    path = inside(folder, segments.file_name, f"{where}, image {image.id}", "file_name")
    with open_picture(path) as picture:
        pixels, kind, mode = np.asarray(picture), picture.format, picture.mode
    if kind != "PNG" or mode not in ("RGB", "RGBA"):
        raise UserError(
            f"{path}: is {kind} {mode} inside; a panoptic mask is a PNG in colours, which are the segments' ids"
        )
    if pixels.shape[:2] != image.shape:
        raise UserError(f"{path}: is {pixels.shape[:2]}, but its image is {image.shape}; both are (height, width)")
    values, places = np.unique(pixels[..., :3] @ SHIFTS, return_inverse=True)
    known = {
        segment.id: 0 if things and segment.iscrowd else ids[segment.category_id] for segment in segments.segments_info
    }
    known[0] = native.IGNORE
    if unknown := [number for number in values.tolist() if number not in known]:
        raise UserError(f"{path}: has a segment {unknown[0]} that {where} does not name")
    numbers = (places + 1).astype(np.int32).reshape(image.shape)
    return Instances(numbers, tuple(known[number] for number in values.tolist()))


def find_annotations(source: Path) -> list[Path]:
    """The JSON files of a folder that belong together, or `source` itself if it is a file. Raises UserError."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"{source}: there is no such folder or JSON file")
    folder = source / ANNOTATIONS if (source / ANNOTATIONS).is_dir() else source
    for kind in KINDS:
        if files := _files(folder, f"{kind}*.json"):
            return files
    if files := _files(folder, ROBOFLOW) or _files(source, f"*/{ROBOFLOW}"):
        return files
    others = [
        path for path in _files(folder, "*.json") if not path.name.startswith(("captions", "image_info", "labels_"))
    ]
    parts = [path for path in others if part_of(path)]
    if parts or len(others) == 1:
        return parts or others
    listed = f": it holds {', '.join(path.name for path in others[:5])}" if others else ""
    raise UserError(f"{folder}: has no {SEMANTIC}*.json or {INSTANCES}*.json; name the JSON file itself{listed}")


def _files(folder: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(folder.glob(pattern)) if path.is_file()]


def part_of(path: Path) -> str | None:
    """ "train", "val" or "test", from the name of the file, or for Roboflow's files from the name of its folder; None
    if it names no split."""
    words = path.parent.name if path.name == ROBOFLOW else path.stem
    last = re.fullmatch(r"(?:.*[_-])?([a-z]+)(?:19|20)?\d*", words.lower())
    return PARTS.get(last[1]) if last else None


def picture_folders(root: Path, path: Path, images: Path | None) -> list[Path]:
    """Folders that may contain a file's pictures, the likeliest first. root: the folder that is read. images: the
    folder that the user named."""
    stem = path.stem
    rest = next((stem.removeprefix(f"{kind}_") for kind in KINDS if stem.startswith(f"{kind}_")), stem)
    parts = list(dict.fromkeys(("" if rest in KINDS else rest, rest.rpartition("_")[2])))
    parts = [part for part in parts if part and part not in (".", "..")]
    if images is not None:
        return [images, *(images / part for part in parts)]
    above = path.parent.parent if path.parent.name == ANNOTATIONS else path.parent
    folders = [path.parent] if path.name == ROBOFLOW else []
    # SeeDiff's pictures of all parts are in one folder, where `train` may be a folder of samples' names.
    ours = any(
        path.with_name(path.name.replace(kind, SEMANTIC, 1)).is_file() for kind in KINDS if stem.startswith(kind)
    )
    for base in dict.fromkeys((root, above)):
        folders += [base / IMAGES] * ours + [base / IMAGES / part for part in parts]
        folders += [base / IMAGES, *(base / part for part in parts), base / "data", base]
    return list(dict.fromkeys((*folders, path.parent)))
