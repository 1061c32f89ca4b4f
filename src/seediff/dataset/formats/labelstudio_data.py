"""What Label Studio's files say: tasks and their answers, the regions of an answer, and the labeling interface. Paints
the regions, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ...errors import UserError
from ...files.messages import show_json
from ...files.reading import Byte, Json, Node, fit
from ..shapes.rle import decode_brush, polygon_runs
from .labelled import Shape, box_or_mask
from .painting import Canvas, Near, Side, is_box

MASKS = ("brushlabels", "polygonlabels", "ellipselabels")
"""Types of results that are masks."""
BOXES = ("rectanglelabels", "rectangle")
"""Types of results that are boxes. Any other region becomes the box around it."""


OWN_KEY = "seediff"
"""The key in a task's data under which SeeDiff puts the sample's name and row. Label Studio returns it unchanged."""


class Vertex(msgspec.Struct, frozen=True):
    """A corner, in percent of the picture's sides."""

    x: Near
    y: Near


class Region(msgspec.Struct, frozen=True):
    """A brush mask, a polygon, an ellipse or a box. Lengths are in percent of the picture's sides."""

    rle: list[Byte] | None = None
    points: list[tuple[Near, Near]] | None = None
    vertices: list[Vertex] = []
    """The corners of a region drawn with the vector tool, which is not read as a mask."""
    closed: bool | None = None
    x: Near = 0
    y: Near = 0
    width: Near = 0
    height: Near = 0
    radiusX: Near | None = None
    radiusY: Near = 0
    rotation: Near = 0
    """The clockwise turn of the region in degrees, about (x, y): the centre of an ellipse, or a corner of a box."""

    @property
    def masked(self) -> bool:
        """Whether the region is a mask, polygon or ellipse, not a box."""
        return self.rle is not None or self.points is not None or self.radiusX is not None

    @property
    def corners(self) -> list[tuple[float, float]]:
        """The corners of a polygon or of a closed region of another kind; [] if it has none."""
        return self.points or [(corner.x, corner.y) for corner in self.vertices if self.closed]

    @property
    def has_area(self) -> bool:
        """Whether the region covers pixels; a keypoint and a line of two points do not."""
        return self.masked or len(self.corners) > 2 or (self.width > 0 and self.height > 0)

    def pixels(self, shape: tuple[int, int]) -> tuple[complex, float, float]:
        """(point, across, down) in pixels: the centre x + yi and the radii of an ellipse, or the corner, width and
        height of a box. shape: (H, W) of the picture."""
        height, width = shape[0] / 100, shape[1] / 100
        across, down = self.width, self.height
        if self.radiusX is not None:
            across, down = self.radiusX, self.radiusY
        return complex(self.x * width, self.y * height), across * width, down * height


class Result(msgspec.Struct, frozen=True):
    """A part of an answer: a region, a choice or a relation."""

    type: str = ""
    id: str | int | None = None
    value: Json = {}
    """The region. Its labels or choices are a list; its key is the value of `type`, such as "brushlabels"."""
    original_width: Side = 0
    original_height: Side = 0
    image_rotation: float = 0

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture."""
        return self.original_height, self.original_width

    @property
    def labels(self) -> list[str]:
        """The region's labels; [] for a result without labels."""
        named = self.value.get(self.type)
        if not self.type.endswith("labels") or not isinstance(named, list):
            return []
        return [name for name in named if isinstance(name, str)]

    @property
    def about(self) -> str:
        """The type and the labels or choices, such as `choices ["day"]`, for notes."""
        named = self.value.get(self.type)
        return f"{self.type} {show_json(named)}" if isinstance(named, list) else self.type


class TaskAnswer(msgspec.Struct, frozen=True):
    """An annotation by a person, or a prediction by a model."""

    result: list[Result] = []
    was_cancelled: bool | None = None
    ground_truth: bool | None = None
    updated_at: str | None = None

    def rank(self) -> tuple[bool, str]:
        """The sorting key of annotations: a ground truth is higher than others, then a later change is higher."""
        return bool(self.ground_truth), (self.updated_at or "").removesuffix("Z")  # so that 00Z < 00.5Z


class Task(msgspec.Struct, frozen=True):
    """A task: pictures, and answers by people and models."""

    data: Json
    annotations: list[TaskAnswer] = []
    completions: list[TaskAnswer] = []
    """The annotations in exports from before version 1.0."""
    predictions: list[Any] = []
    """The predictions; in some exports only their ids."""

    @property
    def done(self) -> list[TaskAnswer]:
        """The annotations that were not skipped."""
        return [answer for answer in (*self.annotations, *self.completions) if not answer.was_cancelled]

    @property
    def is_own(self) -> bool:
        """Whether nobody has annotated the task, and its only prediction has the masks of an export."""
        own = self.data.get(OWN_KEY)
        makers = [value.get("model_version") if isinstance(value, dict) else None for value in self.predictions]
        return isinstance(own, dict) and makers == [own.get("by")] and not (self.annotations or self.completions)

    def answer(self, where: str) -> TaskAnswer:
        """The annotation with the highest `rank`, or else the only prediction. where: the task's name in errors. Raises
        UserError."""
        if self.done:
            return max(reversed(self.done), key=TaskAnswer.rank)
        return fit(self.predictions[0], TaskAnswer, f"{where}: its prediction")


