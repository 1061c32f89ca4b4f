"""Writes Label Studio's tasks, with brush masks as scored pre-annotations, and reads its JSON export. Label maps come
back exactly.

out/  tasks.json                 one task per sample: `data.image`, and a prediction with a brush mask per class, or per
                                 object if the sample has `instances`; 255 is the label "ignore"
      label_config.xml           the labels, to paste as the project's labeling interface
      images/NAME.png or .jpg    pictures, as they are; served as local files of this folder
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

import msgspec
import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ...files.messages import show_json
from ...files.photo_files import visible
from ...files.reading import Byte, Json, Node, fit, is_there
from ...rows.row import Row, as_row
from ...version import __version__
from ..sample import Sample
from ..shapes.rle import box_runs, decode_brush, ellipse_runs, encode_brush, mask_runs, polygon_runs
from .exporting import Export, written_masks
from .labelled import Labelled, Shapes, Wanted
from .painting import Near, Shape, Side, is_box
from .set_files import IMAGE_SUFFIXES, given_or
from .source import Contents, Source

MASKS = ("brushlabels", "polygonlabels", "ellipselabels")
"""Types of results that are masks."""
BOXES = ("rectanglelabels", "rectangle")
"""Types of results that are boxes. Other results are left out."""


OWN_KEY = "seediff"
"""The key in a task's data under which SeeDiff puts the sample's name and row. Label Studio returns it unchanged."""


class Region(msgspec.Struct, frozen=True):
    """A brush mask, a polygon, an ellipse or a box. Lengths are in percent of the picture's sides."""

    rle: list[Byte] | None = None
    points: list[tuple[Near, Near]] | None = None
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


def _shapes(task: Task, where: str) -> Iterator[Shape]:
    """The shapes in a task's answer; other results as shapes without an inside. where: the task's name in errors.
    Raises UserError for a region whose parts have the wrong types, and for a mask that has not one label."""
    results = task.answer(where).result
    labelled = [result.id for result in results if result.labels and result.id is not None]
    for number, result in enumerate(results, 1):
        here = f"{where}, result {number}"
        kind = result.type
        labels = result.labels
        if result.id in labelled and not labels:  # a choice about a region repeats its outline
            continue
        if kind not in (*MASKS, *BOXES):
            if result.value:
                yield Shape(here, result.about, "")
            continue
        region = fit(result.value, Region, here)
        if kind in MASKS and not region.masked:
            raise UserError(here, "must have 'rle', 'points' or radii")
        if kind in MASKS and len(labels) != 1:
            raise UserError(here, f"must have one label, not {show_json(labels)}")
        runs = partial(_runs, result=result, region=region, where=here)
        yield Shape(here, kind, ", ".join(labels), runs, kind in BOXES or is_box(region.points or ()))


def _runs(frame: tuple[int, int], result: Result, region: Region, where: str) -> np.ndarray:
    """The run lengths of a region in a picture of the size `frame`, (H, W). where: the region's name in errors. Raises
    UserError, also if the region was drawn on a picture of another size, or on a rotated picture."""
    height, width = frame
    if result.image_rotation % 360:
        turned = f"was drawn on an image rotated by {result.image_rotation:g}°"
        raise UserError(where, turned, "undo the rotation in Label Studio")
    if result.size != frame:
        raise UserError(where, f"is of an image of {result.size}, others of {frame}; both are (height, width)")
    at = complex(region.x * width, region.y * height) / 100
    if region.rle is not None:
        try:
            return mask_runs(decode_brush(bytes(region.rle), frame), frame)
        except ValueError as error:
            raise UserError(where, f"its 'rle' is not a valid mask: {error}") from error
    if region.points is not None:
        corners = np.array(region.points, np.float64).reshape(-1, 2) / 100 * (width, height)
        return polygon_runs([corners.ravel().tolist()], frame, where)
    if region.radiusX is not None:
        radii = region.radiusX * width / 100, region.radiusY * height / 100
        return ellipse_runs(frame, at, *radii, region.rotation, where)
    right = at.real + region.width * width / 100
    bottom = at.imag + region.height * height / 100
    return box_runs(frame, at.real, at.imag, right, bottom, degrees=region.rotation, about=at)


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


