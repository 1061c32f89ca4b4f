"""The shapes on the pictures of a set. `survey` counts what they are, and `Painting` paints those of a picture one over
the other, when its sample is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ...files.messages import show_json
from ...files.reading import composed
from ..shapes.objects import Objects
from ..shapes.rle import box_runs

Side = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
"""A picture's width or height."""
Near = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
"""A coordinate in pixels. pycocotools kills the process for a polygon with much larger coordinates."""
BOXES = 1
"""The number with which boxes are painted, as 255."""
JOINED = "polygon of joined pieces"
"""The kind of a polygon with a line out and back outside of its pieces."""


class Shape(NamedTuple):  # made several times as fast as a frozen dataclass, and a set may have millions
    """A shape on a picture."""

    where: str
    """The shape's name in errors."""
    kind: str
    """What the file calls it, such as "polyline", for notes. A box of the kind "polygon…" is a polygon."""
    label: str
    """The name of its class, or the number of its class in the files."""
    runs: Callable[[tuple[int, int]], np.ndarray] | None = None
    """Returns the run lengths of the inside, as `mask_runs` does, for the picture's (H, W). May raise UserError. None:
    the shape has no inside, and is left out."""
    is_box: bool = False
    """Whether the shape says no more of an object than where it is. Pixels in boxes alone are ignored (255)."""
    group: object = None
    """Shapes of one class and one group are one object; None for a shape without a group."""
    layer: int = 0
    """Masks of a higher layer cover others."""


ReadShapes = Callable[[], Iterable[Shape]]
"""Reads shapes. It may be called several times, and in another process."""


def is_box(corners: Sequence[Sequence[float]]) -> bool:
    """Whether a polygon is a box: four corners (x, y), perhaps with the first one again at the end, and sides parallel
    to the axes."""
    points = np.array(corners[:-1] if len(corners) == 5 and corners[0] == corners[4] else corners)
    if len(points) != 4:
        return False
    low, high = points.min(0), points.max(0)
    at_low, at_high = (np.abs(points - side) <= 0.001 * (high - low).max() for side in (low, high))
    return bool((at_low | at_high).all() and len(np.unique(at_high, axis=0)) == 4)


def around_runs(frame: tuple[int, int], corners: Sequence[tuple[float, float]]) -> np.ndarray:
    """The run lengths of the box around a shape whose inside is not known. frame: (H, W). corners: points (x, y)."""
    across, down = zip(*corners, strict=True)
    return box_runs(frame, min(across), min(down), max(across), max(down))


def by_object(shapes: Sequence[Shape]) -> bool:
    """Whether the masks of a picture prove that each mask is an object: two of them have the same label. Otherwise a
    mask may hold all objects of a class. shapes: the masks."""
    return len({shape.label for shape in shapes}) < len(shapes)


@dataclass
class Survey:
    """What the shapes of a set are. The shapes themselves are not kept: those of all pictures may be larger than
    memory."""

    labels: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """(label, whether it is a box) → number of shapes with an inside."""
    boxes: int = 0
    """How many of them are boxes."""
    polygons: int = 0
    """How many of the boxes are polygons."""
    joined: list[str] = field(default_factory=list)
    """Picture of each shape that is JOINED."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Picture, kind and label of each shape without an inside."""
    empty: list[str] = field(default_factory=list)
    """Pictures without a shape that has an inside."""
    masks_prove: bool = False
    """Whether the masks of some picture prove that each mask of the set is an object."""
    all_prove: bool = False
    """Whether the masks and boxes of some picture prove it, if boxes are masks."""


def survey(pictures: Iterable[tuple[str, ReadShapes]], proves_objects: Callable[[Sequence[Shape]], bool]) -> Survey:
    """What the shapes of a set are. pictures: name of each picture, and what reads its shapes. proves_objects: whether
    the masks of a picture prove that each mask of the set is an object. Raises UserError."""
    seen = Survey()
    for name, read in pictures:
        shapes = [*read()]
        filled = [shape for shape in shapes if shape.runs is not None]
        boxes = [shape for shape in filled if shape.is_box]
        seen.labels.update((shape.label, shape.is_box) for shape in filled)
        seen.left_out += [(name, f"{one.kind} {one.label}".strip()) for one in shapes if one.runs is None]
        seen.boxes += len(boxes)
        seen.joined += [name for shape in filled if shape.kind == JOINED]
        seen.polygons += sum(shape.kind.startswith("polygon") for shape in boxes)
        seen.masks_prove = seen.masks_prove or proves_objects([shape for shape in filled if not shape.is_box])
        seen.all_prove = seen.all_prove or proves_objects(filled)
        seen.empty += [name] * (not filled)
    return seen


@dataclass(frozen=True)
class Painting:
    """How the shapes of a set are painted."""

    ids: Mapping[str, int]
    """Label → id. Labels that mean 0 or 255 may be in any case."""
    boxes: bool = False
    """Whether boxes are masks."""
    small_on_top: bool = False
    """Whether smaller masks of a layer cover larger masks. Otherwise, and of equal areas, later masks cover earlier
    masks."""
    are_objects: bool = False
    """Whether each mask or group of masks is an object."""

    def paint(self, frame: tuple[int, int], shapes: Iterable[Shape]) -> Objects:
        """The painted shapes: first boxes, then masks. Each visible shape or group of shapes is an object; the first is
        that of all boxes. frame: (H, W). Raises UserError, also for a label that is not a class."""
        drawn = [(shape, shape.runs(frame)) for shape in shapes if shape.runs is not None]
        if self.small_on_top:
            drawn.sort(key=lambda one: -one[1][1::2].sum())
        drawn.sort(key=lambda one: (self.boxes or not one[0].is_box, one[0].layer))  # equal ones stay in their order
        pixels = np.zeros(frame[0] * frame[1], np.int32)  # column by column
        class_ids = [IGNORE]
        numbers = dict[tuple[int, object], int]()
        for shape, runs in drawn:
            number = BOXES
            if self.boxes or not shape.is_box:
                name = composed(shape.label.strip())
                class_id = self.ids.get(name, self.ids.get(name.casefold()))
                if class_id is None:
                    raise self._no_class(shape)
                if shape.group is None or (class_id, shape.group) not in numbers:
                    class_ids.append(class_id)
                    numbers[class_id, shape.group] = len(class_ids)
                number = numbers[class_id, shape.group]
            ends = np.cumsum(runs).tolist()
            for begin, end in zip(ends[:-1:2], ends[1::2], strict=False):
                pixels[begin:end] = number
        return Objects(np.ascontiguousarray(pixels.reshape(frame, order="F")), tuple(class_ids))

    def _no_class(self, shape: Shape) -> UserError:
        """The error for a shape whose label is not a class."""
        classes = ", ".join(name for name, i in self.ids.items() if 0 < i < IGNORE)
        return UserError(
            shape.where, f"has the label {show_json(shape.label)}, which is not a class; they are {classes}"
        )
