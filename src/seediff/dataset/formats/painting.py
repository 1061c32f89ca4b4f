"""What a set says about a picture, `Labelled`, and its shapes; how its shapes are painted one over the other, when its
sample is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

import msgspec
import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ...files.messages import show_json
from ...files.reading import composed
from ...rows.row import Row
from ..encoding import ReadLabels
from ..sample import Sample
from ..shapes.objects import Objects
from ..shapes.rle import box_runs
from .set_files import check_frame, in_stored_order, shown_size


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


@dataclass(frozen=True, eq=False)
class Labelled:
    """What a set says about a picture.

    For example, <image name="a.jpg" subset="Train"> in a CVAT file has the names ["Train/a.jpg"], and the part and the
    top "Train". Its sample is called "a", or "Train/a" if another subset has an a.jpg, too, and its split is "train".
    """

    where: str
    """The picture's name in errors."""
    names: Sequence[str] = ()
    """Names that the picture may have, for `PictureFinder.find`."""
    folders: Sequence[Path] = ()
    """Folders where the picture may be."""
    image: Path | None = None
    """The picture's file, if it is known; None if only label maps are compared."""
    name: str = ""
    """The picture's path in its folder, with suffix."""
    part: str | None = ""
    """The part of the set in the set's own words, such as "Train", from which the split follows; "" if the set has no
    parts; None: the first folder of the name may be one. Two parts may each have a picture of one name."""
    top: str = ""
    """A folder at the beginning of the picture's path that is left out of the sample's name."""
    sample: str = ""
    """The sample's name; "" if it follows from the picture's path."""
    row: Row = field(default_factory=Row)
    """The sample's metadata."""
    labels: Path = Path()
    """The file that labels this picture alone, if there is one."""
    read: ReadLabels | None = None
    """Reads the label map; None if it is painted."""
    shapes: ReadShapes = tuple
    """Reads the shapes of which the label map is painted."""
    objects: ReadShapes | None = None
    """Reads the shapes that are objects, which may be `shapes` itself; None if the set has no objects."""
    paint: Callable[[tuple[int, int], Iterable[Shape]], Objects] | None = None
    """Paints shapes on a picture of the size (H, W): `paint` with the classes of the set."""
    size: tuple[int | None, int | None] = (None, None)
    """(H, W) of the picture in the set; None: of the shown picture."""
    listed: bool = False
    """Whether the picture is in the set only if a list of a part names it."""
    turn: int = 1
    """The picture's EXIF orientation, from 1 to 8, from which labels are turned back."""
    shown: bool = False
    """Whether the format's tools draw on the turned picture."""

    @classmethod
    def by_file(cls, part: str | None, name: str, image: Path | None, labels: Path, listed: bool = False) -> Labelled:
        """A picture with a file that labels it alone. name: the picture's path in its folder, without suffix. The other
        arguments are fields."""
        name += (image or labels).suffix
        return cls(str(labels), image=image, name=name, part=part, listed=listed, labels=labels)

    def to_sample(self, name: str) -> Sample:
        """The sample, whose labels and objects are read when they are looked at. name: its name."""
        objects = self.visible if self.objects else None
        return Sample(self.image, self.label_map, objects, self.row, name=name, lost=self.lost)

    def label_map(self) -> np.ndarray:
        """The label map (H, W) uint8, painted when it is read. Raises UserError."""
        return self._turned_back(self.read() if self.read else _painted(self, self.shapes).label_map())

    def visible(self) -> Objects:
        """The objects, painted when they are read: the visible shapes. Raises UserError."""
        objects = _painted(self, self.objects or tuple).visible()
        return replace(objects, numbers=self._turned_back(objects.numbers))

    def _turned_back(self, labels: np.ndarray) -> np.ndarray:
        if self.turn == 1:
            return labels
        return in_stored_order(labels, cast(Path, self.image), self.turn, self.shown)

    def lost(self) -> tuple[int, int]:
        """The number of shapes with a class, but without a visible pixel, and the number of pixels that are only in
        boxes. Raises UserError."""
        if self.read:
            return 0, 0
        painted = _painted(self, self.shapes)
        pairs = zip(painted.areas, painted.class_ids, strict=True)
        return sum(not area for area, i in pairs if 0 < i < IGNORE), painted.areas[BOXES - 1]


