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
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image, ImageDraw

from ...config.class_names import reserved_id
from ...errors import UserError
from ...files.label_maps import IGNORE
from ...files.reading import Json, is_there
from .. import native
from ..class_lists import check_class_list, find_class_list
from ..encoding import encode_grey
from ..sample import Sample, image_suffix
from ..shapes.objects import Objects
from ..shapes.polygons import object_polygons
from ..shapes.rle import mask_runs
from .exporting import Export, written_masks, written_objects
from .format_table import json_format
from .labelled import Labelled, Shapes, Wanted
from .painting import Near, Shape, around_runs, by_object, is_box
from .set_files import SetFiles, given_or, pixels_in, top_folder
from .source import Contents, Source
from .what_is_there import Unread

IGNORE_LABEL, BACKGROUND_LABEL = "__ignore__", "_background_"
"""labelme's names for 255 and 0."""

BOX_KINDS = ("rectangle", "oriented_rectangle", "rotation")
FILLED = ("polygon", "circle", "mask", *BOX_KINDS)
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


class LabelmeFile(msgspec.Struct, frozen=True):
    """A JSON file: a picture and its shapes."""

    shapes: list[LabelmeShape]
    imagePath: str
    imageHeight: int | None = None
    """The height of the picture in labelme, which turns it by its EXIF orientation."""
    imageWidth: int | None = None


def write(export: Export) -> None:
    """Writes a JSON file beside each picture, with masks, which X-AnyLabeling does not read, or with a polygon per
    connected piece. The polygons of a class or object are a group. labelme fills them to exactly the same masks."""
    names = {**export.labels, IGNORE: IGNORE_LABEL}
    for placed in export.placed(draw, names=names, polygons=export.options.polygons):
        export.put(placed.file_name, placed.picture)
        picture = {"imagePath": placed.file_name, "imageData": None}
        size = {"imageHeight": placed.height, "imageWidth": placed.width}
        document = {"version": "5.10.1", "flags": {}, "shapes": placed.encoded, **picture, **size}
        export.put(f"{placed.name}.json", json.dumps(document, ensure_ascii=False))
    export.put("labels.txt", "".join(f"{name}\n" for name in (IGNORE_LABEL, BACKGROUND_LABEL, *export.classes)))


def draw(sample: Sample, labels: np.ndarray, names: Mapping[int, str], polygons: bool) -> list[Json]:
    """The shapes of a sample. labels: the label map (H, W). names: id → label. polygons: as in `ExportOptions`."""
    shapes: list[Json] = []
    if not polygons:
        for class_id, inside, (left, top, right, bottom) in written_masks(sample, labels):
            mask = base64.b64encode(encode_grey(inside * np.uint8(255))).decode()
            about = {"label": names[class_id], "group_id": None, "flags": {}, "shape_type": "mask"}
            shapes.append({**about, "points": [[left, top], [right - 1, bottom - 1]], "mask": mask})
        return shapes
    first_group = 0
    for objects in written_objects(sample, labels):
        # `pieces` leaves out 255, so every object has the class 1 here.
        pieces, owners = Objects(objects.numbers, [1] * len(objects.class_ids)).pieces()
        for owner, polygon in zip(owners, object_polygons(pieces), strict=True):
            about = {"label": names[objects.class_ids[owner]], "group_id": first_group + owner, "flags": {}}
            shapes.append({**about, "shape_type": "polygon", "points": polygon.round(2).tolist()})
        first_group += len(objects.class_ids)
    return shapes


def read(source: Source) -> Contents:
    """Reads a folder of labelme's JSON files at any depth, or one such file. The classes are the names in a labels.txt
    or class_names.txt, or else the labels in use, sorted by name. The pictures are where the files say, or in them.
    Shapes of kinds that are not FILLED are left out. Raises UserError."""
    root = source.folder
    paths = _files(source)
    classes = source.classes
    where: object = "--classes"
    if classes is None:
        where = root
        class_list = find_class_list(root, root.parent, any_name=True)  # labels are found by name
        if class_list is not None:
            classes = class_list.classes
            where = class_list.where
    above = Path(os.path.commonpath([path.parent for path in paths]))
    pictures = [_labelled(path, source.files, above, source.images) for path in paths]
    return source.shapes_of(pictures, classes, where, proves_objects=_proves_objects)


def _files(source: Source) -> list[Path]:
    """labelme's JSON files in the source. A note counts other JSON files. Raises UserError for a file that is not JSON,
    and if no file is labelme's."""
    if source.path.is_file():
        return [source.path]
    paths = sorted(path for path in source.path.rglob("*.json") if is_there(path) and not path.name.startswith("."))
    files = [path for path in paths if json_format(path) == "labelme"]
    others = sorted({*paths} - {*files})
    if not files:
        raise Unread(source.path, "has no labelme JSON file, one with 'shapes'")
    source.count(len(others), f"file of another program, such as {next(iter(others), None)}: left out")
    return files


