"""What a set says about a picture: `Labelled`, the picture and what is drawn on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...files.label_maps import IGNORE
from ...rows.row import Row
from ..shapes.objects import Objects
from .painting import Canvas, class_of
from .pictures import check_frame, shown_size


class Shape(NamedTuple):  # made several times as fast as a frozen dataclass, and a set may have millions
    """A shape on a picture. A shape with neither `fill` nor `box` has no inside, and is left out."""

    where: str
    """The shape's name in errors."""
    kind: str
    """What the file calls it, such as "polyline", for notes."""
    label: str
    fill: Callable[[Canvas, int], None] | None = None
    """Paints the inside of a mask. Its second argument is the number to paint."""
    box: Callable[[Canvas], None] | None = None
    """Paints the box around a shape that is not a mask: the pixels that are in no mask are ignored (255)."""
    group: object = None
    """Shapes of one class and one group are one object; None for a shape without a group."""
    layer: int = 0
    """Masks of a higher layer cover others. In a layer, later masks cover earlier masks."""

    @property
    def about(self) -> str:
        """Kind and label, such as "cuboid car"."""
        return " ".join(filter(None, (self.kind, self.label)))


@dataclass(frozen=True)
class Drawing:
    """What a file draws on a picture: shapes, or anything that `draw` paints."""

    where: str
    """The picture's name in errors."""
    height: int | None = None
    width: int | None = None
    """The size for which the file draws; None: the size of the shown picture."""
    shapes: Sequence[Shape] = ()
    draw: Callable[[tuple[int, int]], Objects] | None = None
    """Paints everything, in place of `shapes`. Its argument is (H, W)."""

    def paint(self, image: Path, ids: Mapping[str, int]) -> Objects:
        """The painted shapes: boxes, and over them masks. image: the picture's file. ids: label → id. Raises
        UserError."""
        height, width = self.height, self.width
        if height is None or width is None:
            shown = shown_size(image)
            height, width = height or shown[0], width or shown[1]
        frame = height, width
        check_frame(image, frame, self.where)  # before an array of that size is made
        if self.draw is not None:
            return self.draw(frame)
        canvas = Canvas(frame)
        for shape in self.shapes:
            if shape.box is not None:
                shape.box(canvas)
        for shape in sorted(self.shapes, key=lambda shape: shape.layer):
            if shape.fill is not None:
                shape.fill(canvas, canvas.number(class_of(shape.label, ids, shape.where), shape.group))
        return canvas.painted()


@dataclass(frozen=True)
class Picture:
    """Which picture a file means, and what its sample is called.

    For example, <image name="a.jpg" subset="Train"> in a CVAT file has the names ["Train/a.jpg"], and the part and the
    top "Train". Its sample is called "a", or "Train/a" if another subset has an a.jpg, too, and its split is "train".
    """

    names: Sequence[str]
    """Names that the picture may have, for `PictureFinder.find`."""
    folders: Sequence[Path]
    """Folders where the picture may be."""
    part: str = ""
    """The part of the set in the set's own words, such as "Train", from which the split follows; "" if the set has no
    parts. Two parts may each have a picture of one name."""
    top: str = ""
    """A folder at the beginning of the picture's path that is left out of the sample's name."""
    sample: str = ""
    """The sample's name; "" if it follows from the picture's path."""
    copied: bool = False
    """Whether the file holds a copy of the picture, as labelme files do. SeeDiff does not read the copy. The picture
    must have exactly the given suffix, because an a.png beside a missing a.jpg may be its mask."""

    def below_top(self, end: str) -> str:
        """The picture's path without `top`. end: the end of its name by which it was found, such as Train/a.jpg. It
        stays if it lacks the `top` of Train/Train/a.jpg: then this Train is a folder of the picture's own."""
        if f"{self.top}/{end}" in self.names:
            return end
        return end.removeprefix(f"{self.top}/")


@dataclass(frozen=True)
class Labelled:
    """What a set says about a picture."""

    picture: Picture
    drawing: Drawing
    objects: Drawing | None = None
    """The objects, which may be `drawing` itself; None if the set has none, or if `Import.shapes_of` decides."""
    row: Row = field(default_factory=Row)
    """The sample's metadata."""
    empty: bool = False
    """Whether nothing is drawn on the picture, which becomes background."""
    reread: Callable[[], Labelled] | None = None
    """Reads all this again, if `shapes_of` has taken the shapes out of `drawing` to save memory."""


@dataclass(frozen=True, eq=False)
class Painted:
    """The drawing on a picture, which is read and painted only when the label map or the objects are read."""

    drawing: Drawing
    image: Path
    """The picture's file."""
    ids: Mapping[str, int] = field(default_factory=dict)
    """Label → id."""
    reread: Callable[[], Labelled] | None = None
    """Reads the drawing, if it is not kept in memory. It may be called in another process."""

    def label_map(self) -> np.ndarray:
        """The label map (H, W) uint8. Raises UserError."""
        return _painted(self).label_map()

    def objects(self) -> Objects:
        """The visible shapes as objects. Raises UserError."""
        return _painted(self).visible()

    def lost(self) -> int:
        """The number of shapes with a class, but without a visible pixel. Raises UserError."""
        painted = _painted(self)
        return sum(not area for area, i in zip(painted.areas, painted.class_ids, strict=True) if 0 < i < IGNORE)


@lru_cache(maxsize=1)  # only the last picture's shapes: those of a set may be larger than memory
def _painted(one: Painted) -> Objects:
    """The shapes of a picture. The label map and the objects of a sample are often read one after the other."""
    drawing = one.drawing
    if one.reread is not None:
        drawing = one.reread().drawing
    return drawing.paint(one.image, one.ids)


def by_object(shapes: Sequence[Shape]) -> bool:
    """Whether the masks of a picture prove that each mask is an object: two of them have the same label. Otherwise a
    mask may hold all objects of a class. shapes: the masks."""
    return len({shape.label for shape in shapes}) < len(shapes)
