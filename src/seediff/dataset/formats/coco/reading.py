"""COCO's JSON, in: label maps of anybody's annotations. Where objects overlap, the smaller one is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ....errors import UserError
from ....files.messages import printable
from ... import native
from ...conversions import Crowds
from ...rows import check_row
from ...sample import Sample, picture_size
from ...shapes.polygons import check_outlines, polygon_runs
from ...shapes.rle import area, check_layers, count_runs, paint_runs
from ..drivers import Source, find_picture
from .document import Annotation, Document, Image, Rle, classes_of, load
from .layouts import find_annotations, part_of, picture_folders
from .panoptic import panoptic_labels


def read(
    source: Source,
    *,
    images: Path | str | None = None,
    annotations: Path | str | None = None,
    crowds: Crowds | None = None,
) -> tuple[tuple[str, ...], list[Sample]]:
    """Class ids are the categories' ids in rising order, from 1, without the parent of all that Roboflow writes as category 0. Of panoptic
    files each segment is its class, and what is in none is ignored."""
    files = [Path(annotations)] if annotations is not None else find_annotations(source.path)
    root = source.path if source.path.is_dir() else source.path.parent
    documents = [load(path) for path in files]
    _check_masks(documents, crowds, source)
    classes, ids = classes_of(documents)
    samples: list[Sample] = []
    stems = Counter(_stem(image) for document in documents for image in document.images)
    for path, document in zip(files, documents, strict=True):
        folders = picture_folders(root, path, Path(images) if images is not None else None)
        split = part_of(path)
        for image in document.images:
            picture, _ = find_picture(folders, [image.file_name], "file_name", f"{path}, image {image.id}")
            name = f"{split}/{_stem(image)}" if split and len(files) > 1 and stems[_stem(image)] > 1 else _stem(image)
            check_row(image.metadata, f"{path}: metadata of image '{printable(image.file_name)}'")
            row = {**image.metadata, **({"split": split} if split else {})}
            decode = _decoder(document, path, image, ids, crowds == "objects")
            samples.append(source.sample(name, picture, partial(_labels, picture, image, decode), row, path))
    return classes, samples


def _stem(image: Image) -> str:
    return Path(image.file_name).with_suffix("").as_posix()


def _decoder(document: Document, path: Path, image: Image, ids: Mapping[int, int], crowds_are_objects: bool) -> Callable[[], np.ndarray]:
    """What makes the label map of an image: of its annotations, or, in a panoptic file, of its segments."""
    if document.segments is None:
        return partial(paint, image, document.instances[image.id], ids, document.where, crowds_are_objects)
    if (segments := document.segments.get(image.id)) is None:
        raise UserError(f"{path}, image {image.id}: has no annotation; in a panoptic file every image has one")
    return partial(panoptic_labels, path.with_suffix(""), image, segments, ids, document.where)


def _labels(picture: Path, image: Image, decode: Callable[[], np.ndarray]) -> np.ndarray:
    """The label map of an image whose picture has the size that the file says: told before anything of that size is made."""
    if (size := picture_size(picture)) != image.shape:
        raise UserError(f"{picture}: is {size}, but its annotations are of {image.shape}; both are (height, width)")
    return decode()


def _check_masks(documents: Sequence[Document], crowds: Crowds | None, source: Source) -> None:
    """Raise UserError when the annotations cannot make label maps: all are boxes, or all are crowds and nobody said what those are."""
    if crowds not in (None, "ignored", "objects"):
        raise UserError(f"crowds = {crowds}", "must be ignored or objects")
    annotations = [annotation for document in documents for listed in document.instances.values() for annotation in listed]
    masked = [annotation for annotation in annotations if annotation.masked]
    where = documents[0].where
    if annotations and not masked:
        raise UserError(f"{where}: its annotations are boxes; label maps need masks, RLE or polygons in 'segmentation'")
    if masked and crowds is None and all(annotation.iscrowd for annotation in masked):
        raise UserError(
            f"{where}: all its masks are crowds (iscrowd 1), which are ignored as a rule, but some tools write every mask so; "
            "--crowds objects takes them for objects, --crowds ignored leaves them out"
        )
    if boxes := len(annotations) - len(masked):
        source.note(f"{boxes} of {len(annotations)} annotations are boxes without a mask; what is in them and in no mask is ignored (255)")


def paint(
    image: Image, annotations: Sequence[Annotation], ids: Mapping[int, int], where: str, crowds_are_objects: bool = False
) -> np.ndarray:
    """(H, W) uint8: boxes without a mask and crowds as 255 first, then the largest object, the smallest last. One mask is in memory at a
    time. ids: of a category, in a label map. Raises UserError naming the annotation that is no mask of this image."""
    outlines = [annotation.segmentation for annotation in annotations if not isinstance(annotation.segmentation, Rle)]
    check_outlines((polygon for polygons in outlines for polygon in polygons), where)
    labels = np.zeros(image.shape, np.uint8, order="F")
    masks: list[tuple[bool, int, np.ndarray]] = []
    for annotation in annotations:
        if not annotation.masked:
            _ignore_box(labels, annotation.box_xywh)
            continue
        shown, here = annotation.segmentation, f"{where}: annotation {annotation.id}"
        rle = isinstance(shown, Rle)
        runs = count_runs(shown.size, shown.counts, image.shape, here) if rle else polygon_runs(shown, image.shape, here)
        crowd = bool(annotation.iscrowd) and not crowds_are_objects
        masks.append((not crowd, native.IGNORE if crowd else ids[annotation.category_id], runs))
    masks.sort(key=lambda mask: (mask[0], -area(mask[2])))
    check_layers(sum(area(runs) for _, _, runs in masks), image.shape, f"{where}, image {image.id}")
    for _, value, runs in masks:
        paint_runs(labels, runs, value)
    return np.ascontiguousarray(labels)


def _ignore_box(labels: np.ndarray, box_xywh: tuple[float, ...] | None) -> None:
    """255 in the pixels that a box touches."""
    if box_xywh and all(abs(value) < 1e9 for value in box_xywh):  # false for NaN and infinity too
        left, top, width, height = box_xywh
        rows = slice(max(0, int(np.floor(top))), max(0, int(np.ceil(top + height))))
        labels[rows, max(0, int(np.floor(left))) : max(0, int(np.ceil(left + width)))] = native.IGNORE
