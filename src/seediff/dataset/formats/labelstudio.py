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
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

import msgspec
import numpy as np

from ... import __version__
from ...errors import UserError
from ...files.documents import Node, fit, parse_json, read_xml
from ...files.messages import show_json
from ...files.pictures import check_pixels
from ...files.reading import ANNOTATIONS, read_bytes
from .. import native
from ..class_lists import IGNORED, check_meaning, number_labels
from ..encoding import Instances
from ..reviews import is_corrected
from ..rows import check_row
from ..sample import Sample, picture_size
from ..shapes.brush import decode_brush, encode_brush
from ..shapes.rle import check_layers, fill, polygon_runs
from .drivers import Export, Source
from .known import MIN_KEYS, json_kind
from .label_files import PICTURES, Own, Shapes, Side, by_object, named_colours, shown_size

TASKS, CONFIG, IMAGES = "tasks.json", "label_config.xml", "images"
OWN = "seediff"
"""The key in a task's data for the sample's name and row. Label Studio keeps it and returns it."""
BRUSHES = "task-*-annotation-*-by-*.*"
"""Files of the exports "Brush labels to PNG" and "to NumPy": one mask each, without a reference to its picture."""
SERVED = "/data/local-files/?d="
TAG, PICTURE = "label", "image"
UPLOADED = re.compile(r"[0-9a-f]{8}-")
"""The prefix that Label Studio gives to the name of an uploaded file."""


def write(export: Export) -> None:
    """Label Studio's tasks, with the masks as predictions. A prediction's score is the lowest among its classes; the
    score of a class is its `confidence` in the metadata, or else its `presence`, if given."""
    check_meaning(export.classes)
    tasks = []
    for placed in export.placed(draw):
        file_name = f"{IMAGES}/{placed.file_name}"
        export.put_image(file_name, placed)
        row = dict(placed.sample.metadata)
        if placed.split != "train" or "split" in row:
            row["split"] = placed.split
        tasks.append(_task(placed.name, file_name, row, placed.data))
    export.put(TASKS, "[\n" + ",\n".join(tasks) + "\n]\n")
    labels = [
        f"    <Label value={quoteattr(name)} background={quoteattr(colour)}/>\n"
        for name, colour in named_colours(export.classes)
    ]
    export.put(
        CONFIG,
        f'<View>\n  <Image name="{PICTURE}" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="{TAG}" toName="{PICTURE}">\n{"".join(labels)}  </BrushLabels>\n</View>\n',
    )


def _task(name: str, file_name: str, row: Mapping[str, Any], results: list[dict[str, Any]]) -> str:
    scored = [result["score"] for result in results if "score" in result]
    made_by = (
        " ".join(str(row[key]) for key in ("model", "method") if isinstance(row.get(key), str))
        or f"seediff {__version__}"
    )
    score = {"score": min(scored)} if scored else {}
    data = {"image": SERVED + quote(file_name), OWN: {"name": name, "metadata": row}}
    return json.dumps(
        {"data": data, "predictions": [{"model_version": made_by, **score, "result": results}]}, ensure_ascii=False
    )


def draw(sample: Sample, *, classes: Sequence[str]) -> list[dict[str, Any]]:
    """The results of a prediction: one brush mask per object of a sample with `instances`, then one per class in the
    rest of the label map, also for ignored pixels."""
    labels = sample.labels(len(classes))
    size = {"original_width": labels.shape[1], "original_height": labels.shape[0], "image_rotation": 0}
    results = []
    masks = []
    if sample.instances is not None:
        objects = sample.objects(labels)
        masks = [(f"object-{i}", class_id, objects.index == i) for i, class_id in enumerate(objects.class_ids)]
        labels = np.where(objects.index >= 0, np.uint8(0), labels)
    masks += [(str(number), number, labels == number) for number in np.unique(labels).tolist() if number]
    for key, number, inside in masks:
        name: str = IGNORED[1] if number == native.IGNORE else classes[number - 1]
        value = {"format": "rle", "rle": list(encode_brush(inside)), "brushlabels": [name]}
        tags = {
            "id": f"{OWN}-{key}",
            "type": "brushlabels",
            "from_name": TAG,
            "to_name": PICTURE,
            "origin": "prediction",
        }
        score = None if number == native.IGNORE else _score(sample.metadata, name)
        results.append({**tags, **size, "value": value, **({} if score is None else {"score": score})})
    return results


def _score(row: Mapping[str, Any], name: str) -> float | None:
    """A class's `confidence`, or else its `presence`, clipped to [0, 1]; None if the row has neither, or if a person
    corrected the mask, because neither describes the corrected one."""
    if is_corrected(row):
        return None
    for key in ("confidence", "presence"):
        value = (row.get(key) or {}).get(name)
        if isinstance(value, (int, float)):
            return float(np.clip(value, 0, 1))
    return None


Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]


