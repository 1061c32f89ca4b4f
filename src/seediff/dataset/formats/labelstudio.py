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

from ... import __version__
from ...errors import UserError
from ...files.documents import Byte, Json, Node, fit, read_xml
from ...files.label_maps import IGNORE, visible
from ...files.messages import show_json
from ..class_lists import number_labels
from ..encoding import Instances
from ..rows import check_row
from ..sample import Sample
from ..shapes.rle import decode_brush, encode_brush, polygon_runs
from .drivers import Export, Import, PictureRecord
from .format_table import Candidate, Contents, read_known
from .label_files import (
    IMAGE_SUFFIXES,
    Near,
    Shapes,
    Side,
    by_object,
    check_frame,
    class_of,
    given_or,
    label_names,
    masks_of,
    named_colours,
    shown_size,
)

TASKS, INTERFACE, IMAGES = "tasks.json", "label_config.xml", "images"
OWN_KEY = "seediff"
"""The key in a task's data for the sample's name and row, which Label Studio returns."""
SERVED = "/data/local-files/?d="
TAG, IMAGE = "label", "image"
UPLOADED = re.compile(r"[0-9a-f]{8}-")
"""The prefix that Label Studio adds to the name of an uploaded file."""


def write(export: Export) -> None:
    """Label Studio's tasks, with the masks as predictions. A prediction's score is the lowest score of its classes. A
    class's score is its `confidence` in the metadata, or else its `presence`."""
    tasks = []
    for placed in export.placed(draw, names=label_names(export.classes)):
        file_name = f"{IMAGES}/{placed.file_name}"
        export.put(file_name, placed.picture)
        row = dict(placed.sample.metadata)
        if placed.split != "train" or "split" in row:
            row["split"] = placed.split
        maker = " ".join(str(row[key]) for key in ("model", "method") if isinstance(row.get(key), str))
        prediction: Json = {"model_version": maker or f"seediff {__version__}"}
        scores = [result["score"] for result in placed.encoded if "score" in result]
        if scores:
            prediction["score"] = min(scores)
        prediction["result"] = placed.encoded
        data = {"image": SERVED + quote(file_name), OWN_KEY: {"name": placed.name, "metadata": row}}
        tasks.append(json.dumps({"data": data, "predictions": [prediction]}, ensure_ascii=False))
    export.put(TASKS, "[\n" + ",\n".join(tasks) + "\n]\n")
    labels = [
        f"    <Label value={quoteattr(name)} background={quoteattr(colour)}/>\n"
        for name, colour in named_colours(export.classes)
    ]
    export.put(
        INTERFACE,
        f'<View>\n  <Image name="{IMAGE}" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="{TAG}" toName="{IMAGE}">\n{"".join(labels)}  </BrushLabels>\n</View>\n',
    )


def draw(sample: Sample, labels: np.ndarray, names: Mapping[int, str]) -> list[Json]:
    """The results of a prediction: a brush mask for each object of a sample with `instances`, then for each class in
    the rest of its label map."""
    size = {"original_width": labels.shape[1], "original_height": labels.shape[0], "image_rotation": 0}
    results, masks = [], []
    *objects, rest = masks_of(sample, labels, sample.stored_instances is not None)
    for found in objects:
        masks = [(f"object-{i}", class_id, found.index == i) for i, class_id in enumerate(found.class_ids)]
    masks += [(f"{class_id}", class_id, rest.index == i) for i, class_id in enumerate(rest.class_ids)]
    for key, number, inside in masks:
        tags = {"id": f"{OWN_KEY}-{key}", "type": "brushlabels", "from_name": TAG, "to_name": IMAGE}
        value = {"format": "rle", "rle": list(encode_brush(inside)), "brushlabels": [names[number]]}
        result = {**tags, "origin": "prediction", **size, "value": value}
        score = _score(sample, names[number])
        if score is not None and number != IGNORE:
            result["score"] = score
        results.append(result)
    return results


def _score(sample: Sample, name: str) -> float | None:
    """The `confidence` of a class, or else its `presence`; None without both, and for a mask that a person corrected,
    which they do not describe."""
    scores = {**(sample.row.presence or {}), **sample.row.confidence}
    if sample.row.review.corrected or name not in scores:
        return None
    return float(np.clip(scores[name], 0, 1))


