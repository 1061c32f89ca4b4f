"""Outlines of objects as polygons with their holes cut in, and polygons back to pixels, both without loss.

Readers of YOLO's format convert the corners to integers, Ultralytics by rounding down, supervision to the nearest, and
fill the polygon with its border (OpenCV's fillPoly). Corners of an outline therefore lie in the upper left quarter of
the pixels at its turns, where both give this pixel.

An outline is a chain of edges of pixels, with the object on their right hand. An edge has the number 4 · pixel +
direction: 0 east along the pixel's top, 1 south along its right side, 2 west along its bottom, 3 north along its left
side. The edge after that of a pixel P depends on the pixels A ahead and L ahead to the left. For an edge to the east,
with . for pixels outside and * for the corner of the outline:

    A outside: right turn,     A and L inside: left turn,     A alone inside: straight on,
    to the next edge of P      to the edge of L               to the edge of A

         . | .                      . | L                          . | .
         ──┐                        ──┘                            ──────
         P*│ .                      P  *A                          P | A

The pixels of an object meet at edges. L without A meets P at a corner alone, so its outline is turned away from there.

A hole is joined to the outline above it by a slit of zero width, which is followed down and up:

    outline: … upper → next …       hole: bottom → … → bottom
    joined:  … upper ⇓ (slit) ⇓ the hole's edges … bottom ⇑ (slit) ⇑ again → next …

`again` is a second visit of `upper`, with a negative number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

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
"""(row, column) within a pixel of the corner where its edge in each direction begins."""


def object_polygons(objects: Objects) -> list[np.ndarray]:
    """The outline of each object, in their order: (P, 2) float64, x in (0, W) and y in (0, H) in pixels. Each object
    must be in one piece, like the pieces of `Objects.pieces`. `fill_polygon` gives exactly the object's pixels."""
    outlines, owners = _Outlines(objects.numbers), objects.numbers.ravel()
    starts: dict[int, int] = {}  # object → the first edge of its outer outline, the top of its first pixel
    for start in outlines.chains():
        if starts.setdefault(owners[start // 4], start) != start:
            outlines.join_hole(start)
    return [outlines.polygon(start) for _, start in sorted(starts.items())]


class _Outlines:
    """The outlines of objects. numbers: (H, W), the number of the object at each pixel; 0 where there is no object."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = numbers
        self.next_edge: dict[int, int] = {}
        self.corners: defaultdict[int, list[float]] = defaultdict(list)
        """Edge → x, y, x, y, … of the corners between it and the next edge."""
        for direction in range(4):
            self._add_edges(direction)

    def _add_edges(self, direction: int) -> None:
        """Adds the edges of one direction. direction: 0 east, 1 south, 2 west, 3 north."""
        height, width = self.numbers.shape
        padded = np.pad(self.numbers, 1)

        def seen(step: np.ndarray) -> np.ndarray:
            """(H, W): the object at the pixel that is a step away from each pixel."""
            return padded[1 + step[0] :, 1 + step[1] :][:height, :width]

        ahead, left = STEP[direction], STEP[direction - 1]
        has_edge = (self.numbers > 0) & (seen(left) != self.numbers)
        pixels, own = np.argwhere(has_edge), self.numbers[has_edge]
        goes_on = seen(ahead)[has_edge] == own
        turns_left = goes_on & (seen(ahead + left)[has_edge] == own)
        next_pixels = pixels + np.outer(goes_on, ahead) + np.outer(turns_left, left)
        turns = np.select([turns_left, goes_on], [-1, 0], 1)  # left, straight on, right
        next_directions = (direction + turns) % 4
        here = 4 * (pixels @ (width, 1)) + direction
        there = 4 * (next_pixels @ (width, 1)) + next_directions
        self.next_edge.update(zip(here.tolist(), there.tolist(), strict=True))
        in_pixel, in_pixel_ahead = pixels + START[(direction + 1) % 4], pixels + ahead + START[direction]
        for at_corner, corners in ((~goes_on, in_pixel), (turns_left, in_pixel_ahead)):
            self.corners.update(zip(here[at_corner].tolist(), corners[at_corner, ::-1].tolist(), strict=True))

    def chains(self) -> Iterator[int]:
        """The first edge of each closed chain of edges. Chains come in the order of these edges."""
        visited: set[int] = set()
        for start in sorted(self.next_edge):
            if start not in visited:
                visited.update(self._chain(start))
                yield start

    def _chain(self, start: int) -> Iterator[int]:
        """The edges of a closed chain, beginning with `start`."""
        yield start
        edge = self.next_edge[start]
        while edge != start:
            yield edge
            edge = self.next_edge[edge]

    def join_hole(self, bottom: int) -> None:
        """Joins a hole to the outline straight above it. bottom: the hole's first edge, which is the bottom side of
        a pixel."""
        row, column = divmod(bottom // 4, self.numbers.shape[1])
        top = row
        while top and self.numbers[top - 1, column] == self.numbers[row, column]:
            top -= 1
        up, down = [column + NEAR, top + NEAR], [column + NEAR, row + FAR]
        upper, again = 4 * (top * self.numbers.shape[1] + column), -1 - len(self.next_edge)
        next_edge, corners = self.next_edge, self.corners
        next_edge[again], corners[again] = next_edge[upper], corners[upper]
        next_edge[upper], corners[upper] = next_edge[bottom], [*up, *down, *corners[bottom]]
        next_edge[bottom], corners[bottom] = again, [*down, *up]

    def polygon(self, start: int) -> np.ndarray:
        """(P, 2) float64: the corners of the chain of `start`. The first corner is the one before `start`."""
        path: list[float] = []
        for edge in self._chain(start):
            if edge in self.corners:
                path += self.corners[edge]
        return np.array(path[-2:] + path[:-2], np.float64).reshape(-1, 2)


def fill_polygon(polygon: np.ndarray, shape: tuple[int, int]) -> tuple[int, int, np.ndarray]:
    """(top, left, mask): the pixels of a polygon as the mask (h, w) bool of its bounding box, filled as readers of
    YOLO's format fill it.

    polygon: (P, 2), x and y in pixels. They are rounded down to pixels of `shape` (H, W). Pixels on the lines between
    corners are inside. The even-odd rule decides on all others, so that joined holes stay open.
    """
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
    """(indices, steps) of counts such as `[2, 3]`: `[0, 0, 1, 1, 1]`, each index i repeated counts[i] times; and
    `[0, 1, 0, 1, 2]`, the repetition's number from 0."""
    numbers = np.repeat(np.arange(len(counts)), counts)
    return numbers, np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
