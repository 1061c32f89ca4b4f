"""Writes labelme's JSON files with masks, and reads them. Shapes are drawn with Pillow, as labelme draws them; later
shapes cover earlier shapes. Label maps come back exactly.

out/  NAME.json                   a mask per class, or per object if the sample has `instances`; 255 is `__ignore__`
      NAME.png or .jpg            pictures, as they are
      labels.txt                  the labels, for `labelme --labels`

in/  NAME.json, at any depth      `shapes`, and the picture as `imagePath`, relative to the file
     labels.txt, class_names.txt  optional: classes in their order, perhaps after `__ignore__` and `_background_`
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image, ImageDraw

from ...config.class_names import reserved_id
from ...errors import UserError
from ...files.documents import Json, read_json
from ...files.image_files import open_image, stored_pixels
from ...files.label_maps import IGNORE
from ...files.reading import inside
from .. import native
from ..class_lists import find_list, number_labels
from ..encoding import encode_grey
from ..rows import check_class_list
from ..sample import Sample
from ..shapes.objects import Objects
from ..shapes.polygons import object_polygons
from .drivers import Export, Import, PictureRecord
from .format_table import Contents, json_kind
from .painting import Near, Shapes, by_object, class_of, masks_of, objects_of
from .pictures import check_frame, given_or, shown_size, top_folder

IGNORE_LABEL, BACKGROUND_LABEL = "__ignore__", "_background_"
"""labelme's names for 255 and 0."""

FILLED = ("polygon", "rectangle", "circle", "oriented_rectangle", "rotation", "mask")
"""Kinds of shapes whose inside is painted."""
LINES = ("line", "linestrip", "point", "points")
"""Kinds of shapes that have no inside."""


class LabelmeShape(msgspec.Struct, frozen=True):
    """A shape of a picture."""

    label: str
    points: list[tuple[Near, Near]]
    """(x, y) of each corner. A circle has its centre and a point on it. A rectangle, and a mask for its box, has two
    opposite corners."""
    shape_type: str | None = None
    mask: str | None = None
    """The inside of a mask, as a PNG in base64."""
    group_id: int | None = None
    """The number of the group, if any. The shapes of a group are one object."""

    @property
    def kind(self) -> str:
        """`shape_type`; "polygon" if the file has none."""
        return self.shape_type or "polygon"

    @property
    def boxed(self) -> bool:
        """Whether the shape is of an unknown kind that has an inside. Only the box around it is painted, as 255."""
        return self.kind not in (*FILLED, *LINES) and len(self.points) >= 3


class LabelmeFile(msgspec.Struct, frozen=True):
    """A JSON file: a picture and its shapes."""

    shapes: list[LabelmeShape]
    imagePath: str
    imageData: str | None = None
    """A copy of the picture in base64, which SeeDiff does not read."""
    imageHeight: int | None = None
    """The height of the picture in labelme, which turns it by its EXIF orientation."""
    imageWidth: int | None = None


def write(export: Export, *, polygons: bool = False) -> None:
    """Writes a JSON file beside each picture. polygons: write a polygon per connected piece instead of masks, which
    X-AnyLabeling does not read. The polygons of a class or object are a group. labelme fills them to exactly the same
    masks."""
    for placed in export.placed(draw, names={**export.labels, IGNORE: IGNORE_LABEL}, polygons=polygons):
        export.put(placed.file_name, placed.picture)
        picture = {"imagePath": placed.file_name, "imageData": None}
        size = {"imageHeight": placed.height, "imageWidth": placed.width}
        document = {"version": "5.10.1", "flags": {}, "shapes": placed.encoded, **picture, **size}
        export.put(f"{placed.name}.json", json.dumps(document, ensure_ascii=False))
    export.put("labels.txt", "".join(f"{name}\n" for name in (IGNORE_LABEL, BACKGROUND_LABEL, *export.classes)))


def draw(sample: Sample, labels: np.ndarray, names: Mapping[int, str], polygons: bool) -> list[Json]:
    """The shapes of a sample. labels: the label map (H, W). names: id → label. polygons: as for `write`."""
    shapes: list[Json] = []
    if not polygons:
        for class_id, inside, (left, top, right, bottom) in masks_of(sample, labels, sample.has_objects):
            mask = base64.b64encode(encode_grey(inside * np.uint8(255))).decode()
            about = {"label": names[class_id], "group_id": None, "flags": {}, "shape_type": "mask"}
            shapes.append({**about, "points": [[left, top], [right - 1, bottom - 1]], "mask": mask})
        return shapes
    first_group = 0
    for objects in objects_of(sample, labels, sample.has_objects):
        # `pieces` leaves out 255, so every object has the class 1 here.
        pieces, owners = Objects(objects.numbers, [1] * len(objects.class_ids)).pieces()
        for owner, polygon in zip(owners, object_polygons(pieces), strict=True):
            about = {"label": names[objects.class_ids[owner]], "group_id": first_group + owner, "flags": {}}
            shapes.append({**about, "shape_type": "polygon", "points": polygon.round(2).tolist()})
        first_group += len(objects.class_ids)
    return shapes


