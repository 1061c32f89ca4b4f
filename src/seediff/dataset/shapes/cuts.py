"""Cuts objects along a person's stroke, and joins them. No pixel changes its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw

from ...errors import UserError
from .changes import objects_of
from .objects import SQUARE, Objects, connected, find_objects

Points = Sequence[tuple[float, float]]
"""(x, y) of points on a picture, in pixels from its upper left corner."""


def cut(objects: Objects, labels: np.ndarray, points: Points) -> Objects:
    """The objects after a stroke across some of them.

    The stroke divides each connected piece that it crosses. The largest part stays with what else the object has, and
    each other part is an object, however small. Pixels under the stroke go to the nearest part. A stroke of one pixel
    makes the piece there an object, if its object has other pieces.

    objects: the objects in label map `labels` (H, W) uint8. points: of the stroke.
    """
    from scipy import ndimage

    line, numbers = _touched("line", points, objects, labels)
    is_click = line.sum() == 1
    if not is_click:  # pixels on its two sides must not even touch at a corner
        line[:, 1:] |= line[:, :-1].copy()
    pieces = connected(numbers, SQUARE)[0]
    for piece in np.unique(pieces[line & (pieces > 0)]).tolist():
        inside = pieces == piece
        parts, owners = connected((inside & ~line).astype(np.uint8), SQUARE)
        if is_click:
            numbers[inside] = numbers.max() + 1
        elif owners:
            nearest: Any = ndimage.distance_transform_edt(parts == 0, None, False, True)
            parts = parts[tuple(nearest)]
            others = inside & (parts != np.bincount(parts[inside]).argmax())
            numbers[others] = numbers.max() + parts[others]
    return objects_of(numbers, labels, objects)


def join(objects: Objects, labels: np.ndarray, points: Points) -> Objects:
    """The objects after those at some points became one. objects, labels: as for `cut`. Raises UserError for objects of
    different classes."""
    at, numbers = _touched("point", points, objects, labels)
    joined = np.isin(numbers, numbers[at & (numbers > 0)])
    if len(np.unique(labels[joined])) > 1:
        raise UserError("these objects have different classes, and an object has one class: change a class first")
    numbers[joined] = numbers.max() + 1
    return objects_of(numbers, labels, objects)


def _touched(
    kind: Literal["line", "point"], points: Points, objects: Objects, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(at, numbers). at: (H, W) bool, the pixels at points, or on the line between them. numbers: (H, W), the objects;
    connected pixels that have a class and no object are an object if they are touched there."""
    image = Image.new("1", labels.shape[::-1])
    getattr(ImageDraw.Draw(image), kind)([*points, *points[-1:]], 1)
    at = np.array(image)
    rest = find_objects(objects.rest(labels)).numbers
    touched = np.isin(rest, rest[at & (rest > 0)])
    return at, np.where(touched, rest + np.int32(len(objects.class_ids)), objects.numbers)
