"""What a set says about a picture, `Labelled`, and the sample that becomes of it once its file is found.

The labels of a picture are a label map, which is read (`Pair` is a picture with such a file), or `Shapes`, which are
painted. Both are turned back if the picture has an EXIF orientation: pictures and label maps of a dataset are as the
picture is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from ...errors import UserError
from ...files.image_files import check_pixels, named, orientation_of, turned_back
from ...files.label_maps import IGNORE
from ...rows.row import Row
from ..encoding import ReadLabels
from ..sample import Sample, image_size
from ..shapes.objects import Objects
from .painting import BOXES, Painting, ReadShapes
from .set_files import Picture


class Wanted(NamedTuple):
    """A picture that a set names, and whose file has to be found.

    For example, <image name="a.jpg" subset="Train"> in a CVAT file has the name "Train/a.jpg" and the top "Train". Its
    sample is called "a", or "Train/a" if another subset has an a.jpg, too.
    """

    names: Sequence[str]
    """Names that the picture may have, for `PictureFinder.find`."""
    folders: Sequence[Path]
    """Folders where the picture may be."""
    top: str = ""
    """A folder at the beginning of the picture's path that is left out of the sample's name."""
    inside: Callable[[], bytes] = bytes
    """Reads the picture's file from the set's own file, which may hold it for the case that it is missing; b"" if it
    does not."""

    @property
    def name(self) -> str:
        """The first of its names, for notes and errors."""
        return self.names[0]


class Shapes(NamedTuple):
    """The shapes of which a label map is painted."""

    read: ReadShapes
    size: tuple[int | None, int | None] = (None, None)
    """(H, W) of the picture in the set; None: of the shown picture."""
    objects: ReadShapes | None = None
    """Reads the shapes that are objects, if they are known to be others than those of the label map."""


Labels = TypeVar("Labels", bound=Shapes | ReadLabels)


@dataclass(frozen=True, eq=False)
class Labelled(Generic[Labels]):
    """What a set says about a picture."""

    where: str
    """The picture's name in errors."""
    picture: Picture | Wanted
    labels: Labels
    part: str | None = ""
    """The part of the set in the set's own words, such as "Train", from which the split follows; "" if the set has no
    parts; None: the first folder of the name may be one. Two parts may each have a picture of one name."""
    sample: str = ""
    """The sample's name; "" if it follows from the picture's path."""
    row: Row = field(default_factory=Row)
    """The sample's metadata."""
    needs_list: bool = False
    """Whether the picture is in the set only if a list of a part names it."""


class Pair(NamedTuple):
    """A picture with a file that labels it alone."""

    part: str | None
    """As in `Labelled`."""
    name: str
    """The picture's path in its folder, without suffix."""
    image: Path | None
    """The picture's file; None if only label maps are compared."""
    file: Path
    """The file that labels it."""
    needs_list: bool = False
    """As in `Labelled`."""

    def labelled(self, labels: Labels) -> Labelled[Labels]:
        """What the set says about the picture. labels: how its file is read."""
        picture = Picture(self.image, self.name + (self.image or self.file).suffix)
        return Labelled(str(self.file), picture, labels, self.part, needs_list=self.needs_list)


class Turn(NamedTuple):
    """How a picture is turned when it is shown."""

    image: Path | bytes
    orientation: int
    """The EXIF orientation, from 1 (not turned) to 8."""
    shown: bool
    """Whether the format's tools draw on the turned picture."""

    def read(self, labels: ReadLabels) -> np.ndarray:
        """The label map (H, W) uint8, turned back. labels: reads it. Raises UserError."""
        return self.back(labels())

    def back(self, labels: np.ndarray) -> np.ndarray:
        """Labels (H, W), turned to fit the picture as it is stored. Raises UserError."""
        turns, _ = self.counts(labels.shape)
        if turns:
            return turned_back(labels, self.orientation)
        return labels

    def lost(self, labels: ReadLabels) -> tuple[int, ...]:
        """What is counted of a label map. labels: reads it, which only a turned picture needs. Raises UserError."""
        if self.orientation == 1:
            return ()
        return 0, 0, *self.counts(labels().shape)

    def counts(self, drawn: tuple[int, ...]) -> tuple[int, int]:
        """(turned, stored): (1, 0) if labels have to be turned back, (0, 1) if labels of a turned picture fit it as it
        is stored, and (0, 0) for a picture that is not turned. drawn: (H, W) of the labels.

        Their size says whether they were drawn on the stored or on the turned picture. If both have one size, as after
        half a turn, or for a square, they were drawn on the turned picture if `shown`. Otherwise this raises UserError.
        """
        if not 2 <= self.orientation <= 8:
            return 0, 0
        size = turned = image_size(self.image)
        if self.orientation >= 5:
            turned = size[::-1]
        if drawn != turned:
            return 0, 1  # a wrong size is refused later
        if size == turned and not self.shown:
            unclear = "and it is unclear whether its labels are rotated too"
            problem = f"has the EXIF orientation {self.orientation}, {unclear}"
            raise UserError(named(self.image), problem, "save the image without an orientation")
        return 1, 0


@dataclass(frozen=True, eq=False)
class Painted:
    """The labels of a picture that are painted when they are read."""

    said: Labelled[Shapes]
    turn: Turn
    """Of the picture that was found."""
    painting: Painting

    def label_map(self) -> np.ndarray:
        """The label map (H, W) uint8. Raises UserError."""
        return self.turn.back(_paint(self, self.said.labels.read).label_map())

    def objects(self, read: ReadShapes) -> Objects:
        """The objects: the visible shapes. read: reads the shapes that are objects. Raises UserError."""
        visible = _paint(self, read).visible()
        return replace(visible, numbers=self.turn.back(visible.numbers))

    def lost(self) -> tuple[int, ...]:
        """What is counted: shapes with a class, but without a visible pixel, pixels that are only in boxes, and turned
        pictures. Raises UserError."""
        painted = _paint(self, self.said.labels.read)
        pairs = zip(painted.areas, painted.class_ids, strict=True)
        unseen = sum(not area for area, i in pairs if 0 < i < IGNORE)
        return unseen, painted.areas[BOXES - 1], *self.turn.counts(painted.numbers.shape)

    def sample(self, row: Row, name: str) -> Sample:
        """The sample, whose labels and objects are read when they are looked at."""
        shapes = self.said.labels
        read = shapes.read if self.painting.are_objects else shapes.objects
        objects = partial(self.objects, read) if read else None
        return Sample(self.turn.image, self.label_map, objects, row, name=name, lost=self.lost)


@lru_cache(maxsize=1)  # only the last picture's shapes: those of a set may be larger than memory
def _paint(one: Painted, read: ReadShapes) -> Objects:
    """The painted shapes of a picture. The label map and the objects of a sample are often read one after the other."""
    frame = _frame(one.said, one.turn.image)  # before an array of that size is made
    return one.painting.paint(frame, read())


def _frame(said: Labelled[Shapes], image: Path | bytes) -> tuple[int, int]:
    """(H, W) of the labels of a picture: that of the picture as it is stored, or as its EXIF orientation turns it.
    image: the picture. Raises UserError for another size in the set."""
    size = said.labels.size
    frame = stored = image_size(image)
    if size != stored:
        shown = stored
        if 5 <= orientation_of(image) <= 8:
            shown = stored[1], stored[0]
        frame = (size[0] or shown[0], size[1] or shown[1])
        if frame not in (stored, shown):
            problem = f"is {frame}, but its image {named(image)} is {stored}; both are (height, width)"
            raise UserError(said.where, problem)
    check_pixels((frame[1], frame[0]), said.where)
    return frame