class Result(msgspec.Struct, frozen=True):
    """One region, choice or relation. original_width, original_height: of its picture, in pixels."""

    type: str = ""
    value: dict[str, Any] = {}
    original_width: Side | None = None
    original_height: Side | None = None
    image_rotation: float = 0


class Brush(msgspec.Struct, frozen=True):
    rle: list[Byte]
    brushlabels: list[str]


class Polygon(msgspec.Struct, frozen=True):
    """points: x and y in percent of the picture's sides."""

    points: list[tuple[float, float]]
    polygonlabels: list[str]


class Answer(msgspec.Struct, frozen=True):
    """An annotation, or a prediction."""

    result: list[Result] = []
    was_cancelled: bool | None = None
    updated_at: str | None = None


class Task(msgspec.Struct, frozen=True):
    """predictions: objects, or in some exports only their ids."""

    data: dict[str, Any]
    annotations: list[Answer] = []
    predictions: list[Any] = []


def is_folder(folder: Path) -> bool:
    return _tasks(folder) is not None or any(folder.glob(BRUSHES))


def _tasks(folder: Path) -> Path | None:
    """The file of tasks in a folder: tasks.json beside label_config.xml, or else Label Studio's export, if it is the
    only JSON file.
    """
    if (folder / TASKS).is_file() and (folder / CONFIG).is_file():
        return folder / TASKS
    files = [path for path in folder.glob("*.json") if path.is_file()]
    return files[0] if len(files) == 1 and json_kind(files[0]) == "labelstudio" else None


def read(
    source: Source, *, classes: Sequence[str] | None = None, images: Path | str | None = None
) -> tuple[tuple[str, ...], list[Sample]]:
    """A JSON export of Label Studio (not JSON-MIN), or a folder that SeeDiff wrote.

    classes: None: those of the label_config.xml beside the file, or else the labels in use, sorted by name; `ignore`,
    `ignored`, `void` and `unlabeled` become 255. images: the folder of the pictures; None: images/, or beside the file.

    Of each task, the annotation that was changed last and not skipped is read. If any task has an annotation, tasks
    without are left out; if none has, predictions are read. Brush masks and polygons are painted in their order; other
    regions are left out.
    """
    file = (_tasks(source.path) or source.path / TASKS) if source.path.is_dir() else source.path
    if source.path.is_dir() and not file.is_file() and (brush := next(source.path.glob(BRUSHES), None)):
        raise UserError(
            brush,
            "is a brush mask that does not say of which picture",
            "export the project as JSON, which has the same masks",
        )
    listed: Any = parse_json(read_bytes(file, ANNOTATIONS), object, str(file))
    first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    if "data" not in first and not MIN_KEYS.isdisjoint(first):
        raise UserError(file, "is Label Studio's export JSON-MIN, which is not read", "export the project as JSON")
    tasks = fit(listed, list[Task], str(file))
    answers = {number: _answer(task, f"{file}: task {number}") for number, task in enumerate(tasks, 1)}
    if any(by_person for _, by_person in answers.values()):
        answers = {number: answer for number, answer in answers.items() if answer[1]}
        if left := len(tasks) - len(answers):
            source.note(f"{left} of {len(tasks)} tasks have no annotation, or were skipped: they are left out")
    regions = [
        (result, f"{file}: task {number}") for number, (answer, _) in answers.items() for result in answer.result
    ]
    if others := sum(
        result.type not in ("brushlabels", "polygonlabels") and bool(result.value) for result, _ in regions
    ):
        source.note(f"{others} results are neither brush masks nor polygons: they are left out")
    names, ids = _classes(file, classes, regions)
    folders = [Path(images)] if images is not None else [file.parent / IMAGES, file.parent]
    objects = by_object(
        [label for r in answer.result for label in _shape(r, str(file))[1]] for answer, _ in answers.values()
    )
    samples = []
    for number, (answer, _) in answers.items():
        where, data = f"{file}: task {number}", tasks[number - 1].data
        if (at := source.picture(folders, _picture_names(data, where), "image", where)) is None:
            continue
        picture, inside = at
        name, row = _name_and_row(data, inside, where)
        paint = partial(_paint, answer.result, picture, ids, where)
        samples.append(source.sample(name, picture, paint, row, where, objects=objects, shown=True))
    return names, samples


def _answer(task: Task, where: str) -> tuple[Answer, bool]:
    """The annotation of a task that is read, or else its last prediction; and whether it is an annotation, which a
    person made.
    """
    done = [answer for answer in task.annotations if not answer.was_cancelled]
    if done:
        return max(enumerate(done), key=lambda numbered: (numbered[1].updated_at or "", numbered[0]))[1], True
    predictions = [value for value in task.predictions if isinstance(value, dict)]
    return (fit(predictions[-1], Answer, f"{where}: its prediction") if predictions else Answer()), False