@lru_cache(maxsize=1)  # only the last picture's shapes: those of a set may be larger than memory
def _painted(one: Labelled, shapes: ReadShapes) -> Objects:
    """The painted shapes of a picture. The label map and the objects of a sample are often read one after the other.
    shapes: reads them."""
    image = cast(Path, one.image)
    height, width = one.size
    if height is None or width is None:
        shown = shown_size(image)
        height, width = height or shown[0], width or shown[1]
    check_frame(image, (height, width), one.where)  # before an array of that size is made
    return cast(Any, one.paint)((height, width), shapes())


BOXES = 1
"""The number with which boxes are painted, as 255."""


def paint(
    frame: tuple[int, int],
    shapes: Iterable[Shape],
    ids: Mapping[str, int],
    *,
    boxes: bool = False,
    small_on_top: bool = False,
) -> Objects:
    """The painted shapes: first boxes, then masks. Each visible shape or group of shapes is an object; the first is
    that of all boxes.

    frame: (H, W). ids: label → id; labels that mean 0 or 255 may be in any case. boxes: whether boxes are masks.
    small_on_top: whether smaller masks of a layer cover larger masks; otherwise, and of equal areas, later masks cover
    earlier masks. Raises UserError, also for a label that is not a class.
    """
    drawn = [(shape, shape.runs(frame)) for shape in shapes if shape.runs is not None]
    if small_on_top:
        drawn.sort(key=lambda one: -one[1][1::2].sum())
    drawn.sort(key=lambda one: (boxes or not one[0].is_box, one[0].layer))  # equal ones stay in their order
    pixels = np.zeros(frame[0] * frame[1], np.int32)  # column by column
    class_ids = [IGNORE]
    numbers = dict[tuple[int, object], int]()
    for shape, runs in drawn:
        number = BOXES
        if boxes or not shape.is_box:
            name = composed(shape.label.strip())
            class_id = ids.get(name, ids.get(name.casefold()))
            if class_id is None:
                raise _no_class(shape, ids)
            if shape.group is None or (class_id, shape.group) not in numbers:
                class_ids.append(class_id)
                numbers[class_id, shape.group] = len(class_ids)
            number = numbers[class_id, shape.group]
        ends = np.cumsum(runs).tolist()
        for begin, end in zip(ends[:-1:2], ends[1::2], strict=False):
            pixels[begin:end] = number
    return Objects(np.ascontiguousarray(pixels.reshape(frame, order="F")), tuple(class_ids))


def _no_class(shape: Shape, ids: Mapping[str, int]) -> UserError:
    """The error for a shape whose label is not a class. ids: as for `paint`."""
    classes = ", ".join(name for name, i in ids.items() if 0 < i < IGNORE)
    return UserError(shape.where, f"has the label {show_json(shape.label)}, which is not a class; they are {classes}")


def around_runs(frame: tuple[int, int], corners: Sequence[tuple[float, float]]) -> np.ndarray:
    """The run lengths of the box around a shape whose inside is not known. frame: (H, W). corners: points (x, y)."""
    across, down = zip(*corners, strict=True)
    return box_runs(frame, min(across), min(down), max(across), max(down))


def by_object(shapes: Sequence[Shape]) -> bool:
    """Whether the masks of a picture prove that each mask is an object: two of them have the same label. Otherwise a
    mask may hold all objects of a class. shapes: the masks."""
    return len({shape.label for shape in shapes}) < len(shapes)


Side = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
"""A picture's width or height."""
Near = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
"""A coordinate in pixels. pycocotools kills the process for a polygon with much larger coordinates."""


def is_box(corners: Sequence[Sequence[float]]) -> bool:
    """Whether a polygon is a box: four corners (x, y), perhaps with the first one again at the end, and sides parallel
    to the axes."""
    points = np.array(corners[:-1] if len(corners) == 5 and corners[0] == corners[4] else corners)
    if len(points) != 4:
        return False
    low, high = points.min(0), points.max(0)
    at_low, at_high = (np.abs(points - side) <= 0.001 * (high - low).max() for side in (low, high))
    return bool((at_low | at_high).all() and len(np.unique(at_high, axis=0)) == 4)