def read(source: Import, *, classes: Sequence[str] | None = None, images: Path | None = None) -> Contents:
    """Reads a folder of labelme's JSON files at any depth, or one such file.

    classes: the classes in the order of their ids; None: the names in a labels.txt or class_names.txt, or else the
    labels in use, sorted by name. images: the folder of the pictures; None: where the files say. Raises UserError.

    Lines and points are left out. Pixels that are only in the box around a shape of unknown kind are ignored (255).
    """
    root, paths = source.folder, _files(source)
    named_images, labels = dict[Path, tuple[str, bool, bool]](), set[str]()
    boxed, lines, objects = list[str](), list[str](), False
    for path in paths:
        file = read_json(inside(root, path), LabelmeFile)  # one at a time in memory
        named_images[path] = file.imagePath, bool(file.imageData), not file.shapes
        filled = [shape for shape in file.shapes if shape.kind in FILLED]
        for number, shape in enumerate(file.shapes, 1):
            label = shape.label.strip()
            if shape.boxed:
                boxed.append(f"{shape.kind} {shape.label}")
            elif shape.kind not in FILLED:
                lines.append(f"{shape.kind} {shape.label}")
            elif reserved_id(label) is None:
                check_class_list([label], f"{path}: shape {number}")
        labels.update(shape.label for shape in filled)
        objects = objects or _by_object(filled)
    source.not_drawn(boxed, lines)
    where: object = "--classes"
    if classes is None:
        class_list = find_list(root, root.parent, any_name=True)  # they are found by name
        classes, where = sorted(labels), root
        if class_list:
            classes, where = class_list.classes, class_list.where
    listed, ids = number_labels(classes, where, source.note)

    above = Path(os.path.commonpath([path.parent for path in paths]))
    records: list[PictureRecord] = []
    for path, (image, copied, empty) in named_images.items():
        folders = given_or(images, root, path.parent, path.parent / native.IMAGES, root / native.IMAGES)
        if image:
            image = f"{path.parent.relative_to(root).as_posix()}/{image}".removeprefix("./")
        paint = partial(_paint, path=path, ids=ids)
        name = path.relative_to(above).with_suffix("").as_posix()
        about = {"name": name, "empty": empty, "copied": copied}
        records.append(PictureRecord(str(path), folders, [image], paint, None, top_folder(name), **about))
    return Contents(listed, source.samples_of(records, by_object=objects))


def _files(source: Import) -> list[Path]:
    """labelme's JSON files in the source. A note counts other JSON files. Raises UserError for a file that is not JSON,
    and if no file is labelme's."""
    if source.path.is_file():
        return [source.path]
    paths = sorted(path for path in source.path.rglob("*.json") if path.is_file() and not path.name.startswith("."))
    files = [path for path in paths if json_kind(path) == "labelme"]
    others = sorted({*paths} - {*files})
    if not files:
        raise UserError(source.path, "has no labelme JSON file, one with 'shapes'")
    source.count(len(others), f"JSON files are not from labelme, such as {next(iter(others), None)}: they are left out")
    return files


def _by_object(shapes: Sequence[LabelmeShape]) -> bool:
    """Whether each shape or group of shapes is an object. Otherwise a mask may hold all objects of a class. shapes: the
    filled shapes of a picture."""
    if any(shape.kind != "mask" and shape.group_id is None for shape in shapes):
        return True
    groups = {(shape.label, shape.group_id) for shape in shapes if shape.group_id is not None}
    return by_object([[label for label, _ in groups] + [shape.label for shape in shapes if shape.group_id is None]])


def _paint(image: Path, path: Path, ids: dict[str, int]) -> Objects:
    """The painted shapes of a JSON file: boxes around shapes of unknown kinds, and over them the filled shapes in their
    order. image: the picture's file. path: the JSON file. ids: label → id. Raises UserError."""
    file = read_json(path, LabelmeFile)
    height, width = shown_size(image)
    shape = file.imageHeight or height, file.imageWidth or width
    check_frame(image, shape, str(path))
    shapes = Shapes(shape)
    for each in file.shapes:
        if each.boxed:
            shapes.box_around(each.points)
    canvas = Image.fromarray(np.ascontiguousarray(shapes.numbers))
    for number, each in enumerate(file.shapes, 1):
        if each.kind in FILLED:
            where = f"{path}: shape {number}"
            _draw(canvas, each, shapes.number(class_of(each.label, ids, where), each.group_id), where)
    shapes.numbers = np.asarray(canvas)
    return shapes.painted()


def _draw(canvas: Image.Image, each: LabelmeShape, number: int, where: str) -> None:
    """Fills a shape. canvas: the numbers painted so far, as a Pillow image. each: the shape. number: the value to
    paint. where: the shape's name in errors. Raises UserError."""
    corners = np.array(each.points, np.float64).reshape(-1, 2)
    draw: Any = ImageDraw.Draw(canvas)
    two = each.kind in ("circle", "mask") or (each.kind == "rectangle" and len(corners) != 4)
    needed, enough = "three points or more", len(corners) >= 3
    if two:
        needed, enough = "two points", len(corners) == 2
    if not enough:
        raise UserError(where, f"a {each.kind} has {needed}, not {len(corners)}")
    if each.kind == "circle":
        radius = np.hypot(*(corners[0] - corners[1]))
        draw.ellipse((*(corners[0] - radius), *(corners[0] + radius)), outline=number, fill=number)
    elif each.kind == "mask":
        where = f"{where}: mask"
        try:
            data = base64.b64decode(each.mask or "")
        except ValueError as error:
            raise UserError(where, "is not a base64-encoded picture") from error
        with open_image(data, where) as image:
            pixels, mode = stored_pixels(image)
        if pixels.ndim != 2:
            raise UserError(where, f"is a picture in {mode}", "it must be grey or of 1 bit, 0 outside")
        inside = pixels > 0
        if (corners == np.trunc(corners)).all():  # labelme crops a mask to its box if the corners are whole numbers
            width, height = (corners[1] - corners[0] + 1).astype(int).clip(0)
            inside = inside[:height, :width]
        canvas.paste(number, tuple(corners[0].round().astype(int).tolist()), Image.fromarray(inside))
    elif two:
        draw.rectangle((*corners.min(0), *corners.max(0)), outline=number, fill=number)
    else:
        draw.polygon([tuple(corner) for corner in corners.tolist()], outline=number, fill=number)