class Drawn(NamedTuple):
    """A region on a picture."""

    where: str
    """The region's name in errors."""
    result: Result
    region: Region

    def shape(self) -> Shape:
        """The region as a shape. Raises UserError for a mask that has not one label."""
        kind, labels = self.result.type, self.result.labels
        if kind not in (*MASKS, *BOXES):
            return Shape(self.where, self.result.about, "", self._fill_box, "around")
        if kind in BOXES:
            return Shape(self.where, kind, ", ".join(labels), self._fill_box, "box")
        if len(labels) != 1:
            raise UserError(self.where, f"must have one label, not {show_json(labels)}")
        return Shape(self.where, kind, labels[0], self._fill, box_or_mask(is_box(self.region.corners)))

    def _frame(self, canvas: Canvas) -> tuple[int, int]:
        """(H, W) of the picture. Raises UserError if the region was drawn on a picture of another size, or on a rotated
        picture."""
        height, width = canvas.numbers.shape
        if self.result.image_rotation % 360:
            turned = f"was drawn on a picture rotated by {self.result.image_rotation:g}°"
            raise UserError(self.where, turned, "undo the rotation in Label Studio")
        if self.result.size != (height, width):
            problem = f"is of a picture of {self.result.size}, others of {(height, width)}; both are (height, width)"
            raise UserError(self.where, problem)
        return height, width

    def _fill_box(self, canvas: Canvas, number: int) -> None:
        """Paints a box, or the box around another region. number: the value to paint."""
        region, shape = self.region, self._frame(canvas)
        at, across, down = region.pixels(shape)
        if region.corners:
            canvas.box_around(number, (np.array(region.corners, np.float64) / 100 * shape[::-1]).tolist())
        elif region.radiusX is not None:
            canvas.box(number, at.real - across, at.imag - down, at.real + across, at.imag + down, region.rotation)
        elif region.rle is not None:
            down, across = np.nonzero(self._brush(shape))
            canvas.box_around(number, [*zip((across + 0.5).tolist(), (down + 0.5).tolist(), strict=True)])
        else:
            canvas.box(number, at.real, at.imag, at.real + across, at.imag + down, region.rotation, at)

    def _fill(self, canvas: Canvas, number: int) -> None:
        """Paints a mask, polygon or ellipse. number: the value to paint. Raises UserError."""
        region, shape = self.region, self._frame(canvas)
        if region.rle is not None:
            canvas.numbers[self._brush(shape)] = number
        elif region.points is None:
            at, across, down = region.pixels(shape)
            canvas.ellipse(at, across, down, region.rotation, number, self.where)
        else:
            corners = np.array(region.points, np.float64).reshape(-1, 2) / 100 * shape[::-1]
            canvas.runs(polygon_runs([corners.ravel().tolist()], shape, self.where), number)

    def _brush(self, shape: tuple[int, int]) -> np.ndarray:
        """(H, W) bool: the pixels of a brush mask. Raises UserError."""
        try:
            return decode_brush(bytes(self.region.rle or []), shape)
        except ValueError as error:
            raise UserError(self.where, f"its 'rle' is not a valid mask: {error}") from error


def find_regions(answer: TaskAnswer, where: str) -> tuple[list[Drawn], list[str]]:
    """(regions, others): the regions of an answer that have an area, and `about` of each other result. where: the
    task's name in errors. Raises UserError for a mask whose parts have the wrong types."""
    regions: list[Drawn] = []
    others: list[str] = []
    labelled = [result.id for result in answer.result if result.labels and result.id is not None]
    for number, result in enumerate(answer.result, 1):
        if result.id in labelled and not result.labels:  # a choice about a region repeats its outline
            continue
        here = f"{where}, result {number}"
        region: Region | None = None
        with suppress(UserError) if result.type not in (*MASKS, *BOXES) else nullcontext():  # a choice may be anything
            region = fit(result.value, Region, here)
        if result.type in MASKS and not (region and region.masked):
            raise UserError(here, "must have 'rle', 'points' or radii")
        if region and region.has_area:
            regions.append(Drawn(here, result, region))
        elif result.value:
            others.append(result.about)
    return regions, others


def _nodes(root: Node) -> Iterator[Node]:
    """A tag and all tags below it, in the order of the file."""
    yield root
    for child in root.children:
        yield from _nodes(child)


def mask_labels(root: Node) -> list[str]:
    """The labels that masks can have, in their order. root: the labeling interface."""
    tags = ("BrushLabels", "PolygonLabels", "EllipseLabels")
    values = [label.get("value") for node in _nodes(root) if node.tag in tags for label in node.all("Label")]
    return list(dict.fromkeys(values))