class Own(msgspec.Struct, frozen=True):
    """What SeeDiff adds to a task: the sample's name, and its row."""

    name: str = ""
    metadata: Json = {}


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
    """Degrees clockwise about (x, y), which is an ellipse's centre or a box's corner."""

    @property
    def masked(self) -> bool:
        """Whether the region is not a box."""
        return self.rle is not None or self.points is not None or self.radiusX is not None

    def pixels(self, shape: tuple[int, int]) -> tuple[complex, float, float]:
        """(point, across, down) in pixels of a picture of `shape` (H, W): an ellipse's centre x + yi and radii, or a
        box's corner, width and height."""
        height, width = shape[0] / 100, shape[1] / 100
        across, down = self.width, self.height
        if self.radiusX is not None:
            across, down = self.radiusX, self.radiusY
        return complex(self.x * width, self.y * height), across * width, down * height


class Result(msgspec.Struct, frozen=True):
    """A region, choice or relation."""

    type: str = ""
    id: str | int | None = None
    to_name: str = ""
    """The tag that shows its picture."""
    item_index: int = 0
    """The position of the picture in a list of pictures."""
    value: Json = {}
    """The region; under the name of `type` also a list of its labels or choices."""
    original_width: Side = 0
    original_height: Side = 0
    image_rotation: float = 0

    @property
    def size(self) -> tuple[int, int]:
        return self.original_height, self.original_width

    @property
    def labels(self) -> list[str]:
        """The labels of a region."""
        named = self.value.get(self.type)
        if not self.type.endswith("labels") or not isinstance(named, list):
            return []
        return [name for name in named if isinstance(name, str)]


class TaskAnswer(msgspec.Struct, frozen=True):
    """An annotation or prediction."""

    result: list[Result] = []
    was_cancelled: bool | None = None
    ground_truth: bool | None = None
    updated_at: str | None = None


class Task(msgspec.Struct, frozen=True):
    """A task: pictures, and the answers of people and models."""

    data: Json
    annotations: list[TaskAnswer] = []
    predictions: list[Any] = []
    """Objects; in some exports only their ids."""

    @property
    def done(self) -> list[TaskAnswer]:
        """The annotations that were not skipped."""
        return [answer for answer in self.annotations if not answer.was_cancelled]


Regions = list[tuple[str, Result, Region]]
MASKS = ("brushlabels", "polygonlabels", "ellipselabels")
BOXES = ("rectanglelabels", "rectangle")


def is_folder(candidate: Candidate) -> bool:
    return _tasks(candidate) is not None


def _tasks(candidate: Candidate) -> Path | None:
    """tasks.json beside label_config.xml, or else Label Studio's export if it is the only JSON file of the folder."""
    folder = candidate.path
    if (folder / TASKS).is_file() and (folder / INTERFACE).is_file():
        return folder / TASKS
    files = [path for path in visible(folder, "*.json") if path.is_file()]
    return files[0] if len(files) == 1 and candidate.is_json("labelstudio", files[0]) else None


