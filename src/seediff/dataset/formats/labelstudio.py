"""Label Studio's tasks with brush masks, out as pre-annotations with scores and in from its JSON export. Label maps come back exactly.

out/  tasks.json                 a task per sample: `data.image`, and a prediction with a brush mask per class; 255 is the label "ignore"
      label_config.xml           the labels, to be pasted as the project's labeling interface
      images/NAME.png or .jpg    pictures, as they are: served as local files of this folder
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

import msgspec
import numpy as np

from ... import __version__
from ...config.names import BACKGROUND
from ...errors import UserError
from ...files.documents import Node, fit, parse_json, read_xml
from ...files.messages import shown
from ...files.pictures import check_pixels
from ...files.places import put, staged
from ...files.reading import ANNOTATIONS, DEEPEST, open_regular, path_inside, read_bytes
from .. import native
from ..rows import check_class_list, check_name, check_row
from ..sample import Sample, picture_size
from ..shapes.brush import decode_brush, encode_brush
from ..shapes.rle import check_count, fill
from ..split import assign_splits
from .coco.masks import polygon_runs
from .cvat import IGNORE, check_ignored, named_colours
from .exporting import Exported, no_note, worked_on
from .options import LinkOptions
from .packed import checked_classes
from .voc_masks import IGNORED

TASKS, CONFIG, IMAGES = "tasks.json", "label_config.xml", "images"
OWN = "seediff"
"""In a task's data: the sample's name and row. Label Studio keeps it and gives it back."""
SERVED = "/data/local-files/?d="
TAG, PICTURE = "label", "image"
UPLOADED = re.compile(r"[0-9a-f]{8}-")
"""What Label Studio puts before the name of a file that was uploaded."""


def export_labelstudio(
    classes: Sequence[str],
    items: Iterable[Sample],
    out: Path | str,
    options: LinkOptions | None = None,
) -> Exported:
    """Write tasks with their masks as predictions. `out` appears only when everything is in it.

    A prediction's score is the lowest of its classes': a class's `confidence`, else its `presence`, where its row has one.
    Raises UserError naming the sample that cannot be used, and a class whose name means 255.
    """
    options = options or LinkOptions()
    check_class_list(classes)
    check_ignored(classes)
    items = list(items)
    splits = assign_splits([item.name for item in items], [item.metadata for item in items], options.split, options.seed)
    taken: set[str] = set()
    tasks = []
    with staged(out) as part, worked_on(items, partial(_results, classes=classes), options.workers) as drawn:
        for split, (item, results) in zip(splits, drawn, strict=True):
            check_name(item.name, taken)
            file_name = f"{IMAGES}/{item.name}.{item.suffix}"
            item.put_image(part / file_name, link=options.link)
            row = {**item.metadata, **({"split": split} if split != "train" or "split" in item.metadata else {})}
            tasks.append(_task(item.name, file_name, row, results))
        put(part / TASKS, ("[\n" + ",\n".join(tasks) + "\n]\n").encode("utf-8"))
        put(part / CONFIG, _label_config(classes).encode("utf-8"))
    return Exported(len(items), len(items) + 2)


def _task(name: str, file_name: str, row: Mapping[str, Any], results: list[dict[str, Any]]) -> str:
    scored = [one["score"] for one in results if "score" in one]
    made_by = " ".join(str(row[key]) for key in ("model", "method") if isinstance(row.get(key), str)) or f"seediff {__version__}"
    score = {"score": min(scored)} if scored else {}
    data = {"image": SERVED + quote(file_name), OWN: {"name": name, "metadata": row}}
    return json.dumps({"data": data, "predictions": [{"model_version": made_by, **score, "result": results}]}, ensure_ascii=False)


def _results(item: Sample, *, classes: Sequence[str]) -> list[dict[str, Any]]:
    """A brush mask for each class of an item's label map, and for what is ignored."""
    labels = item.labels(len(classes))
    size = {"original_width": labels.shape[1], "original_height": labels.shape[0], "image_rotation": 0}
    found = []
    for number in (int(one) for one in np.unique(labels) if one):
        name: str = IGNORE if number == native.IGNORE else classes[number - 1]
        value = {"format": "rle", "rle": list(encode_brush(labels == number)), "brushlabels": [name]}
        tags = {"id": f"{OWN}-{number}", "type": "brushlabels", "from_name": TAG, "to_name": PICTURE, "origin": "prediction"}
        score = None if number == native.IGNORE else _score(item.metadata, name)
        found.append({**tags, **size, "value": value, **({} if score is None else {"score": score})})
    return found


