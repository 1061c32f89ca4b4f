"""Objects in a label map: known objects, or else the connected pieces of a class. Pieces that a person joined are one object.

`joined` is a tuple of objects, each a tuple of pixels (column, row): the pieces that contain these pixels form one object. A pixel names
its piece even if the piece's outline changes, as long as the pixel has a class. A pixel without a class names nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ..encoding import Instances
from .rle import Masks, Runs, column_runs, connected, masks_by

Pixel = tuple[int, int]
Joined = tuple[tuple[Pixel, ...], ...]
LEAST = 0.01
"""The smallest share of the picture that `scored_pieces` takes for an object, so there are at most 100."""
MOST_PIXELS = 10_000
"""Maximum number of pixels that name pieces in one picture: far more than anybody clicks. Every stroke checks all of them."""


@dataclass(frozen=True)
class Objects:
    """The objects in one label map, ordered by class, then by their first pixel column by column.

    masks, class_ids: one entry per object. small: the number of pieces left out.
    """

    masks: Masks
    class_ids: Sequence[int]
    small: int

    @cached_property
    def areas(self) -> list[int]:
        """The area of each object in pixels."""
        return self.masks.areas.tolist()

    @cached_property
    def boxes_xyxy(self) -> list[tuple[int, int, int, int]]:
        """Left, top, right, bottom of each object in pixels; the last two exclusive."""
        return [(left, top, right, bottom) for left, top, right, bottom in self.masks.boxes_xyxy.tolist()]

    @cached_property
    def index(self) -> np.ndarray:
        """(H, W) int32: the object at each pixel, −1 for none."""
        return self.masks.index_map()

    def instances(self) -> Instances:
        """The objects, numbered in their order, without scores."""
        return Instances((self.index + 1).astype(np.uint16), tuple(self.class_ids))

    def pieces(self, min_area: int = 1) -> tuple[Objects, list[int]]:
        """The connected pieces of the objects with at least `min_area` pixels, in the same order, and the object of each."""
        runs = column_runs(self.index)
        pieces = _numbered(runs, np.array([*self.class_ids, 0], np.uint8)[runs.ids], connected(runs), min_area)
        columns, rows = np.divmod(pieces.masks.starts[pieces.masks.first], self.masks.shape[0])
        return pieces, self.index[rows, columns].tolist()


def find_objects(labels: np.ndarray, min_area: int = 1, joined: Joined = (), instances: Instances | None = None) -> Objects:
    """The connected pieces of each class in labels (H, W) uint8, with at least `min_area` pixels; 0 and 255 are not classes.

    Pixels that meet at a corner are connected. joined: pieces to join into one object. instances: the objects to take instead of pieces,
    each where labels have its class; ignored shapes are left out.
    """
    if instances is None:
        runs, classes = column_runs(labels), np.arange(IGNORE + 1, dtype=np.uint8)
    else:
        runs = column_runs(np.where(instances.label_map() == labels, instances.numbers, np.uint16(0)))
        classes = np.array([0, *instances.class_ids], np.uint8)
    piece = connected(runs) if instances is None else _first_runs(runs)
    if joined:
        piece = _joined(runs, classes[runs.ids], piece, joined)
    return _numbered(runs, classes[runs.ids], piece, min_area)


def scored_pieces(labels: np.ndarray, class_ids: Sequence[int], soft: Iterable[np.ndarray]) -> Instances:
    """The connected pieces of classes in labels (H, W) uint8 as objects, the surest first. soft: each class's soft mask (H, W); a score is
    its mean in the piece. Pieces of less than LEAST of the picture are no objects."""
    found = find_objects(labels, math.ceil(LEAST * labels.size))
    scores = [0.0] * len(found.class_ids)
    for class_id, values in zip(class_ids, soft, strict=True):
        for piece in np.flatnonzero(np.equal(found.class_ids, class_id)).tolist():
            scores[piece] = float(values[found.index == piece].mean())
    order = sorted(range(len(scores)), key=lambda piece: -scores[piece])
    numbers = np.zeros(len(scores) + 1, np.uint16)  # the last entry is for pixels without a piece, −1
    numbers[order] = range(1, len(order) + 1)
    return Instances(numbers[found.index], tuple(found.class_ids[piece] for piece in order), tuple(scores[piece] for piece in order))


def _first_runs(runs: Runs) -> np.ndarray:
    """(N,) the first run with the id of each run."""
    _, first, number = np.unique(runs.ids, return_index=True, return_inverse=True)
    return first[number]


def _numbered(runs: Runs, classes: np.ndarray, piece: np.ndarray, min_area: int) -> Objects:
    """The objects formed by runs. classes, piece: (N,) the class and the piece of each run; a piece is the index of its first run. Classes
    0 and 255 are not objects."""
    first = np.flatnonzero((piece == np.arange(len(piece))) & (classes > 0) & (classes < IGNORE))
    first = first[np.argsort(classes[first], kind="stable")]
    number = np.full(len(piece), len(first))
    number[first] = np.arange(len(first))
    masks, class_ids = masks_by(runs, number[piece], len(first)), classes[first]
    if min_area > 1:
        large = masks.areas >= min_area
        masks, class_ids = masks.chosen(large), class_ids[large]
    return Objects(masks, class_ids.tolist(), len(first) - len(class_ids))


def _joined(runs: Runs, classes: np.ndarray, piece: np.ndarray, joined: Joined) -> np.ndarray:
    """(N,) the piece of each run, of `classes` (N,). Pieces of one class that contain the pixels of one entry in `joined` get the number
    of the first of them."""
    pixels = [column * runs.shape[0] + row for pixels_of_one in joined for column, row in pixels_of_one]
    at = np.searchsorted(runs.starts, pixels, side="right") - 1
    numbers = np.repeat(np.arange(len(joined)), [len(pixels_of_one) for pixels_of_one in joined])
    groups = defaultdict(set)
    for number, class_id, its in zip(numbers.tolist(), classes[at].tolist(), piece[at].tolist(), strict=True):
        groups[number, class_id].add(its)
    first = united(groups.values())
    names = np.arange(len(piece))
    names[list(first)] = list(first.values())
    return names[piece]


def united(groups: Iterable[Iterable[int]]) -> dict[int, int]:
    """Number → the smallest number connected with it, where groups that share a number are connected. Almost linear time."""
    parent: dict[int, int] = {}

    def root(number: int) -> int:
        while (above := parent[number]) != number:
            parent[number] = number = parent[above]
        return number

    for group in groups:
        least = None
        for number in group:
            parent.setdefault(number, number)
            low, high = sorted((root(number), number if least is None else root(least)))
            parent[high] = least = low
    return {number: root(number) for number in parent}


def read_joined(value: object) -> Joined:
    """`joined` from a row's JSON lists, as tuples."""
    return tuple(tuple((x, y) for x, y in pixels) for pixels in value or ())  # type: ignore[attr-defined, misc]