def read(source: Import, *, classes: Sequence[str] | None = None, images: Path | str | None = None) -> Contents:
    """A JSON export of Label Studio (not JSON-MIN), or a folder that SeeDiff wrote.

    classes: the classes in the order of their ids; None: the labels in the label_config.xml beside the file, or else
    the labels in use, sorted by name; names such as `ignore` and `void` (IGNORED) become 255. images: the folder of the
    pictures; None: beside the file, or images/.

    One annotation of each task is read: not a skipped one, a ground truth before others, then the last changed. If any
    task has an annotation, tasks without one are left out; if none has, predictions are read. Each picture of a task is
    a sample; the label_config.xml says which regions belong to which of several pictures. Brush masks, polygons and
    ellipses are painted in their order, over boxes. Pixels in a box, or in the box around another region with an area,
    but in no mask are ignored (255). Regions without an area are left out.
    """
    file = source.file(lambda folder: _tasks(source.candidate) or folder / TASKS)
    tasks = read_known(file, list[Task])
    interface = file.parent / INTERFACE
    view = read_xml(interface, "View") if interface.is_file() else Node("View", {}, "")
    # The answers that count, and the regions of each picture.
    numbered = [(f"{file}: task {number}", task) for number, task in enumerate(tasks, 1)]
    read = [(where, task) for where, task in numbered if task.done] or numbered
    source.count(
        len(tasks) - len(read), f"of {len(tasks)} tasks have no annotation, or were skipped: they are left out"
    )
    more = sum(len(task.done[1:]) for _, task in read)
    if more:
        source.note(f"second annotations of a task, left out: {more} (a ground truth counts, or else the last change)")
    pictures: list[tuple[str, Task, str, Regions]] = []
    boxed, others = list[str](), list[str]()
    for where, task in read:
        found, left = _regions(_answer(task, where), where)
        pictures += [(where, task, *picture) for picture in _pictures(task.data, found, _shown(view), where)]
        others += left
        boxed += [_named(result) for _, result, region in found if not region.masked]
    source.not_drawn(boxed, others)

    # The classes.
    used = [list(chain(*(one.labels for _, one, region in found if region.masked))) for *_, found in pictures]
    listing: object = "--classes"
    if classes is None and interface.is_file():
        classes, listing = _labels(view), interface
    elif classes is None:
        classes, listing = sorted({*chain(*used)}), file
    names, ids = number_labels(classes, listing, source.note)

    folders = given_or(images, file.parent, file.parent / IMAGES)
    objects, records = by_object(used), list[PictureRecord]()
    for where, task, address, found in pictures:
        own = Own()
        if isinstance(task.data.get(OWN_KEY), Mapping):
            own = fit(task.data[OWN_KEY], Own, f"{where}: data.{OWN_KEY}")
            check_row(own.metadata, f"{where}: metadata in its data.{OWN_KEY}")
        paint = partial(_paint, regions=found, ids=ids, where=where)
        records.append(
            PictureRecord(
                where,
                folders,
                _image_names(address),
                paint,
                paint if objects else None,
                top=IMAGES,
                row=own.metadata,
                name=own.name,
            )
        )
    return Contents(names, source.samples_of(records))


def _answer(task: Task, where: str) -> TaskAnswer:
    """The annotation that counts, or else the last prediction."""
    if task.done:

        def rank(answer: TaskAnswer) -> tuple[bool, str]:
            return bool(answer.ground_truth), (answer.updated_at or "").removesuffix("Z")  # so that 00Z < 00.5Z

        return max(reversed(task.done), key=rank)
    predictions = [value for value in task.predictions if isinstance(value, dict)]
    return fit(predictions[-1], TaskAnswer, f"{where}: its prediction") if predictions else TaskAnswer()


def _regions(answer: TaskAnswer, where: str) -> tuple[Regions, list[str]]:
    """(regions, others): the masks and boxes of an answer, and type and label of each other result. A tag such as
    <Ellipse> with <Labels> makes two results with the same id; the result with the label counts."""
    labelled = [result.id for result in answer.result if result.labels and result.id is not None]
    found: Regions = []
    others: list[str] = []
    for number, result in enumerate(answer.result, 1):
        if not result.value or (result.id in labelled and not result.labels):
            continue
        here = f"{where}, result {number}"
        region = _region(result, here)
        if region is None:
            others.append(_named(result))
        else:
            found.append((here, result, region))
    return found, others


def _region(result: Result, here: str) -> Region | None:
    """A mask or box. For another result with an area, the box around its corners, or for a mask in pixels the whole
    picture; None for a result without an area. here: the result's name in errors. Raises UserError."""
    value, mask = result.value, result.type in MASKS
    if mask or result.type in (*BOXES, "labels"):
        try:
            region = fit(value, Region, here)
            if region.masked or value.keys() >= {"x", "y", "width", "height"}:
                return region
        except UserError:  # <Labels> may be on regions of any kind
            if mask or "rle" in value:
                raise
    if mask:
        raise UserError(here, "must have 'rle', 'points' or radii")
    if "rle" in value or "imageDataURL" in value:
        return Region(x=0, y=0, width=100, height=100)
    corners = value.get("points") or value.get("vertices")
    if not isinstance(corners, list) or len(corners) < 3 or not value.get("closed", "points" in value):
        return None
    pairs = [[one.get("x"), one.get("y")] if isinstance(one, dict) else one for one in corners]
    across, down = np.array(fit(pairs, list[tuple[Near, Near]], here)).T
    left, top = float(across.min()), float(down.min())
    return Region(x=left, y=top, width=float(across.max()) - left, height=float(down.max()) - top)


def _named(result: Result) -> str:
    """The type and labels of a result, for notes."""
    named = result.value.get(result.type)
    return f"{result.type} {show_json(named)}" if isinstance(named, list) else result.type


def _nodes(root: Node) -> Iterator[Node]:
    """A tag and the tags below it at any depth, in the order of the file."""
    yield root
    for child in root.children:
        yield from _nodes(child)