def _score(row: Mapping[str, Any], name: str) -> float | None:
    """How sure a class is, in [0, 1]."""
    for key in ("confidence", "presence"):
        value = (row.get(key) or {}).get(name)
        if isinstance(value, (int, float)):
            return float(np.clip(value, 0, 1))
    return None


def _label_config(classes: Sequence[str]) -> str:
    labels = "".join(f"    <Label value={quoteattr(name)} background={quoteattr(colour)}/>\n" for name, colour in named_colours(classes))
    return (
        f'<View>\n  <Image name="{PICTURE}" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="{TAG}" toName="{PICTURE}">\n{labels}  </BrushLabels>\n</View>\n'
    )


Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
Side = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]


class Result(msgspec.Struct, frozen=True):
    """One region, choice or relation. original_width, original_height: of its picture."""

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
    """predictions: objects, or only their numbers in some exports."""

    data: dict[str, Any]
    annotations: list[Answer] = []
    predictions: list[Any] = []


def is_labelstudio(folder: Path) -> bool:
    return (folder / TASKS).is_file() and (folder / CONFIG).is_file()


def is_task_list(path: Path) -> bool:
    """Whether a JSON file holds a list, which a COCO file does not."""
    with open_regular(path, ANNOTATIONS) as opened:
        return opened.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def import_labelstudio(
    source: Path | str,
    *,
    classes: Sequence[str] | None = None,
    images: Path | str | None = None,
    note: Callable[[str], None] = no_note,
) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes, without the background, and samples of a JSON export of Label Studio (not JSON-MIN), or of a folder of `export_labelstudio`.

    Of a task, the annotation that was changed last is read, skipped ones apart. Where any task has one, tasks without are left out, which
    `note` is told; where none has, predictions are read. Brush masks and polygons are painted in their order; other regions are no masks.
    classes: None: those of label_config.xml beside the file, else the labels in use, by name; `ignore`, `ignored`, `void` and `unlabeled`
    are 255. images: where the pictures are; None: in images/ or beside the file. They are found by the end of a task's `data.image`.
    Raises UserError naming the file and task.
    """
    source = Path(source)
    file = source / TASKS if source.is_dir() else source
    tasks = parse_json(read_bytes(file, ANNOTATIONS), list[Task], str(file))
    answers = {number: _answer(task, f"{file}: task {number}") for number, task in enumerate(tasks, 1)}
    if any(done for _, done in answers.values()):
        left = len([number for number, (_, done) in answers.items() if not done])
        answers = {number: one for number, one in answers.items() if one[1]}
        if left:
            note(f"{left} of {len(tasks)} tasks have no annotation, or were skipped: they are left out")
    regions = [(one, f"{file}: task {number}") for number, (answer, _) in answers.items() for one in answer.result]
    if others := sum(one.type not in ("brushlabels", "polygonlabels") and bool(one.value) for one, _ in regions):
        note(f"{others} results are neither brush masks nor polygons: they are left out")
    names = _class_names(file, classes, regions)
    ids = {BACKGROUND: 0, **dict.fromkeys(IGNORED, native.IGNORE), **{name: number for number, name in enumerate(names, 1)}}
    folders = [Path(images)] if images is not None else [file.parent / IMAGES, file.parent]
    taken: set[str] = set()
    items = []
    for number, (answer, _) in answers.items():
        where, data = f"{file}: task {number}", tasks[number - 1].data
        picture, inside = _picture(folders, data, where)
        name, row = _own(data, inside, where)
        try:
            check_name(name, taken)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        items.append(Sample(picture, partial(_paint, answer.result, picture, ids, where), metadata=row, name=name))
    return names, items


def _answer(task: Task, where: str) -> tuple[Answer, bool]:
    """What is read of a task, and whether a person made it."""
    done = [one for one in task.annotations if not one.was_cancelled]
    if done:
        return max(enumerate(done), key=lambda one: (one[1].updated_at or "", one[0]))[1], True
    given = [one for one in task.predictions if isinstance(one, dict)]
    return (fit(given[-1], Answer, f"{where}: its prediction") if given else Answer()), False


def _class_names(file: Path, classes: Sequence[str] | None, regions: Sequence[tuple[Result, str]]) -> tuple[str, ...]:
    config = file.parent / CONFIG
    if classes is not None:
        return checked_classes(list(classes), "--classes")
    if config.is_file():
        named = [one.get("value") for one in _labels(read_xml(config, "View"))]
        found: Iterable[str] = dict.fromkeys(named)
    else:
        found = sorted({label for one, where in regions for label in _shape(one, where)[1]})
    meant = (BACKGROUND, *IGNORED)
    return checked_classes([name for name in found if name.casefold() not in meant], config if config.is_file() else file)


def _labels(node: Node) -> Iterator[Node]:
    """Every <Label> of brushes and polygons, at any depth."""
    for child in node.children:
        if child.tag in ("BrushLabels", "PolygonLabels"):
            yield from child.all("Label")
        yield from _labels(child)


def _shape(one: Result, where: str) -> tuple[Brush | Polygon | None, list[str]]:
    """A region's shape, None where it is no mask, and its labels."""
    if one.type == "brushlabels":
        brush = fit(one.value, Brush, f"{where}: a brush mask's 'value'")
        return brush, brush.brushlabels
    if one.type == "polygonlabels":
        polygon = fit(one.value, Polygon, f"{where}: a polygon's 'value'")
        return polygon, polygon.polygonlabels
    return None, []


