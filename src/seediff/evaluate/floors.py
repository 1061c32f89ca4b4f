"""Floors under segments without names: divisions that never look at the picture, and how far above each of them a method is. Pure.

Photographers put things in the middle, the sky above and the ground below. So one segment, or a box in the middle, scores well without
any method; whoever looks at the picture must score above it, on the same images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics.matching import count_segments
from ..metrics.scores import Difference, Tallies, accuracy, class_iou, differences, mean_iou

PARTS: dict[str, tuple[int, int]] = {
    "one": (1, 1),
    "top-bottom": (2, 1),
    "left-right": (1, 2),
    "quadrants": (2, 2),
    "bands": (3, 1),
}
"""Floors of equal parts: how many from top to bottom, and from left to right."""

BOXES = {"centre": 2, "rings": 3}
"""Floors of boxes in the middle: how many rings, all equally wide, the innermost a box."""

FLOORS: dict[str, str] = {
    "one": "one segment",
    "top-bottom": "upper and lower half",
    "left-right": "left and right half",
    "quadrants": "four quarters",
    "bands": "three bands, one above the other",
    "centre": "a box in the middle, half as wide and high as the image, and what is around it",
    "rings": "the same with two boxes, of a third and two thirds",
    "grid": "a grid of as many tiles as the method made segments there",
    "grid-truth": "a grid of as many tiles as the label map shows classes",
}
"""Every floor, by name. None of them was chosen or tuned by what it scores."""


@dataclass(frozen=True)
class FloorScore:
    """How a floor scores, ACC and mIoU in [0, 1], its mean number of segments, and how far ahead of it the method is."""

    segments: float
    acc: float
    miou: float
    ahead: Difference


def floor_map(floor: str, height: int, width: int, *, pieces: int = 1) -> np.ndarray:
    """(H, W) int32: the segments of a floor, ids from 0 without gaps; fewer than it has where an image has too few pixels for all.

    pieces: of `grid` and `grid-truth`, 1 to H · W: exactly so many tiles, nearly square.
    """
    if floor in PARTS:
        down, across = np.minimum(PARTS[floor], (height, width))
        return (_parts(height, down)[:, None] * across + _parts(width, across)).astype(np.int32)
    if floor in BOXES:
        rings = np.minimum(_inwards(height, BOXES[floor])[:, None], _inwards(width, BOXES[floor]))
        return (np.cumsum(np.bincount(rings.ravel()) > 0) - 1).astype(np.int32)[rings]
    return _grid(height, width, pieces)


def floor_maps(segments: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
    """Every floor of one image, by name. found, label: (H, W) integers, a method's segments there and its label map, negative = none."""
    pieces = {"grid": count_segments(segments, unlabelled=-1), "grid-truth": count_segments(label, unlabelled=-1)}
    return {floor: floor_map(floor, *label.shape, pieces=max(1, pieces.get(floor, 1))) for floor in FLOORS}


def score_floors(
    method: Tallies, floors: Mapping[str, Tallies], segments: Mapping[str, Sequence[int]], *, seed: int = 0, draws: int = 2000
) -> dict[str, FloorScore]:
    """What each floor scores and how far ahead of it the method is, from the counts of the same images in the same order.

    segments: how many each floor made in each image. seed, draws: of the bootstrap.
    """
    ahead = differences(method, list(floors.values()), seed=seed, draws=draws)
    scores = {}
    for (name, counts), difference in zip(floors.items(), ahead, strict=True):
        tp, fp, fn = counts.tp.sum(0), counts.fp.sum(0), counts.fn.sum(0)
        acc, miou = accuracy(tp, counts.pixels.sum()), mean_iou(class_iou(tp, fp, fn))
        scores[name] = FloorScore(float(np.mean(segments[name])), float(acc), float(miou), difference)
    return scores


def _parts(length: int, parts: int) -> np.ndarray:
    """(length,) int32: which of so many equal parts each position is in."""
    return (np.arange(length) * parts // length).astype(np.int32)


def _inwards(length: int, rings: int) -> np.ndarray:
    """(length,): which of so many equally wide rings each position is in, 0 at the edges."""
    along = np.arange(length)
    edge = 2 * np.minimum(along, length - 1 - along) + 1  # from the pixel's centre to the nearer edge, in half pixels
    return np.minimum(edge * rings // length, rings - 1)


def _grid(height: int, width: int, pieces: int) -> np.ndarray:
    """(H, W) int32: rows of equal tiles, as many in all as `pieces`; rows that cannot have the same number differ by one."""
    down = max(1, round((pieces * height / width) ** 0.5), -(-pieces // width))
    down = min(down, height, pieces)
    before = np.arange(down + 1) * pieces // down  # tiles above each row, and all at the end
    rows = _parts(height, down)
    across = np.diff(before)[rows]  # (H,) tiles in this row of pixels
    return (before[rows][:, None] + np.arange(width) * across[:, None] // width).astype(np.int32)