def _classes(
    file: Path, classes: Sequence[str] | None, regions: Sequence[tuple[Result, str]]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes asked for, or else those of label_config.xml, or else the labels in use, sorted by name; and the id
    of each label."""
    config = file.parent / CONFIG
    if classes is not None:
        return number_labels(classes, "--classes")
    if config.is_file():
        return number_labels(_labels(read_xml(config, "View")), config)
    return number_labels(sorted({label for result, where in regions for label in _shape(result, where)[1]}), file)


def _labels(root: Node) -> list[str]:
    """The labels of brushes and polygons at any depth, in the order of the file."""
    values, waiting = list[str](), [root]
    while waiting:
        node = waiting.pop()
        if node.tag in ("BrushLabels", "PolygonLabels"):
            values += [label.get("value") for label in node.all("Label")]
        waiting += reversed(node.children)
    return list(dict.fromkeys(values))


def _shape(result: Result, where: str) -> tuple[Brush | Polygon | None, list[str]]:
    """A region's shape, or None if it is not a mask, and its labels."""
    if result.type == "brushlabels":
        brush = fit(result.value, Brush, f"{where}: a brush mask's 'value'")
        return brush, brush.brushlabels
    if result.type == "polygonlabels":
        polygon = fit(result.value, Polygon, f"{where}: a polygon's 'value'")
        return polygon, polygon.polygonlabels
    return None, []


def _name_and_row(data: Mapping[str, Any], inside: str, where: str) -> tuple[str, dict[str, Any]]:
    """The name and row of a sample: those that were exported, or else its picture's path and an empty row."""
    kept = data.get(OWN)
    if not isinstance(kept, Mapping):
        return PurePosixPath(inside).with_suffix("").as_posix(), {}
    own = fit(kept, Own, f"{where}: data.{OWN}")
    check_row(own.metadata, f"{where}: metadata in its data.{OWN}")
    return own.name, own.metadata


def _picture_names(data: Mapping[str, Any], where: str) -> list[str]:
    """Possible names of a task's picture: the ends of the path in the task, the longest first, then the last part
    without the prefix of an uploaded file."""
    address = data.get(PICTURE)
    if not isinstance(address, str):
        texts = [value for value in data.values() if isinstance(value, str) and value.lower().endswith(PICTURES)]
        if len(texts) != 1:
            raise UserError(f"{where}: 'data' must have the picture's path as 'image', not {show_json(address)}")
        address = texts[0]
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise UserError(f"{where}: 'image' is no path or address: {show_json(address)}") from error
    path = unquote(parts.query.partition("d=")[2] if parts.query.startswith("d=") else parts.path)
    steps = [step for step in path.split("/") if step][-64:]
    names = ["/".join(steps[i:]) for i in range(len(steps))]
    return [*names, names[-1][9:]] if names and UPLOADED.match(names[-1]) else names


def _size(result: Result) -> tuple[int | None, int | None]:
    return result.original_height, result.original_width


def _paint(results: Sequence[Result], picture: Path, ids: Mapping[str, int], where: str) -> Instances:
    """The regions of a task; later ones cover earlier ones."""
    stored = picture_size(picture)
    shape = stored if stored in map(_size, results) else shown_size(picture)
    check_pixels((shape[1], shape[0]), where)
    numbers, known, painted = np.zeros(shape, np.int32), Shapes(), 0
    for number, result in enumerate(results, 1):
        here = f"{where}, result {number}"
        form, names = _shape(result, here)
        if form is None:
            continue
        if result.image_rotation % 360:
            raise UserError(
                f"{here}: was drawn on a picture that is turned by {result.image_rotation:g}°; turn it back in Label"
                " Studio"
            )
        if (size := _size(result)) != shape:
            raise UserError(f"{here}: is of a picture of {size}, but {picture} is {shape}; both are (height, width)")
        called = [name if name in ids else name.casefold() for name in names]
        if len(called) != 1 or called[0] not in ids:
            classes = ", ".join(name for name, i in ids.items() if 0 < i < native.IGNORE)
            raise UserError(f"{here}: must have one label, of {classes}, not {show_json(names)}")
        if isinstance(form, Brush):
            try:
                inside = decode_brush(bytes(form.rle), shape)
            except ValueError as error:
                raise UserError(f"{here}: its 'rle' is no mask: {error}") from error
        else:
            corners = [
                value / 100 * side for point in form.points for value, side in zip(point, shape[::-1], strict=True)
            ]
            inside = fill(polygon_runs([corners], shape, here), shape)
        check_layers(painted := painted + int(inside.sum()), shape, where)
        numbers[inside] = known.number(ids[called[0]])
    return known.painted(numbers)
