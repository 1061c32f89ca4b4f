"""A label map as COCO's panoptic segments: every pixel is of one, but for those that are ignored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....config.names import BACKGROUND
from ... import native
from ...shapes.objects import Objects
from ...shapes.runs import column_runs, masks_of_ids

SHIFTS = np.array([1, 256, 65536], np.uint32)
"""An id is red + 256 · green + 65536 · blue; 0 is no segment."""


def panoptic_categories(classes: Sequence[str]) -> list[dict[str, Any]]:
    """The classes as things, whose ids are theirs, and the background as stuff, of the id after them: readers take 0 for none."""
    things = [{"id": i, "name": name, "isthing": 1} for i, name in enumerate(classes, 1)]
    return [*things, {"id": len(classes) + 1, "name": BACKGROUND, "isthing": 0}]


def panoptic_segments(labels: np.ndarray, classes: int, found: Objects) -> tuple[bytes, list[dict[str, Any]]]:
    """The PNG of labels (H, W) uint8, and its segments_info: the objects that were found in it, then a crowd of each class's pieces that
    are in none, then the background. classes: how many. What is ignored is in no segment."""
    ids = (found.index + 1).astype(np.uint32)
    of = dict(enumerate(found.class_ids, 1))
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