def _own(data: Mapping[str, Any], inside: str, where: str) -> tuple[str, dict[str, Any]]:
    """The name and row of a sample: as it was exported, else by its picture's path."""
    own = data.get(OWN)
    if not isinstance(own, Mapping):
        return PurePosixPath(inside).with_suffix("").as_posix(), {}
    name, row = own.get("name"), own.get("metadata", {})
    if not isinstance(name, str) or not isinstance(row, dict):
        raise UserError(f"{where}: 'name' must be a text and 'metadata' an object in its data.{OWN}")
    check_row(row, f"{where}: metadata in its data.{OWN}")
    return name, row


def _picture(folders: Sequence[Path], data: Mapping[str, Any], where: str) -> tuple[Path, str]:
    """The picture of a task, and its path in the folder in which it was found: that of the longest end of what the task says."""
    address = data.get(PICTURE)
    if not isinstance(address, str):
        texts = [value for value in data.values() if isinstance(value, str) and value.lower().endswith((".png", ".jpg", ".jpeg"))]
        if len(texts) != 1:
            raise UserError(f"{where}: 'data' must have the picture's path as 'image', not {shown(address)}")
        address = texts[0]
    try:
        parts = urlsplit(address)
        path = unquote(parts.query.partition("d=")[2] if parts.query.startswith("d=") else parts.path)
    except ValueError as error:
        raise UserError(f"{where}: 'image' is no path or address: {shown(address)}") from error
    steps = [step for step in path.split("/") if step][-DEEPEST:]
    ends = ["/".join(steps[i:]) for i in range(len(steps))]
    if ends and UPLOADED.match(ends[-1]):
        ends.append(ends[-1][9:])
    for folder in folders:
        for end in ends:
            found = path_inside(folder, {"image": end}, "image", where)
            if found.is_file():
                return found, end
    raise UserError(f"{where}: there is no picture {shown(path)} in {folders[0]}; --images names another folder")


def _paint(results: Sequence[Result], picture: Path, ids: Mapping[str, int], where: str) -> np.ndarray:
    """(H, W) uint8 of a task's regions, the later over the earlier."""
    shape = picture_size(picture)
    check_pixels((shape[1], shape[0]), where)
    check_count(len(results), where)
    labels = np.zeros(shape, np.uint8)
    for number, one in enumerate(results, 1):
        here = f"{where}, result {number}"
        form, names = _shape(one, here)
        if form is None:
            continue
        if one.image_rotation % 360:
            raise UserError(f"{here}: was drawn on a picture that is turned by {one.image_rotation:g}°; turn it back in Label Studio")
        if (size := (one.original_height, one.original_width)) != shape:
            raise UserError(f"{here}: is of a picture of {size}, but {picture} is {shape}; both are (height, width)")
        known = [name if name in ids else name.casefold() for name in names]
        if len(known) != 1 or known[0] not in ids:
            raise UserError(
                f"{here}: must have one label, of {', '.join(name for name, i in ids.items() if 0 < i < native.IGNORE)}, not {shown(names)}"
            )
        if isinstance(form, Brush):
            try:
                inside = decode_brush(bytes(form.rle), shape)
            except ValueError as error:
                raise UserError(f"{here}: its 'rle' is no mask: {error}") from error
        else:
            corners = [value / 100 * side for point in form.points for value, side in zip(point, shape[::-1], strict=True)]
            inside = fill(polygon_runs([corners], shape, here), shape)
        labels[inside] = ids[known[0]]
    return labels