TASKS = "tasks.json"
INTERFACE = "label_config.xml"
IMAGES = "images"
SERVED = "/data/local-files/?d="
"""The beginning of the address of a file that Label Studio serves from a local folder."""
TAG, IMAGE = "label", "image"
"""Names of the tags <BrushLabels> and <Image> in the labeling interface."""
UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""The prefix that Label Studio puts before the name of an uploaded file."""


def write(export: Export) -> None:
    """Writes a task per sample, with its masks as a prediction. The score of the prediction is the lowest score of its
    masks."""
    tasks = []
    for placed in export.placed(draw, names=export.labels):
        file_name = f"{IMAGES}/{placed.file_name}"
        export.put(file_name, placed.picture)
        row = placed.sample.row
        if placed.split != "train" or row.split is not None:
            row = row.replace(split=placed.split)
        maker = " ".join(one for one in (row.model, row.method) if isinstance(one, str))
        maker = maker or f"seediff {__version__}"
        prediction: Json = {"model_version": maker}
        scores = [result["score"] for result in placed.encoded if "score" in result]
        if scores:
            prediction["score"] = min(scores)
        prediction["result"] = placed.encoded
        data = {
            "image": SERVED + quote(file_name),
            OWN_KEY: {"name": placed.name, "metadata": row.to_json(), "by": maker},
        }
        tasks.append(json.dumps({"data": data, "predictions": [prediction]}, ensure_ascii=False))
    export.put(TASKS, "[\n" + ",\n".join(tasks) + "\n]\n")
    labels = [
        f"    <Label value={quoteattr(name)} background={quoteattr(colour)}/>\n" for name, colour in export.colours
    ]
    export.put(
        INTERFACE,
        f'<View>\n  <Image name="{IMAGE}" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="{TAG}" toName="{IMAGE}">\n{"".join(labels)}  </BrushLabels>\n</View>\n',
    )


def draw(sample: Sample, labels: np.ndarray, names: Mapping[int, str]) -> list[Json]:
    """The brush masks of a sample, as results of a prediction. labels: the label map (H, W). names: id → label.

    The score of a mask, in [0, 1], is its `confidence` in the row, or else its `presence`. There is none if a person
    corrected the mask, because the row's values describe the earlier mask.
    """
    row = sample.row
    scores = {} if row.review_or_empty.corrected else {**(row.presence or {}), **(row.confidence or {})}
    size = {"original_width": labels.shape[1], "original_height": labels.shape[0], "image_rotation": 0}
    results: list[Json] = []
    for class_id, inside, (left, top, right, bottom) in written_masks(sample, labels):
        pixels = np.zeros(labels.shape, bool)
        pixels[top:bottom, left:right] = inside
        name = names[class_id]
        tags = {"id": f"{OWN_KEY}-{len(results)}", "type": "brushlabels", "from_name": TAG, "to_name": IMAGE}
        value = {"format": "rle", "rle": list(encode_brush(pixels)), "brushlabels": [name]}
        result = {**tags, "origin": "prediction", **size, "value": value}
        if name in scores and class_id != IGNORE:
            result["score"] = scores[name]
        results.append(result)
    return results


class OwnData(msgspec.Struct, frozen=True):
    """What SeeDiff writes into a task under OWN_KEY."""

    name: str = ""
    metadata: Json = {}


def read(source: Source) -> Contents:
    """Reads a JSON export of Label Studio (not JSON-MIN), or a folder that SeeDiff wrote. The classes are the labels in
    the label_config.xml beside the file, or else the labels in use, sorted by name. Labels such as `ignore` and `void`
    (IGNORED) mean 255. The pictures are beside the file, or in images/. Raises UserError.

    One annotation of each task counts: the ground truth, or else the last change that was not skipped. If any task has
    an annotation, tasks without an annotation are left out. Otherwise only tasks that SeeDiff wrote and nobody skipped
    are read, with SeeDiff's masks as they are. Predictions of other models are not read.

    A task has one picture. Brush masks, polygons and ellipses are painted in their order, over boxes. Pixels that are
    only in a box are ignored (255). Other regions are left out.
    """
    files = [*visible(source.folder, "*.json")]
    file = files[0] if len(files) == 1 and source.path.is_dir() else source.file(TASKS)
    source.not_read(files, [file])
    tasks = source.files.json(file, list[Task])
    interface = file.parent / INTERFACE
    named = [(f"{file}: task {number}", task) for number, task in enumerate(tasks, 1)]
    used = [(where, task) for where, task in named if task.done]
    if not used:
        used = [(where, task) for where, task in named if task.is_own]
        source.count(len(used), "task without an annotation: the masks that SeeDiff wrote as predictions are read")
    if tasks and not used:
        problem = "no task has an annotation that was not skipped"
        raise UserError(file, problem, "predictions of models are not read: accept them in Label Studio first")
    left_out = len(tasks) - len(used)
    source.count(left_out, f"of {len(tasks)} tasks without an annotation, or skipped: left out")
    more = sum(len(task.done[1:]) for _, task in used)
    if more:
        source.note(f"second annotations of a task, left out: {more} (a ground truth counts, or else the last change)")
    listing: object = "--classes"
    classes = source.classes
    if classes is None and is_there(interface):
        classes = mask_labels(source.files.xml(interface, "View"))
        listing = interface
    elif classes is None:
        listing = file
    folders = given_or(source.images, file.parent, file.parent / IMAGES)
    return source.shapes_of([_labelled(task, where, folders) for where, task in used], classes, listing)


def _labelled(task: Task, where: str, folders: Sequence[Path]) -> Labelled[Shapes]:
    """What a task says about its picture. where: the task's name in errors. folders: where the picture may be. Raises
    UserError."""
    own = OwnData()
    row = Row()
    if isinstance(task.data.get(OWN_KEY), Mapping):
        own = fit(task.data[OWN_KEY], OwnData, f"{where}: data.{OWN_KEY}")
        row = as_row(own.metadata, f"{where}: metadata in its data.{OWN_KEY}")
    results = task.answer(where).result
    size = next((result.size for result in results if result.original_width), (None, None))
    path = _path(_address(task.data, where))
    names = [path, UPLOADED.sub("", path.rpartition("/")[2])]
    shapes = Shapes(partial(_shapes, task, where), size)
    return Labelled(where, Wanted(names, folders, top=IMAGES), shapes, sample=own.name, row=row)


def _address(data: Mapping[str, Any], where: str) -> str:
    """The address of a task's picture: the only value of its data that is one. where: the task's name in errors. Raises
    UserError if there are none, or several."""
    found = list[str]()
    for key, value in data.items():
        pages = value if isinstance(value, list) else [value]
        for text in chain(*([*page.values()] if isinstance(page, Mapping) else [page] for page in pages)):
            if not isinstance(text, str) or key == OWN_KEY:
                continue
            if key == IMAGE or _path(text).lower().endswith(IMAGE_SUFFIXES):
                found.append(text)
    if len(found) != 1:
        raise UserError(where, f"'data' must have the path of one image, such as 'image', not of {len(found)}")
    return found[0]


def _path(address: str) -> str:
    """The path in a picture's address: `a b.jpg` for `/data/local-files/?d=a%20b.jpg`."""
    return unquote(address.partition("?d=")[2] or address.partition("?")[0])
