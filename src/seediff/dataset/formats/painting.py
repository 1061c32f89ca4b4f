"""What a set says about a picture, `Labelled`, and its shapes: painted one over the other when a codec reads them, and
cut out as masks when it writes them."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple, cast

import msgspec
import numpy as np
from PIL import Image

from ...errors import UserError
from ...files.label_maps import IGNORE
from ...files.messages import show_json
from ...files.reading import composed
from ...rows.row import Row
from ..encoding import ReadLabels
from ..sample import Sample
from ..shapes.objects import Objects, whole_classes
from ..shapes.rle import polygon_runs
from .set_files import check_frame, shown_size


class Shape(NamedTuple):  # made several times as fast as a frozen dataclass, and a set may have millions
    """A shape on a picture."""

    where: str
    """The shape's name in errors."""
    kind: str
    """What the file calls it, such as "polyline", for notes."""
    label: str
    fill: Callable[[Canvas, int], None] | None = None
    """Paints the inside. Its second argument is the number to paint. None: the shape has no inside, and is left out."""
    is_box: bool = False
    """Whether the shape says no more of an object than where it is. Pixels in boxes alone are ignored (255)."""
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
    draw: Draw | None = None
    objects: Draw | None = None
    """Paints the objects, which may be `draw` itself; None if the set has none."""
    size: tuple[int | None, int | None] = (None, None)
    """(H, W) for which `draw` paints; None: of the shown picture."""
    listed: bool = False
    """Whether the picture is in the set only if a list of a part names it."""

    @classmethod
    def by_file(cls, part: str | None, name: str, image: Path | None, labels: Path, listed: bool = False) -> Labelled:
        """A picture with a file that labels it alone. name: the picture's path in its folder, without suffix. The other
        arguments are fields."""
        name += (image or labels).suffix
        return cls(str(labels), image=image, name=name, part=part, listed=listed, labels=labels)

    def label_map(self) -> np.ndarray:
        """The label map (H, W) uint8, painted when it is read. Raises UserError."""
        if self.read:
            return self.read()
        return _painted(self, self.draw).label_map()

    def visible(self) -> Objects:
        """The objects, painted when they are read: the visible shapes. Raises UserError."""
        return _painted(self, self.objects).visible()

    def lost(self) -> tuple[int, int]:
        """The number of shapes with a class, but without a visible pixel, and the number of pixels that are only in
        boxes. Raises UserError."""
        if self.read:
            return 0, 0
        painted = _painted(self, self.draw)
        pairs = zip(painted.areas, painted.class_ids, strict=True)
        return sum(not area for area, i in pairs if 0 < i < IGNORE), painted.areas[BOXES - 1]


@lru_cache(maxsize=1)  # only the last picture's shapes: those of a set may be larger than memory
def _painted(one: Labelled, draw: Draw | None) -> Objects:
    """The shapes of a picture. The label map and the objects of a sample are often read one after the other."""
    image, (height, width) = cast(Path, one.image), one.size
    if height is None or width is None:
        shown = shown_size(image)
        height, width = height or shown[0], width or shown[1]
    check_frame(image, (height, width), one.where)  # before an array of that size is made
    return cast(Draw, draw)((height, width))


def paint(
    frame: tuple[int, int], shapes: Callable[[], Sequence[Shape]], ids: Mapping[str, int], boxes: bool = False
) -> Objects:
    """Paints shapes: boxes, and over them masks. frame: (H, W). shapes: reads them. ids: label → id, from
    `number_labels`; labels that mean 0 or 255 may be in any case. boxes: whether boxes are masks. Raises UserError,
    also for a label that is not a class."""
    canvas, masks = Canvas(frame), list[Shape]()
    for shape in shapes():
        if boxes or not shape.is_box:
            masks.append(shape)
        elif shape.fill:
            shape.fill(canvas, BOXES)
    for shape in sorted(masks, key=lambda shape: shape.layer):
        if not shape.fill:
            continue
        name = composed(shape.label.strip())
        class_id = ids.get(name, ids.get(name.casefold()))
        if class_id is None:
            classes = ", ".join(name for name, i in ids.items() if 0 < i < IGNORE)
            problem = f"has the label {show_json(shape.label)}, which is not a class; they are {classes}"
            raise UserError(shape.where, problem)
        shape.fill(canvas, canvas.number(class_id, shape.group))
    return canvas.painted()


def fill_around(canvas: Canvas, number: int, corners: Sequence[tuple[float, float]]) -> None:
    """Paints the box around a shape whose inside is not known. number: the value to paint. corners: points (x, y)."""
    across, down = zip(*corners, strict=True)
    canvas.box(number, min(across), min(down), max(across), max(down))


def by_object(shapes: Sequence[Shape]) -> bool:
    """Whether the masks of a picture prove that each mask is an object: two of them have the same label. Otherwise a
    mask may hold all objects of a class. shapes: the masks."""
    return len({shape.label for shape in shapes}) < len(shapes)


Side = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
"""A picture's width or height."""
Near = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
"""A coordinate in pixels. pycocotools kills the process for a polygon with much larger coordinates."""


BOXES = 1
"""The number with which boxes are painted, as 255."""


