"""Outlines of objects as polygons with their holes cut in, and polygons back to pixels, both without loss.

Programs that read YOLO files turn the corners into whole numbers: Ultralytics rounds them down, supervision to the
nearest. Then they fill the polygon with its border (OpenCV's fillPoly). A corner of an outline therefore lies in the
upper left quarter of the pixel where the outline turns: both ways of rounding give this pixel.

An outline is a closed chain of pixel edges, with the object on the right. An edge has the number 4 · pixel + direction:
0 east along the pixel's top, 1 south along its right side, 2 west along its bottom, 3 north along its left side. The
edge that follows an edge of pixel P depends on two pixels: A, ahead of P, and L, to the left of A. Drawn for an edge to
the east, where . is a pixel outside of the object, and * the corner of the polygon:

    A is outside: right turn,     A and L are inside: left turn,     only A is inside: straight on,
    to the next edge of P         to an edge of L                    to an edge of A

         . | .                         . | L                             . | .
         ──┐                           ──┘                               ──────
         P*│ .                         P  *A                             P | A

If L is inside and A is not, L and P touch at a corner only. Pixels of one object touch at edges, so this is a right
turn.

A slit of zero width joins a hole to the outline above it. The slit is followed down, then the hole, then the slit up:

    before:  … upper → next …    and the hole   bottom → … → bottom
    joined:  … upper ⇓ slit ⇓ the hole's other edges → bottom ⇑ slit ⇑ again → next …

`upper` is the edge above the hole. `again` is its copy, with a negative number: from there the chain goes on as it did
from `upper` before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from .objects import Objects
from .rle import mask_runs

NEAR, FAR = 0.05, 0.45
"""Positions of corners within a pixel: NEAR for left and upper sides, FAR for right and lower sides. With six decimals,
they stay apart from 0 and 0.5 even in a picture with sides of 40,000 pixels."""
SNAP = 0.01
"""A coordinate less than this below a whole number counts as that number, because programs write rounded decimals."""

STEP = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
"""(rows, columns) of a step in each direction: east, south, west, north."""
START = np.array([(NEAR, NEAR), (NEAR, FAR), (FAR, FAR), (FAR, NEAR)])
"""(row, column) within a pixel of the corner where its edge in each direction begins."""


def object_polygons(objects: Objects) -> list[np.ndarray]:
    """The outline of each object, in their order: (P, 2) float64, x in (0, W) and y in (0, H) in pixels.

    objects: objects that are each in one piece, as `Objects.pieces` returns them. `fill_polygon` turns an outline back
    into exactly the object's pixels.
    """
    outlines = _Outlines(objects.numbers)
    owners = objects.numbers.ravel()
    starts: dict[int, int] = {}  # object → the first edge of its outer outline, the top of its first pixel
    for start in outlines.first_edges():
        if starts.setdefault(owners[start // 4], start) != start:
            outlines.join_hole(start)
    return [outlines.polygon(start) for _, start in sorted(starts.items())]


class _Outlines:
    """The chains of edges around objects. numbers: (H, W), the number of the object at each pixel, or 0."""

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
        ahead = STEP[direction]
        left = STEP[direction - 1]
        padded = np.pad(self.numbers, 1)

        def object_at(step: np.ndarray) -> np.ndarray:
            """(H, W): the object at the pixel that is a step away from each pixel."""
            return padded[1 + step[0] :, 1 + step[1] :][:height, :width]

        has_edge = (self.numbers > 0) & (object_at(left) != self.numbers)
        p = np.argwhere(has_edge)
        own = self.numbers[has_edge]
        a_inside = object_at(ahead)[has_edge] == own
        l_inside = a_inside & (object_at(ahead + left)[has_edge] == own)
        next_pixels = p + np.outer(a_inside, ahead) + np.outer(l_inside, left)
        turns = np.select([l_inside, a_inside], [-1, 0], 1)  # left turn if L is inside, straight on if A is, else right
        edges = 4 * (p @ (width, 1)) + direction
        next_edges = 4 * (next_pixels @ (width, 1)) + (direction + turns) % 4
        self.next_edge.update(zip(edges.tolist(), next_edges.tolist(), strict=True))
        # A right turn has its corner in P, and a left turn in A.
        for turn, corners in ((~a_inside, p + START[(direction + 1) % 4]), (l_inside, p + ahead + START[direction])):
            self.corners.update(zip(edges[turn].tolist(), corners[turn, ::-1].tolist(), strict=True))

    def first_edges(self) -> Iterator[int]:
        """The edge with the lowest number in each chain, in rising order."""
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
        width = self.numbers.shape[1]
        next_edge = self.next_edge
        corners = self.corners
        row, column = divmod(bottom // 4, width)
        top = row
        while top and self.numbers[top - 1, column] == self.numbers[row, column]:
            top -= 1
        slit_top, slit_end = [column + NEAR, top + NEAR], [column + NEAR, row + FAR]
        upper = 4 * (top * width + column)
        again = -1 - len(next_edge)  # a second edge at the place of upper; no pixel's edge has a negative number
        # upper ⇒ down the slit ⇒ around the hole to bottom ⇒ up the slit ⇒ again ⇒ the edge that followed upper
        next_edge[again] = next_edge[upper]
        next_edge[upper] = next_edge[bottom]
        next_edge[bottom] = again
        corners[again] = corners[upper]
        corners[upper] = [*slit_top, *slit_end, *corners[bottom]]
        corners[bottom] = [*slit_end, *slit_top]

    def polygon(self, start: int) -> np.ndarray:
        """(P, 2) float64: the corners of a chain. start: an edge of the chain; the corner before it is the first."""
        path: list[float] = []
        for edge in self._chain(start):
            if edge in self.corners:
                path += self.corners[edge]
        corners = np.array(path[-2:] + path[:-2], np.float64).reshape(-1, 2)
        if len(corners) == 4:  # programs, this one too, take four corners for a box
            return corners[[0, 1, 1, 2, 3]]
        return corners


def fill_polygon(frame: tuple[int, int], polygon: np.ndarray) -> np.ndarray:
    """(N,) int64: the run lengths of a polygon's pixels, as `mask_runs` returns them.

    frame: (H, W) of the picture. polygon: (P, 2), x in [0, W] and y in [0, H] in pixels, which are rounded down. Pixels
    on a line between two corners are inside. The even-odd rule decides on the other pixels, so that joined holes stay
    open.
    """
    corners = np.minimum(np.floor(polygon + SNAP).astype(np.int64), np.array(frame[::-1]) - 1)
    origin = corners.min(0)
    width, height = (corners.max(0) - origin + 1).tolist()
    image = Image.new("1", (width, height))
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in (corners - origin).tolist()], fill=1, outline=1)
    return mask_runs(np.asarray(image), frame, *origin.tolist())


def has_outer_line(polygon: np.ndarray) -> bool:
    """Whether a polygon goes out and back on one line that is not inside of it, as joined pieces do. The line that
    joins a hole is inside. polygon: (P, 2)."""
    corners = [*map(tuple, polygon.tolist())]
    edges = {*pairwise([*corners, corners[0]])}
    border = [edge for edge in edges if edge[::-1] not in edges]
    for start, end in edges:
        if start < end and (end, start) in edges:
            x, y = np.add(start, end) / 2
            crossed = [(*a, *b) for a, b in border if (a[1] > y) != (b[1] > y)]
            right = sum(x0 + (y - y0) / (y1 - y0) * (x1 - x0) > x for x0, y0, x1, y1 in crossed)
            if right % 2 == 0:  # so many sides are right of its middle
                return True
    return False
