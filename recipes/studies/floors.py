"""Floors for unnamed segments: divisions that never look at the picture, and how far a method is ahead of each. Pure
functions.

Photographers put things in the middle, the sky above and the ground below. So one segment, or a box in the middle,
scores well without any method. A method that looks at the picture must score higher on the same images.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seediff.metrics.scores import Figure

PARTS = {"one": 1, "top-bottom": 2}
"""Floors of equal parts: the number of parts from top to bottom."""

FLOORS: dict[str, str] = {
    "one": "one segment",
    "top-bottom": "upper and lower half",
    "centre": "a box in the middle, half as wide and high as the image, and what is around it",
}
"""Every floor, by name. None was chosen or tuned by its score."""


def floor_map(floor: str, height: int, width: int) -> np.ndarray:
    """(H, W) int32: a floor's segments, ids from 0 without gaps; fewer segments if the image has too few pixels."""
    if floor == "centre":
        inside = np.minimum(_inwards(height)[:, None], _inwards(width))
        return (inside - inside.min()).astype(np.int32)
    rows = np.arange(height) * min(PARTS[floor], height) // height
    return np.repeat(rows[:, None], width, 1).astype(np.int32)


def ahead(one: Figure, other: Figure, key: str) -> dict[str, Any]:
    """How far a score is above another prediction's score of the same images, with a 95 % interval, under `key`.

    Paired: a draw takes the same images for both, so images that are hard for both do not widen the interval. For a
    mean without an interval, also the difference over the classes that enough images show.
    """
    one, other = one.of_same_classes(other)
    often = zip(one.often_shown(), other.often_shown(), strict=True)
    found = {f"{key}_often_shown": mean.minus(floor).keyed(key) for mean, floor in often}
    return {**one.minus(other).keyed(key), **found}


def _inwards(length: int) -> np.ndarray:
    """(length,): 1 in the middle half of the positions, 0 at the edges."""
    along = np.arange(length)
    edge = 2 * np.minimum(along, length - 1 - along) + 1  # from the pixel's centre to the nearer edge, in half pixels
    return np.minimum(edge * 2 // length, 1)