def is_box(corners: Sequence[tuple[float, float]]) -> bool:
    """Whether a polygon is a box: four corners (x, y), perhaps with the first one again at the end, and sides parallel
    to the axes."""
    points = np.array(corners[:-1] if len(corners) == 5 and corners[0] == corners[4] else corners)
    if len(points) != 4:
        return False
    low, high = points.min(0), points.max(0)
    at_low, at_high = (np.abs(points - side) <= 0.001 * (high - low).max() for side in (low, high))
    return bool((at_low | at_high).all() and len(np.unique(at_high, axis=0)) == 4)


class Canvas:
    """The pixels on which shapes are painted. Later shapes cover earlier shapes. The first shape, which may be without
    a pixel, is that of all boxes. shape: (H, W) of the picture."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._pixels: np.ndarray | Image.Image = np.zeros(shape, np.int32, order="F")
        self.class_ids, self.groups = [IGNORE], dict[tuple[int, object], int]()

    @property
    def numbers(self) -> np.ndarray:
        """(H, W): the number of the visible shape at each pixel, from 1; 0 where there is no shape."""
        if isinstance(self._pixels, Image.Image):
            self._pixels = np.array(self._pixels, order="F")
        return self._pixels

    @property
    def image(self) -> Image.Image:
        """`numbers` as a Pillow image, to draw on."""
        if not isinstance(self._pixels, Image.Image):
            self._pixels = Image.fromarray(np.ascontiguousarray(self._pixels))
        return self._pixels

    def number(self, class_id: int, group: object = None) -> int:
        """The number with which to paint a shape. Shapes of one class and one group get the same number, because they
        are one object. group: None stands for a shape without a group."""
        if group is not None and (class_id, group) in self.groups:
            return self.groups[class_id, group]
        self.class_ids.append(class_id)
        self.groups[class_id, group] = len(self.class_ids)
        return len(self.class_ids)

    def runs(self, runs: np.ndarray, number: int) -> None:
        """Paints a mask. runs: its run lengths: pixels outside, inside, outside, …, column by column. number: the value
        to paint."""
        flat, ends = self.numbers.reshape(-1, order="F"), np.cumsum(runs).tolist()
        for begin, end in zip(ends[:-1:2], ends[1::2], strict=False):
            flat[begin:end] = number

    def box(self, number: int, *sides: float, degrees: float = 0, about: complex | None = None) -> None:
        """Paints a box. number: the value to paint. The other arguments are those of `box_runs`."""
        self.runs(box_runs(self.numbers.shape, *sides, degrees=degrees, about=about), number)

    def ellipse(self, centre: complex, across: float, down: float, degrees: float, number: int, where: str) -> None:
        """Paints an ellipse. centre: the point x + yi. across, down: the radii before the turn. degrees: the clockwise
        turn. number: the value to paint. where: the shape's name in errors. Raises UserError."""
        turns = np.linspace(0, 2 * np.pi, 360, endpoint=False)
        outline = (across * np.cos(turns) + down * 1j * np.sin(turns)) * cmath.rect(1, math.radians(degrees)) + centre
        self.runs(polygon_runs([outline.view(np.float64).tolist()], self.numbers.shape, where), number)

    def painted(self) -> Objects:
        """The canvas as objects: each visible shape is an object."""
        return Objects(np.ascontiguousarray(self._pixels, np.int32), tuple(self.class_ids))


def box_runs(
    shape: tuple[int, ...],
    left: float,
    top: float,
    right: float,
    bottom: float,
    *,
    degrees: float = 0,
    about: complex | None = None,
) -> np.ndarray:
    """(N,): the run lengths of the pixels that a box touches, or of the inside of a turned box. shape: (H, W) of the
    picture. left, top, right, bottom: in pixels. degrees: how far the box is turned clockwise. about: the point x + yi
    about which it is turned; None: its centre."""
    if degrees % 360 == 0:
        left, top, right, bottom = math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
    if about is None:
        about = complex(left + right, top + bottom) / 2
    corners = np.array([left + top * 1j, right + top * 1j, right + bottom * 1j, left + bottom * 1j])
    turned = (about + (corners - about) * cmath.rect(1, math.radians(degrees))).round(6)
    return polygon_runs([turned.view(np.float64).tolist()], shape, "a box")


class Mask(NamedTuple):
    """A mask to write."""

    class_id: int
    inside: np.ndarray
    """(bottom − top, right − left) bool: the mask's pixels in its box."""
    box: tuple[int, int, int, int]
    """Left, top, right and bottom in the picture. The last two are exclusive."""


def objects_of(sample: Sample, labels: np.ndarray) -> list[Objects]:
    """The shapes to write for a sample, in one or two groups that together cover its label map. labels: the label map
    (H, W). If the sample has objects, these come first, then the classes at the other pixels. Otherwise each class, 255
    included, is one shape."""
    if not sample.has_objects:
        return [whole_classes(labels)]
    found = sample.objects(labels)
    return [found, whole_classes(found.rest(labels))]


def masks_of(sample: Sample, labels: np.ndarray) -> Iterator[Mask]:
    """A mask for each shape of `objects_of`. The arguments are the same."""
    for found in objects_of(sample, labels):
        for number, (class_id, box) in enumerate(zip(found.class_ids, found.boxes_xyxy, strict=True), 1):
            left, top, right, bottom = box
            yield Mask(class_id, found.numbers[top:bottom, left:right] == number, box)
