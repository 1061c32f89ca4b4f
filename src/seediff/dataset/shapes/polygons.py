"""Outlines of objects as polygons with their holes cut in, and polygons back to pixels, both without loss.

Readers of YOLO's format convert the corners to integers and fill the polygon together with its border (OpenCV's
fillPoly). Ultralytics rounds down, supervision to the nearest integer. Corners of an outline therefore lie in the upper
left quarter of the pixels at its turns, where both give this pixel, and the mask comes back exactly. Readers that test
whether pixel centres are inside lose half a pixel on the right and at the bottom. A hole is joined to the outline above
it by a slit of zero width, through the object's pixels.
"""

from __future__ import annotations

import numpy as np

from .objects import Objects

NEAR, FAR = 0.05, 0.45
"""Position of outlines within pixels, measured from the left or upper edge, in pixels: NEAR for left and upper sides,
FAR for right and lower sides. Both differ from 0 and 0.5 by more than the rounding error of six decimals for a side of
40,000 pixels."""
START = np.array([(NEAR, NEAR), (FAR, NEAR), (FAR, FAR), (NEAR, FAR)])
END = np.roll(START, -1, 0)
"""(x, y) within a pixel, by direction: where the outline begins (START) and ends (END) to follow the pixel's edge."""
SNAP = 0.01
"""Coordinates that are below an integer by less than this are rounded up: other programs write integer coordinates with
a rounded last decimal."""

EAST, SOUTH, WEST, NORTH = range(4)
"""Directions of edges. An edge is walked with its pixel on the right: the top edge to the east, the right edge to the
south, …
"""
STEP = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
"""(rows, columns) of one step in each direction."""


def object_polygons(objects: Objects) -> list[np.ndarray]:
    """The outline of every object, in their order: (P, 2) float64, x and y in pixels from the picture's top left
    corner, in (0, W) and (0, H). Each object must be a connected piece. `fill_polygon` gives exactly the object's
    pixels."""
    edges, onward = _edges(objects.index)
    outlines = _walk(objects.index, edges, onward) if len(edges) else {}
    return [outlines[number] for number in range(len(objects.areas))]