def _labelled(path: Path, files: SetFiles, above: Path, images: Path | None) -> Labelled[Shapes]:
    """What a JSON file says. above: the folder that all JSON files are in. images: as in `Source`. Raises
    UserError."""
    file = files.json(path, LabelmeFile)
    root = files.folder
    name = path.relative_to(above).with_suffix("").as_posix()
    image = file.imagePath
    if image:
        image = f"{path.parent.relative_to(root).as_posix()}/{image}".removeprefix("./")
    folders = given_or(images, root, path.parent, path.parent / native.IMAGES, root / native.IMAGES)
    shapes = Shapes(partial(_shapes, path, files), (file.imageHeight or None, file.imageWidth or None))
    wanted = Wanted([image], folders, inside=partial(_inside, path, files))
    return Labelled(str(path), wanted, shapes, top_folder(name), sample=name)


def _inside(path: Path, files: SetFiles) -> bytes:
    """The picture's file that a JSON file holds; b"" without it. Raises UserError."""
    where = f"{path}: imageData"
    data = _from_base64(files.json(path, dict[str, Any]).get("imageData") or "", where)
    if data:
        image_suffix(data, where)
    return data


def _shapes(path: Path, files: SetFiles) -> Iterator[Shape]:
    for number, each in enumerate(files.json(path, LabelmeFile).shapes, 1):
        yield _shape(each, f"{path}: shape {number}")


def _shape(each: LabelmeShape, where: str) -> Shape:
    """A shape. where: its name in errors. Raises UserError for a mask whose label is no name."""
    kind = each.kind
    label = each.label.strip()
    if kind in FILLED:
        if reserved_id(label) is None:
            check_class_list([label], where)
        boxed = kind in BOX_KINDS or (kind == "polygon" and is_box(each.points))
        return Shape(where, kind, each.label, partial(_runs, each=each, where=where), boxed, each.group_id)
    around = partial(around_runs, corners=each.points) if kind not in LINES and len(each.points) > 2 else None
    return Shape(where, kind, each.label, around, around is not None)


def _proves_objects(masks: Sequence[Shape]) -> bool:
    """Whether a picture proves that each mask or group of masks is an object. A shape that somebody drew is an
    object."""
    if any(mask.kind != "mask" and mask.group is None for mask in masks):
        return True
    grouped = {(mask.label, mask.group): mask for mask in masks if mask.group is not None}
    return by_object([*grouped.values(), *(mask for mask in masks if mask.group is None)])


def _runs(frame: tuple[int, int], each: LabelmeShape, where: str) -> np.ndarray:
    """The run lengths of a shape in a picture of the size `frame`, (H, W). where: its name in errors. Raises
    UserError."""
    corners = np.array(each.points, np.float64).reshape(-1, 2)
    kind = each.kind
    image = Image.new("1", (frame[1], frame[0]))
    draw: Any = ImageDraw.Draw(image)
    two = kind in ("circle", "mask") or (kind == "rectangle" and len(corners) != 4)
    if len(corners) < 2 + (not two) or (two and len(corners) > 2):
        needed = "two points" if two else "three points or more"
        raise UserError(where, f"a {kind} has {needed}, not {len(corners)}")
    if kind == "circle":
        radius = np.hypot(*(corners[0] - corners[1]))
        draw.ellipse((*(corners[0] - radius), *(corners[0] + radius)), outline=1, fill=1)
    elif kind == "mask":
        inside = _decode(each.mask or "", f"{where}: mask")
        if (corners == np.trunc(corners)).all():  # labelme crops a mask to its box if the corners are whole numbers
            width, height = (corners[1] - corners[0] + 1).astype(int).clip(0)
            inside = inside[:height, :width]
        image.paste(1, tuple(corners[0].round().astype(int).tolist()), Image.fromarray(inside))
    elif two:
        draw.rectangle((*corners.min(0), *corners.max(0)), outline=1, fill=1)
    else:
        draw.polygon([tuple(corner) for corner in corners.tolist()], outline=1, fill=1)
    box = image.getbbox() or (0, 0, 0, 0)
    return mask_runs(np.asarray(image.crop(box)), frame, *box[:2])


def _decode(text: str, where: str) -> np.ndarray:
    """(h, w) bool: the inside of a mask. text: a PNG in base64. where: the mask's name in errors. Raises UserError."""
    pixels, mode = pixels_in(_from_base64(text, where), where)
    if pixels.ndim != 2:
        raise UserError(where, f"is an image in {mode}", "it must be grey or of 1 bit, 0 outside")
    return pixels > 0


def _from_base64(text: str, where: str) -> bytes:
    """The bytes of a picture's file. where: its name in errors. Raises UserError."""
    try:
        return base64.b64decode(text)
    except (ValueError, TypeError) as error:
        raise UserError(where, "is not a base64-encoded image") from error