def check_joined(joined: Joined, shape: tuple[int, ...], where: str) -> None:
    """Raise UserError for a pixel outside a picture of `shape` (H, W), and for more than MOST_PIXELS pixels."""
    if (count := sum(map(len, joined))) > MOST_PIXELS:
        raise UserError(where, f"joins pieces at {count} pixels; at most {MOST_PIXELS} in a picture are read")
    for x, y in (pixel for pixels in joined for pixel in pixels):
        if not (0 <= x < shape[1] and 0 <= y < shape[0]):
            raise UserError(where, f"joins the piece at pixel [{x}, {y}], but its picture has {shape[1]} × {shape[0]} pixels")


def join(labels: np.ndarray, joined: Joined, first_pixel: Pixel, other_pixel: Pixel, instances: Instances | None = None) -> Joined:
    """`joined` for labels (H, W) uint8 after joining the pieces at two pixels, and everything joined to either. instances: the objects of
    `labels` to take instead of pieces. Raises UserError if the pixels have two classes, or none."""
    pieces = find_objects(labels, instances=instances)
    first, second = (_piece_at(pieces, pixel) for pixel in (first_pixel, other_pixel))
    if pieces.class_ids[first] != pieces.class_ids[second]:
        raise UserError("only pieces of one class can be one object")
    return _named(pieces, [*_groups(pieces, joined), {first, second}])


