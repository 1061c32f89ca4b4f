"""Outlines of objects as polygons with their holes cut in, and polygons back to pixels, both without loss.

Readers of YOLO's format convert the corners to integers, Ultralytics by rounding down, supervision to the nearest, and
fill the polygon with its border (OpenCV's fillPoly). Corners of an outline therefore lie in the upper left quarter of
the pixels at its turns, where both give this pixel. A hole is joined to the outline above it by a slit of zero width.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from .objects import Objects

NEAR, FAR = 0.05, 0.45
"""Position in pixels of left and upper sides, and of right and lower ones, which six decimals keep apart from 0 and 0.5
in a side of 40,000 pixels."""
SNAP = 0.01
"""Coordinates less than this below an integer are rounded up: programs write rounded decimals."""

STEP = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
"""(rows, columns) of a step east, south, west and north, along a pixel's top, right, bottom and left edge."""
START = np.array([(NEAR, NEAR), (NEAR, FAR), (FAR, FAR), (FAR, NEAR)])
"""(row, column) within a pixel where the outline begins to follow its edge in each direction."""


def object_polygons(objects: Objects) -> list[np.ndarray]:
    """The outline of every object, each a piece as of `Objects.pieces`, in their order: (P, 2) float64, x in (0, W) and
    y in (0, H) in pixels. `fill_polygon` gives exactly its pixels."""
    index, width = objects.index, objects.index.shape[1]
    follow, corners = _edges(index)
    owners = index.ravel()
    starts: dict[int, int] = {}  # object → its first edge: the top of its first pixel, on its outer outline
    seen: set[int] = set()
    for start in sorted(follow):
        if start in seen:
            continue
        edge = start
        while edge not in seen:
            seen.add(edge)
            edge = follow[edge]
        pixel = start // 4
        if owners[pixel] not in starts:
            starts[owners[pixel]] = start
            continue
        # A hole, whose first edge is the bottom of a pixel: the slit goes straight up to an edge seen before.
        top = pixel
        while top >= width and owners[top - width] == owners[pixel]:
            top -= width
        column = pixel % width + NEAR
        up, down = [column, top // width + NEAR], [column, pixel // width + FAR]
        upper, node = 4 * top, -1 - len(follow)
        follow[node], corners[node] = follow[upper], corners[upper]
        follow[upper], corners[upper] = follow[start], [*up, *down, *corners[start]]
        follow[start], corners[start] = node, [*down, *up]
    polygons = []
    for _, start in sorted(starts.items()):
        path, edge = corners[start][:], follow[start]
        while edge != start:
            if edge in corners:
                path += corners[edge]
            edge = follow[edge]
        polygons.append(np.array(path[-2:] + path[:-2], np.float64).reshape(-1, 2))
    return polygons


def _edges(index: np.ndarray) -> tuple[dict[int, int], defaultdict[int, list[float]]]:
    """The edges of objects, as 4 · pixel + direction: edge → the next one, and → x, y of the corners between."""
    width = index.shape[1]
    padded = np.pad(index, 1, constant_values=-1)
    follow, corners = {}, defaultdict(list)
    for direction in range(4):
        ahead, left = STEP[direction], STEP[direction - 1]
        beside = padded[1 + left[0] :, 1 + left[1] :][: len(index), :width]
        pixels = np.argwhere((index >= 0) & (beside != index))
        straight, turns_left = (
            padded[tuple((pixels + 1 + step).T)] == index[tuple(pixels.T)] for step in (ahead, ahead + left)
        )
        # Not where pixels only touch at a corner: pieces meet at edges, and their surroundings also at corners.
        inner, axis = turns_left & straight, 1 - direction % 2
        turn = np.where(inner, -1, np.where(straight, 0, 1))
        to = pixels + np.array([ahead, 0 * ahead, ahead + left])[turn]
        then = (direction + turn) % 4
        edges = 4 * (pixels @ (width, 1)) + direction
        follow.update(zip(edges.tolist(), (4 * (to @ (width, 1)) + then).tolist(), strict=True))
        ends, begins = pixels + START[(direction + 1) % 4], to + START[then]
        # An inner corner is in the pixel ahead: the horizontal edge gives y, the vertical one x.
        ends[inner, axis] = begins[inner, axis]
        corners.update(zip(edges[turn != 0].tolist(), ends[turn != 0, ::-1].tolist(), strict=True))
    return follow, corners


def fill_polygon(polygon: np.ndarray, shape: tuple[int, int]) -> tuple[int, int, np.ndarray]:
    """The pixels of a polygon, filled like readers of YOLO's format do: (top, left, (h, w) bool), the mask of its
    bounding box. polygon: (P, 2), x and y in pixels, rounded down to those of `shape` (H, W). Pixels on the lines
    between corners are inside, and others by the even-odd rule, which leaves out holes that are cut in."""
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
    """Each index i of `counts`, counts[i] times, and with it 0, 1, … counts[i] − 1."""
    numbers = np.repeat(np.arange(len(counts)), counts)
    return numbers, np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
