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
from dataclasses import dataclass
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
from ...files.label_maps import IGNORE, visible
from ...files.reading import Json, Node, fit
from ...rows.row import Row, as_row
from ..sample import Sample
from ..shapes.rle import encode_brush
from .drivers import Import
from .exporting import Export
from .format_table import Contents
from .labelled import Labelled, Shape
from .labelstudio_data import OWN_KEY, Drawn, Task, find_regions, mask_labels
from .painting import masks_of
from .pictures import IMAGE_SUFFIXES, given_or

TASKS, INTERFACE, IMAGES = "tasks.json", "label_config.xml", "images"
SERVED = "/data/local-files/?d="
"""The beginning of the address of a file that Label Studio serves from a local folder."""
TAG, IMAGE = "label", "image"
"""Names of the tags <BrushLabels> and <Image> in the labeling interface."""
UPLOADED = re.compile(r"[0-9a-f]{8}-")
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
    """The brush masks of a sample, as results of a prediction. labels: the label map (H, W). names: id → label."""
    size = {"original_width": labels.shape[1], "original_height": labels.shape[0], "image_rotation": 0}
    results: list[Json] = []
    for class_id, inside, (left, top, right, bottom) in masks_of(sample, labels):
        pixels = np.zeros(labels.shape, bool)
        pixels[top:bottom, left:right] = inside
        tags = {"id": f"{OWN_KEY}-{len(results)}", "type": "brushlabels", "from_name": TAG, "to_name": IMAGE}
        value = {"format": "rle", "rle": list(encode_brush(pixels)), "brushlabels": [names[class_id]]}
        result = {**tags, "origin": "prediction", **size, "value": value}
        score = _score(sample, names[class_id])
        if score is not None and class_id != IGNORE:
            result["score"] = score
        results.append(result)
    return results


def _score(sample: Sample, name: str) -> float | None:
    """The score of a class's mask, in [0, 1]: its `confidence` in the row, or else its `presence`. None if the row has
    neither. Also None if a person corrected the mask, because the row's values describe the earlier mask. name: the
    class."""
    scores = {**(sample.row.presence or {}), **(sample.row.confidence or {})}
    if sample.row.decided.corrected or name not in scores:
        return None
    return float(np.clip(scores[name], 0, 1))


class OwnData(msgspec.Struct, frozen=True):
    """What SeeDiff writes into a task under OWN_KEY."""

    name: str = ""
    metadata: Json = {}


def read(source: Import, *, classes: Sequence[str] | None = None, images: Path | None = None) -> Contents:
    """Reads a JSON export of Label Studio (not JSON-MIN), or a folder that SeeDiff wrote.

    classes: the classes in the order of their ids; None: the labels in the label_config.xml beside the file, or else
    the labels in use, sorted by name. Labels such as `ignore` and `void` (IGNORED) mean 255. images: the folder of the
    pictures; None: beside the file, or images/. Raises UserError.

    One annotation of each task counts: the ground truth, or else the last change that was not skipped. If any task has
    an annotation, tasks without an annotation are left out. Otherwise only tasks that SeeDiff wrote and nobody skipped
    are read, with SeeDiff's masks as they are. Predictions of other models are not read.

    A task has one picture. Brush masks, polygons and ellipses are painted in their order, over boxes. Pixels that are
    only in a box, or only in the box around a region of another kind, are ignored (255). Regions without an area are
    left out.
    """
    file, files = source.file(TASKS), [*visible(source.folder, "*.json")]
    if not file.is_file() and len(files) == 1:
        (file,) = files
    source.not_read(files, [file])
    tasks = source.files.json(file, list[Task])
    interface = file.parent / INTERFACE
    view = source.files.xml(interface, "View") if interface.is_file() else Node("View", {}, "")
    named = [(f"{file}: task {number}", task) for number, task in enumerate(tasks, 1)]
    used = [(where, task) for where, task in named if task.done]
    if not used:
        used = [(where, task) for where, task in named if task.is_own]
        source.count(len(used), "tasks have no annotation: the masks that SeeDiff wrote as predictions are read")
    if tasks and not used:
        problem = "no task has an annotation that was not skipped"
        raise UserError(file, problem, "predictions of models are not read: accept them in Label Studio first")
    left_out = len(tasks) - len(used)
    source.count(left_out, f"of {len(tasks)} tasks have no annotation, or were skipped: they are left out")
    more = sum(len(task.done[1:]) for _, task in used)
    if more:
        source.note(f"second annotations of a task, left out: {more} (a ground truth counts, or else the last change)")
    pictures: list[TaskPicture] = []
    others = list[str]()
    for where, task in used:
        regions, left = find_regions(task.answer(where), where)
        pictures.append(TaskPicture(where, task, _address(task.data, where), regions))
        others += left
    listing: object = "--classes"
    if classes is None and interface.is_file():
        classes, listing = mask_labels(view), interface
    elif classes is None:
        listing = file
    describe = partial(_describe, folders=given_or(images, file.parent, file.parent / IMAGES))
    return source.shapes_of(pictures, describe, classes, listing, others=others)


@dataclass(frozen=True)
class TaskPicture:
    """A picture of a task, and the regions on it."""

    where: str
    """The task's name in errors."""
    task: Task
    address: str
    regions: Sequence[Drawn]


def _describe(one: TaskPicture, folders: Sequence[Path]) -> tuple[Labelled, Sequence[Shape]]:
    """What a task says about a picture. folders: where the picture may be. Raises UserError."""
    own, row = OwnData(), Row()
    if isinstance(one.task.data.get(OWN_KEY), Mapping):
        own = fit(one.task.data[OWN_KEY], OwnData, f"{one.where}: data.{OWN_KEY}")
        row = as_row(own.metadata, f"{one.where}: metadata in its data.{OWN_KEY}")
    names, size = _image_names(one.address), one.regions[0].result.size if one.regions else (None, None)
    labelled = Labelled(one.where, names, folders, top=IMAGES, sample=own.name, row=row, size=size)
    return labelled, [each.shape() for each in one.regions]


def _address(data: Mapping[str, Any], where: str) -> str:
    """The address of a task's picture: the only value of its data that is one. where: the task's name in errors. Raises
    UserError if there are none, or several."""
    found = list[str]()
    for key, value in data.items():
        found += [text for text in _texts(value) if key != OWN_KEY and (value is data.get(IMAGE) or _is_image(text))]
    if len(found) != 1:
        raise UserError(where, f"'data' must have the path of one picture, such as 'image', not of {len(found)}")
    return found[0]


def _texts(value: Any) -> list[str]:
    """The texts in a value of a task's data: the value itself, or the pages of a list."""
    pages = value if isinstance(value, list) else [value]
    entries = chain(*([*page.values()] if isinstance(page, Mapping) else [page] for page in pages))
    return [text for text in entries if isinstance(text, str)]


def _path(address: str) -> str:
    """The path in a picture's address: `a b.jpg` for `/data/local-files/?d=a%20b.jpg`."""
    return unquote(address.partition("?d=")[2] or address.partition("?")[0])


def _is_image(address: str) -> bool:
    """Whether an address is that of a PNG or JPEG file."""
    return _path(address).lower().endswith(IMAGE_SUFFIXES)


def _image_names(address: str) -> list[str]:
    """The names that a picture may have: its path; for an uploaded file also its name without the prefix."""
    path = _path(address)
    last = path.rpartition("/")[2]
    if UPLOADED.match(last):
        return [path, UPLOADED.sub("", last, count=1)]
    return [path]