def _edges(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The edges between objects and their surroundings, as 4 · pixel + direction in ascending order, and the edge that
    follows each.
    """
    height, width = index.shape
    padded = np.full((height + 2, width + 2), -1, np.int32)
    padded[1:-1, 1:-1] = index
    edges, onward = [], []
    for direction in range(4):
        ahead, left = STEP[direction], STEP[direction - 1]
        beside = padded[1 + left[0] : 1 + left[0] + height, 1 + left[1] : 1 + left[1] + width]
        r, c = np.divmod(np.flatnonzero((index >= 0) & (beside != padded[1:-1, 1:-1])), width)
        same = index[r, c]
        straight = padded[r + 1 + ahead[0], c + 1 + ahead[1]] == same
        # Also where pixels only touch at a corner: objects are 8-connected, and their surroundings are 4-connected.
        corner = padded[r + 1 + ahead[0] + left[0], c + 1 + ahead[1] + left[1]] == same
        turn_right = 4 * (r * width + c) + (direction + 1) % 4
        go_straight = 4 * ((r + ahead[0]) * width + c + ahead[1]) + direction
        turn_left = 4 * ((r + ahead[0] + left[0]) * width + c + ahead[1] + left[1]) + (direction - 1) % 4
        edges.append(4 * (r * width + c) + direction)
        onward.append(np.where(corner, turn_left, np.where(straight, go_straight, turn_right)))
    edge, follow = np.concatenate(edges), np.concatenate(onward)
    order = np.argsort(edge)
    return edge[order], follow[order]


def _walk(index: np.ndarray, edges: np.ndarray, onward: np.ndarray) -> dict[int, np.ndarray]:
    """Object → its outline: follows the edges around every object, and joins each hole to the outline above it."""
    width = index.shape[1]
    follow = np.searchsorted(edges, onward).tolist()  # from here on, an edge is its index in `edges`
    count = len(follow)
    objects = index.ravel()[edges // 4].tolist()
    seen = bytearray(count)
    outlines: dict[int, int] = {}  # object → where its outline begins
    slits: list[tuple[float, float]] = []
    for start in range(count):
        if seen[start]:
            continue
        edge = start
        while not seen[edge]:
            seen[edge] = 1
            edge = follow[edge]
        if objects[start] not in outlines:  # an object's first edge is the top of its first pixel, on its outer outline
            outlines[objects[start]] = start
            continue
        # The first edge of a hole is the bottom of a pixel above it. Straight up from there, the object ends at an edge
        # seen before.
        pixel = int(edges[start]) // 4
        column = pixel % width
        top = pixel
        while top >= width and index.flat[top - width] == index.flat[pixel]:
            top -= width
        upper = int(np.searchsorted(edges, 4 * top + EAST))
        follow += [count + len(slits) + 1, follow[start], count + len(slits) + 3, follow[upper]]
        follow[upper], follow[start] = count + len(slits), count + len(slits) + 2
        up, down = (column + NEAR, top // width + NEAR), (column + NEAR, pixel // width + FAR)
        slits += [up, down, down, up]
    corners, turns, pinches = _corners(index, edges, onward)
    points = [*corners.tolist(), *slits]
    kept = [*turns.tolist(), *[True] * len(slits)]
    polygons = {}
    for number, start in outlines.items():
        path, node = [], start
        while True:
            if kept[node]:
                if node in pinches:
                    path.append(pinches[node])
                path.append(points[node])
            node = follow[node]
            if node == start:
                break
        polygons[number] = np.array(path, np.float64)
    return polygons


def _corners(
    index: np.ndarray, edges: np.ndarray, onward: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[int, list[float]]]:
    """(E, 2) float64: the point where the outline begins to follow each edge; (E,) bool: whether it turns there; and,
    for edges whose pixel touches the previous pixel only at a corner, the point where the outline leaves that previous
    pixel."""
    places = np.searchsorted(edges, onward)
    before = np.empty(len(edges), np.int64)
    before[places] = np.arange(len(edges))  # the edge before each edge
    direction, previous = edges % 4, edges[before] % 4
    width = index.shape[1]
    row, column = np.divmod(edges // 4, width)
    previous_row, previous_column = np.divmod(edges[before] // 4, width)
    left_turn = direction == (previous - 1) % 4
    ahead_row, ahead_column = (
        np.where(left_turn, here + STEP[previous, axis], here)
        for axis, here in enumerate((previous_row, previous_column))
    )
    inner = left_turn & (index[ahead_row, ahead_column] == index[row, column])
    pinch = left_turn & ~inner
    # At an inner corner, the horizontal edge gives y and the vertical edge gives x, which is in the pixel between
    # theirs.
    level = (direction == EAST) | (direction == WEST)
    ends = np.stack([previous_column, previous_row], 1) + END[previous]
    starts = np.stack([column, row], 1) + START[direction]
    corners = np.where(inner[:, None] & np.stack([level, ~level], 1), ends, starts)
    numbers = np.flatnonzero(pinch)
    return corners, direction != previous, dict(zip(numbers.tolist(), ends[numbers].tolist(), strict=True))


def fill_polygon(polygon: np.ndarray, shape: tuple[int, int]) -> tuple[int, int, np.ndarray]:
    """The pixels of a polygon, filled like readers of YOLO's format do: (top, left, (h, w) bool), the mask of its
    bounding box.

    polygon: (P, 2), x and y in pixels. Corners are rounded down to pixels of `shape` (H, W). Pixels on the lines
    between them are inside, and so are those inside by the even-odd rule, which leaves out holes that are cut in.
    """
    corners = np.clip(np.floor(polygon + SNAP).astype(np.int64), 0, (shape[1] - 1, shape[0] - 1))
    left, top = corners.min(0)
    width, height = corners.max(0) - (left, top) + 1
    x0, y0 = (corners - (left, top)).T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)

    rise = np.abs(y1 - y0)
    edge, step = _steps(rise)  # the rows that an edge crosses, but the last, which belongs to the next edge
    lower = np.minimum(y0, y1)[edge]
    across = x0[edge] + (x1 - x0)[edge] * (lower + step - y0[edge]) / (y1 - y0)[edge]
    crossings = np.zeros((height, width + 1), np.int64)
    np.add.at(crossings, (lower + step, np.ceil(across).astype(np.int64)), 1)
    inside = (np.cumsum(crossings, 1) % 2 == 1)[:, :width]

    length = np.maximum(np.maximum(np.abs(x1 - x0), rise), 1)
    edge, step = _steps(length)
    share = step / length[edge]
    inside[
        np.floor(y0[edge] + (y1 - y0)[edge] * share + 0.5).astype(np.int64),
        np.floor(x0[edge] + (x1 - x0)[edge] * share + 0.5).astype(np.int64),
    ] = True
    return int(top), int(left), inside


def _steps(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each index i of `counts`, repeated counts[i] times, and with it 0, 1, … counts[i] − 1."""
    numbers = np.repeat(np.arange(len(counts)), counts)
    return numbers, np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
