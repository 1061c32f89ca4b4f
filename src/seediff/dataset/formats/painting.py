"""Shapes of a picture, as codecs read and write them: painted one over the other, and cut out as masks."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ...files.messages import show_json
from ...files.reading import composed
from ..encoding import Instances
from ..sample import Sample
from ..shapes.objects import Objects, whole_classes
from ..shapes.rle import polygon_runs

Side = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
"""A picture's width or height."""
Near = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
"""A coordinate. pycocotools ends the process for a polygon of much larger coordinates."""


class Shapes:
    """A canvas for the shapes of a picture of `shape` (H, W). Later shapes cover earlier ones."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.numbers = np.zeros(shape, np.int32, order="F")
        """(H, W): the number of the visible shape at each pixel, from 1 on; 0 where no shape is."""
        self.class_ids, self.groups = list[int](), dict[tuple[int, object], int]()

    def number(self, class_id: int, group: object = None) -> int:
        """The number with which the next shape is painted. Shapes of the same class and group have one number, because
        they are one object. group: None makes a new number."""
        if group is not None and (class_id, group) in self.groups:
            return self.groups[class_id, group]
        self.class_ids.append(class_id)
        self.groups[class_id, group] = len(self.class_ids)
        return len(self.class_ids)

    def runs(self, runs: np.ndarray, number: int) -> None:
        """Paint run lengths with a number. runs: pixels outside, inside, outside, …, column by column."""
        flat, ends = self.numbers.reshape(-1, order="F"), np.cumsum(runs).tolist()
        for begin, end in zip(ends[:-1:2], ends[1::2], strict=False):
            flat[begin:end] = number

    def box(
        self, left: float, top: float, right: float, bottom: float, degrees: float = 0, about: complex | None = None
    ) -> None:
        """Paint the pixels that a box touches as 255. All boxes of a picture are one shape.

        degrees: the box is turned clockwise by this angle; the upright box around it is painted. about: the point
        x + yi about which it is turned; None: its centre.
        """
        if degrees % 360:
            if about is None:
                about = complex(left + right, top + bottom) / 2
            corners = np.add.outer([left, right], [top * 1j, bottom * 1j])
            turned = (about + (corners - about) * cmath.rect(1, math.radians(degrees))).round(6)
            left, top = turned.real.min(), turned.imag.min()
            right, bottom = turned.real.max(), turned.imag.max()
        rows = slice(max(0, math.floor(top)), max(0, math.ceil(bottom)))
        inside = self.numbers[rows, max(0, math.floor(left)) : max(0, math.ceil(right))]
        inside[:] = self.number(IGNORE, "box")

    def box_around(self, corners: Sequence[tuple[float, float]]) -> None:
        """Paint the box around points (x, y) as 255."""
        across, down = zip(*corners, strict=True)
        self.box(min(across), min(down), max(across), max(down))

    def ellipse(self, centre: complex, across: float, down: float, degrees: float, number: int, where: str) -> None:
        """Paint an ellipse with a number. centre: the point x + yi. across, down: its radii before it is turned
        clockwise by `degrees`. where: the shape's name in errors. Raises UserError."""
        turns = np.linspace(0, 2 * np.pi, 360, endpoint=False)
        outline = (across * np.cos(turns) + down * 1j * np.sin(turns)) * cmath.rect(1, math.radians(degrees)) + centre
        self.runs(polygon_runs([outline.view(np.float64).tolist()], self.numbers.shape, where), number)

    def painted(self) -> Instances:
        """The painted shapes, each as an object. Where no shape is, `numbers` is 0."""
        return Instances(np.ascontiguousarray(self.numbers, np.int32), tuple(self.class_ids))


@dataclass(frozen=True)
class Painted:
    """The shapes of a picture, painted only when a sample's label map or objects are read."""

    paint: Callable[[Any], Instances]
    """Paints the shapes of `picture`."""
    picture: Any

    def label_map(self) -> np.ndarray:
        """The label map (H, W) uint8. Raises UserError."""
        return _painted(self.paint, self.picture).label_map()

    def objects(self) -> Instances:
        """The visible shapes as objects. Raises UserError."""
        return _painted(self.paint, self.picture).visible()


@lru_cache(maxsize=1)  # only the last picture's shapes: those of a set may be larger than memory
def _painted(paint: Callable[[Any], Instances], picture: Any) -> Instances:
    return paint(picture)


def class_of(label: str, ids: Mapping[str, int], where: str) -> int:
    """The id of a shape's label. Labels that mean 0 or 255 may be in any case. ids: label → id, from `number_labels`.
    where: the shape's name in errors. Raises UserError."""
    name = composed(label.strip())
    class_id = ids.get(name, ids.get(name.casefold()))
    if class_id is None:
        classes = ", ".join(name for name, i in ids.items() if 0 < i < IGNORE)
        raise UserError(where, f"has the label {show_json(label)}, which is not a class; they are {classes}")
    return class_id


def by_object(images: Iterable[Sequence[str]]) -> bool:
    """Whether each mask of a set is an object, because two masks of one picture have the same label. Otherwise a mask
    may hold all objects of a class. images: the labels of the masks in each picture."""
    return any(len({*labels}) < len(labels) for labels in images)


class Mask(NamedTuple):
    """A mask to write."""

    class_id: int
    inside: np.ndarray
    """(bottom − top, right − left) bool: the mask's pixels in its box."""
    box: tuple[int, int, int, int]
    """Left, top, right and bottom in the picture. The last two are exclusive."""


def objects_of(sample: Sample, labels: np.ndarray, objects: bool) -> list[Objects]:
    """The classes in a label map (H, W), 255 included, each as one object. objects: first the sample's objects, then
    the classes at the other pixels."""
    if not objects:
        return [whole_classes(labels)]
    found = sample.objects(labels)
    return [found, whole_classes(found.rest(labels))]


def masks_of(sample: Sample, labels: np.ndarray, objects: bool) -> Iterator[Mask]:
    """A mask for each of `objects_of`, with the same arguments."""
    for found in objects_of(sample, labels, objects):
        for number, (class_id, box) in enumerate(zip(found.class_ids, found.boxes_xyxy, strict=True), 1):
            left, top, right, bottom = box
            yield Mask(class_id, found.numbers[top:bottom, left:right] == number, box)
