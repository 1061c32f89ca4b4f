"""COCO's panoptic masks, out and in: a PNG per image, beside the JSON file, whose colours are the ids of its segments.

Every pixel is of a segment, but for those that are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....config.names import BACKGROUND
from ....errors import UserError
from ....files.pictures import open_picture
from ....files.reading import path_inside
from ... import native
from ...shapes.objects import Objects
from ...shapes.runs import column_runs, masks_of_ids
from .document import Image, Segments

SHIFTS = np.array([1, 256, 65536], np.uint32)
"""An id is red + 256 · green + 65536 · blue; 0 is no segment."""


def panoptic_categories(classes: Sequence[str]) -> list[dict[str, Any]]:
    """The classes as things, whose ids are theirs, and the background as stuff, of the id after them: readers take 0 for none."""
    things = [{"id": i, "name": name, "isthing": 1} for i, name in enumerate(classes, 1)]
    return [*things, {"id": len(classes) + 1, "name": BACKGROUND, "isthing": 0}]


def panoptic_segments(labels: np.ndarray, classes: int, pieces: Objects) -> tuple[bytes, list[dict[str, Any]]]:
    """The PNG of labels (H, W) uint8, and its segments_info: the objects that were found in it, then a crowd of each class's pieces that
    are in none, then the background. classes: how many. What is ignored is in no segment."""
    ids = (pieces.index + 1).astype(np.uint32)
    of = dict(enumerate(pieces.class_ids, 1))
    crowds: set[int] = set()
    left = (ids == 0) & (labels != native.IGNORE)
    for class_id in [*(number for number in np.unique(labels[left]).tolist() if number), 0]:
        if (inside := left & (labels == class_id)).any():
            number = len(of) + 1
            ids[inside], of[number] = number, class_id
            crowds |= {number} if class_id else set()
    numbers, masks = masks_of_ids(column_runs(ids))
    infos = []
    for number, area, (x, y, right, bottom) in zip(numbers.tolist(), masks.areas.tolist(), masks.boxes_xyxy.tolist(), strict=True):
        if number:
            box = [x, y, right - x, bottom - y]
            category = of[number] or classes + 1
            infos.append({"id": number, "category_id": category, "area": area, "bbox": box, "iscrowd": int(number in crowds)})
    colours = (ids[..., None] // SHIFTS % 256).astype(np.uint8)
    return native.encode_image(colours, "png"), infos


def panoptic_labels(folder: Path, image: Image, segments: Segments, ids: Mapping[int, int], where: str) -> np.ndarray:
    """(H, W) uint8: each segment's class, crowds among them as in panopticapi's own converter; 255 where there is no segment.

    folder: annotations/panoptic_val2017/ of annotations/panoptic_val2017.json. ids: of a category, in a label map. Raises UserError naming
    the picture that is not there, or has a segment that the file does not.
    """
    path = path_inside(folder, {"file_name": segments.file_name}, "file_name", f"{where}, image {image.id}")
    with open_picture(path) as picture:
        pixels, kind, mode = np.asarray(picture), picture.format, picture.mode
    if kind != "PNG" or mode not in ("RGB", "RGBA"):
        raise UserError(f"{path}: is {kind} {mode} inside; a panoptic mask is a PNG in colours, which are the segments' ids")
    if pixels.shape[:2] != image.shape:
        raise UserError(f"{path}: is {pixels.shape[:2]}, but its image is {image.shape}; both are (height, width)")
    found, places = np.unique(pixels[..., :3] @ SHIFTS, return_inverse=True)
    known = {0: native.IGNORE, **{one.id: ids[one.category_id] for one in segments.segments_info}}
    if unknown := [number for number in found.tolist() if number not in known]:
        raise UserError(f"{path}: has a segment {unknown[0]} that {where} does not name")
    return np.array([known[number] for number in found.tolist()], np.uint8)[places].reshape(image.shape)
