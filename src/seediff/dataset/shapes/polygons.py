"""Outlines of objects as polygons with their holes cut in, and polygons back to pixels, both without loss.

Readers of YOLO's format convert the corners to integers, Ultralytics by rounding down, supervision to the nearest, and
fill the polygon with its border (OpenCV's fillPoly). Corners of an outline therefore lie in the upper left quarter of
the pixels at its turns, where both give this pixel.

An edge of a pixel has the number 4 · pixel + direction: 0 east along its top, 1 south along its right side, 2 west
along its bottom, 3 north along its left side. The object is on the right hand of its edges. A hole is joined to the
outline above it by a slit of zero width, which is followed down and up:

    outline: … upper → next …       hole: bottom → … → bottom
    joined:  … upper ⇓ (slit) ⇓ the hole's edges … bottom ⇑ (slit) ⇑ again → next …

`again` is a second visit of `upper`, with a negative number.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from .objects import Objects

NEAR, FAR = 0.05, 0.45
"""Positions within a pixel: of left and upper sides, and of right and lower sides. Six decimals keep them apart from 0
and 0.5 in a picture with sides of 40,000 pixels."""
SNAP = 0.01
"""Coordinates less than this below an integer are rounded up: programs write rounded decimals."""

STEP = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
"""(rows, columns) of a step east, south, west and north, along a pixel's top, right, bottom and left edge."""
START = np.array([(NEAR, NEAR), (NEAR, FAR), (FAR, FAR), (FAR, NEAR)])
"""(row, column) within a pixel where the outline begins to follow its edge in each direction."""

Corners = defaultdict[int, list[float]]
"""Edge → x, y, x, y, … of the corners between it and the next edge."""


def object_polygons(objects: Objects) -> list[np.ndarray]:
    """The outline of each object, in their order: (P, 2) float64, x in (0, W) and y in (0, H) in pixels. Each object
    must be one piece, as those of `Objects.pieces`. `fill_polygon` gives exactly its pixels."""
    next_edge, corners = _edges(objects.index)
    owners = objects.index.ravel()
    starts: dict[int, int] = {}  # object → its first edge: the top of its first pixel, on its outer outline
    visited: set[int] = set()
    for start in sorted(next_edge):
        if start in visited:
            continue
        edge = start
        while edge not in visited:
            visited.add(edge)
            edge = next_edge[edge]
        if starts.setdefault(owners[start // 4], start) != start:
            _join_hole(start, next_edge, corners, objects.index)
    polygons = []
    for _, start in sorted(starts.items()):
        path, edge = corners[start][:], next_edge[start]
        while edge != start:
            if edge in corners:
                path += corners[edge]
            edge = next_edge[edge]
        polygons.append(np.array(path[-2:] + path[:-2], np.float64).reshape(-1, 2))
    return polygons


def _join_hole(bottom: int, next_edge: dict[int, int], corners: Corners, index: np.ndarray) -> None:
    """Joins a hole to the outline straight above it, which was visited before. bottom: the hole's first edge, which is
    the bottom of a pixel."""
    row, column = divmod(bottom // 4, index.shape[1])
    top = row
    while top and index[top - 1, column] == index[row, column]:
        top -= 1
    up, down = [column + NEAR, top + NEAR], [column + NEAR, row + FAR]
    upper, again = 4 * (top * index.shape[1] + column), -1 - len(next_edge)
    next_edge[again], corners[again] = next_edge[upper], corners[upper]
    next_edge[upper], corners[upper] = next_edge[bottom], [*up, *down, *corners[bottom]]
    next_edge[bottom], corners[bottom] = again, [*down, *up]


def _edges(index: np.ndarray) -> tuple[dict[int, int], Corners]:
    """(next_edge, corners) of the objects at each pixel (H, W). `next_edge`: edge → the edge after it on its
    outline."""
    width = index.shape[1]
    padded = np.pad(index, 1, constant_values=-1)
    next_edge, corners = dict[int, int](), Corners(list)
    for direction in range(4):
        ahead, left = STEP[direction], STEP[direction - 1]
        neighbours = padded[1 + left[0] :, 1 + left[1] :][: len(index), :width]
        pixels = np.argwhere((index >= 0) & (neighbours != index))
        straight, turns_left = (
            padded[tuple((pixels + 1 + step).T)] == index[tuple(pixels.T)] for step in (ahead, ahead + left)
        )
        # A left turn needs both pixels: those of a piece meet at edges, and only those around it also at corners.
        inner, axis = turns_left & straight, 1 - direction % 2
        turn = np.where(inner, -1, np.where(straight, 0, 1))
        to = pixels + np.array([ahead, 0 * ahead, ahead + left])[turn]
        then = (direction + turn) % 4
        edges = 4 * (pixels @ (width, 1)) + direction
        next_edge.update(zip(edges.tolist(), (4 * (to @ (width, 1)) + then).tolist(), strict=True))
        ends, begins = pixels + START[(direction + 1) % 4], to + START[then]
        # An inner corner is in the pixel ahead: the horizontal edge gives y, the vertical one x.
        ends[inner, axis] = begins[inner, axis]
        corners.update(zip(edges[turn != 0].tolist(), ends[turn != 0, ::-1].tolist(), strict=True))
    return next_edge, corners


def fill_polygon(polygon: np.ndarray, shape: tuple[int, int]) -> tuple[int, int, np.ndarray]:
    """(top, left, mask): the pixels of a polygon, filled as readers of YOLO's format fill it, as the mask (h, w) bool
    of its bounding box. polygon: (P, 2), x and y in pixels, which are rounded down to pixels of `shape` (H, W). Pixels
    on the lines between corners are inside; the even-odd rule decides on others, so that joined holes stay open."""
    corners = np.clip(np.floor(polygon + SNAP).astype(np.int64), 0, (shape[1] - 1, shape[0] - 1))
    left, top = corners.min(0)
    begins = corners - (left, top)
    runs = np.roll(begins, -1, 0) - begins
    width, height = begins.max(0) + 1

    # The rows that an edge crosses, but the last, which belongs to the next edge.
    edge, step = _steps(np.abs(runs[:, 1]))
    lower = np.minimum(begins[:, 1], begins[:, 1] + runs[:, 1])[edge]
    across = begins[edge, 0] + runs[edge, 0] * (lower + step - begins[edge, 1]) / runs[edge, 1]
    crossings = np.zeros((height, width + 1), np.int64)
    np.add.at(crossings, (lower + step, np.ceil(across).astype(np.int64)), 1)
    inside = (np.cumsum(crossings, 1) % 2 == 1)[:, :width]

    lengths = np.maximum(np.abs(runs).max(1), 1)
    edge, step = _steps(lengths)
    drawn = np.floor(begins[edge] + runs[edge] * (step / lengths[edge])[:, None] + 0.5).astype(np.int64)
    inside[drawn[:, 1], drawn[:, 0]] = True
    return int(top), int(left), inside


def _steps(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(indices, steps): each index i of `counts`, repeated counts[i] times, and beside it 0, 1, … counts[i] − 1."""
    numbers = np.repeat(np.arange(len(counts)), counts)
    return numbers, np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