def split(labels: np.ndarray, joined: Joined, pixel: Pixel, instances: Instances | None = None) -> Joined:
    """`joined` after separating the piece, or the object of `instances`, at a pixel. Raises UserError for a pixel without a class."""
    pieces = find_objects(labels, instances=instances)
    alone = _piece_at(pieces, pixel)
    return _named(pieces, [group - {alone} for group in _groups(pieces, joined)])


def carried(
    before: np.ndarray, after: np.ndarray, joined: Joined, instances: tuple[Instances | None, Instances | None] = (None, None)
) -> Joined:
    """Carry `joined` over from label map `before` to `after`, both (H, W) uint8. Each piece becomes the new piece that has most of its
    pixels, or none if they have no class now. Pieces that now have several classes form one object per class. instances: the objects of
    both label maps to take instead of pieces."""
    if not joined:
        return ()
    old, new = find_objects(before, instances=instances[0]), find_objects(after, instances=instances[1])
    groups = _groups(old, joined)
    goes_on = _goes_on(old, new, set().union(*groups))
    later = []
    for group in groups:
        by_class: defaultdict[int, set[int]] = defaultdict(set)
        for piece in group & goes_on.keys():
            by_class[new.class_ids[goes_on[piece]]].add(goes_on[piece])
        later += by_class.values()
    return _named(new, later)


def _goes_on(old: Objects, new: Objects, pieces: set[int]) -> dict[int, int]:
    """For each of these pieces, the new piece that has most of its pixels (the first if several are equal)."""
    asked = np.zeros(len(old.class_ids) + 1, bool)  # the last entry is for pixels without a piece, −1
    asked[list(pieces)] = True
    both = asked[old.index] & (new.index >= 0)
    pairs, pixels = np.unique(old.index[both].astype(np.int64) * len(new.class_ids) + new.index[both], return_counts=True)
    was, is_ = np.divmod(pairs, max(1, len(new.class_ids)))
    order = np.lexsort((-is_, pixels, was))  # the last entry for each piece counts
    return dict(zip(was[order].tolist(), is_[order].tolist(), strict=True))


def _piece_at(pieces: Objects, pixel: Pixel) -> int:
    height, width = pieces.index.shape
    inside = 0 <= pixel[0] < width and 0 <= pixel[1] < height
    if not inside or (piece := int(pieces.index[pixel[1], pixel[0]])) < 0:
        raise UserError(f"there is no object at pixel [{pixel[0]}, {pixel[1]}]")
    return piece


def _groups(pieces: Objects, joined: Joined) -> list[set[int]]:
    """The pieces that each entry in `joined` names, by class."""
    groups: list[set[int]] = []
    for pixels in joined:
        by_class: dict[int, set[int]] = {}
        for x, y in pixels:
            if (piece := int(pieces.index[y, x])) >= 0:
                by_class.setdefault(pieces.class_ids[piece], set()).add(piece)
        groups += by_class.values()
    return groups


def _named(pieces: Objects, groups: Iterable[set[int]]) -> Joined:
    """Groups of pieces as pixels: groups that share a piece are merged, pieces are in order, groups are sorted by their first piece."""
    together = defaultdict(list)
    for piece, first in sorted(united(groups).items()):
        together[first].append(piece)
    return tuple(tuple(_middle(pieces, piece) for piece in its) for _, its in sorted(together.items()) if len(its) > 1)


def _middle(pieces: Objects, piece: int) -> Pixel:
    """A pixel of a piece that is unlikely to change with its outline: the middle of its longest run down a column (the first if several
    are equal)."""
    masks = pieces.masks
    begin, end = masks.first[piece], masks.first[piece + 1] if piece + 1 < len(masks.first) else len(masks.starts)
    lengths = masks.ends[begin:end] - masks.starts[begin:end]
    run = int(lengths.argmax())
    x, y = divmod(int(masks.starts[begin + run] + lengths[run] // 2), masks.shape[0])
    return x, y