def _labels(root: Node) -> list[str]:
    """The labels that masks can have, by a labeling interface."""
    tags = ("BrushLabels", "PolygonLabels", "EllipseLabels", "Labels")
    values = [label.get("value") for node in _nodes(root) if node.tag in tags for label in node.all("Label")]
    return list(dict.fromkeys(values))


def _shown(root: Node) -> dict[str, str]:
    """Name of an <Image> tag → the key of its picture in a task's data."""
    images = [node.attributes for node in _nodes(root) if node.tag == "Image"]
    return {one.get("name", ""): one.get("value", one.get("valueList", "")).lstrip("$") for one in images}


def _pictures(
    data: Mapping[str, Any], regions: Regions, shown: Mapping[str, str], where: str
) -> list[tuple[str, Regions]]:
    """(address, regions) of each picture of a task. shown: what `_shown` returned; empty if it is not known. Raises
    UserError."""
    addresses: dict[str, list[Any]] = {}
    for key, value in data.items():
        texts = value if isinstance(value, list) else [value]
        if texts and all(isinstance(text, str) and (key == IMAGE or _is_image(text)) for text in texts):
            addresses[key] = texts
    named = {key: addresses[key] for key in shown.values() if key in addresses} or addresses
    if not named:
        raise UserError(where, f"'data' must have the picture's path as 'image', not {show_json(data.get(IMAGE))}")
    if len(named) > 1 and not shown:
        problem = f"its data has several pictures: {', '.join(map(show_json, named))}"
        fix = f"save the labeling interface as {INTERFACE} beside the file: it says which regions are on which"
        raise UserError(where, problem, fix)
    found: dict[tuple[str, int], Regions] = {}
    for key, texts in named.items():
        found |= {(key, number): [] for number in range(len(texts))}
    for region in regions:
        here, result, _ = region
        place = shown.get(result.to_name, ""), result.item_index
        if len(named) == 1 and len(shown) < 2:
            place = next(iter(named)), result.item_index
        if place not in found:
            on = f"is on picture {result.item_index + 1} of {show_json(result.to_name)}"
            raise UserError(here, f"{on}, which the task's data or {INTERFACE} does not name")
        found[place].append(region)
    return [(named[key][number], on) for (key, number), on in found.items()]


def _path(address: str) -> str:
    """The path in a picture's address."""
    return unquote(address.partition("?d=")[2] or address.partition("?")[0])


def _is_image(address: str) -> bool:
    return _path(address).lower().endswith(IMAGE_SUFFIXES)


def _image_names(address: str) -> list[str]:
    """A picture's path; for an uploaded file also its name without the prefix."""
    path = _path(address)
    last = path.rpartition("/")[2]
    return [path, last[9:]] if UPLOADED.match(last) else [path]


def _paint(image: Path, regions: Regions, ids: Mapping[str, int], where: str) -> Instances:
    """Paints boxes, then masks, polygons and ellipses in their order. Raises UserError."""
    shape = shown_size(image)
    for _, result, _ in regions[:1]:
        shape = result.size
    check_frame(image, shape, where)
    shapes = Shapes(shape)
    for here, result, region in sorted(regions, key=lambda one: one[2].masked):
        if result.image_rotation % 360:
            turned = f"was drawn on a picture rotated by {result.image_rotation:g}°"
            raise UserError(here, turned, "undo the rotation in Label Studio")
        if result.size != shape:
            raise UserError(here, f"is of a picture of {result.size}, others of {shape}; both are (height, width)")
        at, across, down = region.pixels(shape)
        if not region.masked:
            shapes.box(at.real, at.imag, at.real + across, at.imag + down, region.rotation, at)
            continue
        if len(result.labels) != 1:
            raise UserError(here, f"must have one label, not {show_json(result.labels)}")
        number = shapes.number(class_of(result.labels[0], ids, here))
        if region.rle is not None:
            try:
                inside = decode_brush(bytes(region.rle), shape)
            except ValueError as error:
                raise UserError(here, f"its 'rle' is not a valid mask: {error}") from error
            shapes.numbers[inside] = number
        elif region.points is None:
            shapes.ellipse(at, across, down, region.rotation, number, here)
        else:
            corners = np.array(region.points, np.float64).reshape(-1, 2) / 100 * shape[::-1]
            shapes.runs(polygon_runs([corners.ravel().tolist()], shape, here), number)
    return shapes.painted()
