"""What a set says about a picture: `Labelled`, the picture and what is drawn on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np

from ...files.label_maps import IGNORE
from ...rows.row import Row
from ..encoding import ReadLabels
from ..shapes.objects import Objects
from .painting import BOXES, Canvas, class_of
from .pictures import check_frame, shown_size

Role = Literal["mask", "box", "around"]
"""What a shape is for: a mask; a box, which says no more of an object than where it is; or a shape of an unknown kind,
around which a box is painted. Pixels of the last two that are in no mask are ignored (255)."""


def box_or_mask(is_box: bool) -> Role:
    """The role of a shape that is read."""
    return "box" if is_box else "mask"


class Shape(NamedTuple):  # made several times as fast as a frozen dataclass, and a set may have millions
    """A shape on a picture."""

    where: str
    """The shape's name in errors."""
    kind: str
    """What the file calls it, such as "polyline", for notes."""
    label: str
    fill: Callable[[Canvas, int], None] | None = None
    """Paints the inside. Its second argument is the number to paint. None: the shape has no inside, and is left out."""
    role: Role = "mask"
    group: object = None
    """Shapes of one class and one group are one object; None for a shape without a group."""
    layer: int = 0
    """Masks of a higher layer cover others. In a layer, later masks cover earlier masks."""

    @property
    def about(self) -> str:
        """Kind and label, such as "cuboid car"."""
        return " ".join(filter(None, (self.kind, self.label)))


Draw = Callable[[tuple[int, int]], Objects]
"""Paints everything on a picture. Its argument is (H, W). It may be called in another process."""


@dataclass(frozen=True)
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
    read: ReadLabels | None = None
    """Reads the label map; None if it is painted."""
    draw: Draw | None = None
    objects: Draw | None = None
    """Paints the objects, which may be `draw` itself; None if the set has none."""
    size: tuple[int | None, int | None] = (None, None)
    """(H, W) for which `draw` paints; None: of the shown picture."""
    listed: bool = False
    """Whether the picture is in the set only if a list of a part names it."""


@dataclass(frozen=True, eq=False)
class Painted:
    """What is painted on a picture, only when the label map or the objects are read."""

    draw: Draw
    one: Labelled

    def label_map(self) -> np.ndarray:
        """The label map (H, W) uint8. Raises UserError."""
        return _painted(self).label_map()

    def objects(self) -> Objects:
        """The visible shapes as objects. Raises UserError."""
        return _painted(self).visible()

    def lost(self) -> tuple[int, int]:
        """The number of shapes with a class, but without a visible pixel, and the number of pixels that are only in
        boxes. Raises UserError."""
        painted = _painted(self)
        pairs = zip(painted.areas, painted.class_ids, strict=True)
        return sum(not area for area, i in pairs if 0 < i < IGNORE), painted.areas[BOXES - 1]


@lru_cache(maxsize=1)  # only the last picture's shapes: those of a set may be larger than memory
def _painted(painted: Painted) -> Objects:
    """The shapes of a picture. The label map and the objects of a sample are often read one after the other."""
    image, (height, width) = cast(Path, painted.one.image), painted.one.size
    if height is None or width is None:
        shown = shown_size(image)
        height, width = height or shown[0], width or shown[1]
    check_frame(image, (height, width), painted.one.where)  # before an array of that size is made
    return painted.draw((height, width))


def paint(
    frame: tuple[int, int], shapes: Callable[[], Sequence[Shape]], ids: Mapping[str, int], boxes: bool = False
) -> Objects:
    """Paints shapes: boxes, and over them masks. frame: (H, W). shapes: reads them. ids: label → id. boxes: whether
    boxes are masks. Raises UserError."""
    canvas, masks = Canvas(frame), list[Shape]()
    for shape in shapes():
        if shape.role == "mask" or (boxes and shape.role == "box"):
            masks.append(shape)
        elif shape.fill:
            shape.fill(canvas, BOXES if shape.role == "box" else canvas.number(IGNORE, "around"))
    for shape in sorted(masks, key=lambda shape: shape.layer):
        if shape.fill:
            shape.fill(canvas, canvas.number(class_of(shape.label, ids, shape.where), shape.group))
    return canvas.painted()


def by_object(shapes: Sequence[Shape]) -> bool:
    """Whether the masks of a picture prove that each mask is an object: two of them have the same label. Otherwise a
    mask may hold all objects of a class. shapes: the masks."""
    return len({shape.label for shape in shapes}) < len(shapes)
