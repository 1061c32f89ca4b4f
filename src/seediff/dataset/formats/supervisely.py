"""Reads a Supervisely project: bitmaps exactly, polygons filled as its SDK does, by OpenCV's rule; later shapes cover earlier ones.

in/  meta.json                        `classes`, in their order
     DATASET/ann/NAME.jpg.json        `size`, and `objects` with `classTitle` and a bitmap, a polygon or others
     DATASET/img/NAME.jpg             pictures; a project with one data set may have ann/ and img/ beside meta.json
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from ...errors import UserError
from ...files.documents import read_json
from ...files.messages import printable
from ...files.reading import check_links
from .. import native
from ..encoding import Instances
from ..sample import Sample
from ..shapes.polygons import check_near, check_outlines, fill_polygon
from ..shapes.rle import check_count, check_layers, paint_box
from .drivers import Source
from .label_files import PARTS, PICTURES, Shapes, Side, check_frame, class_names, label_id, label_ids, packed_mask

META, LABELS, IMAGES = "meta.json", "ann", "img"
FILLED, BOX = ("bitmap", "polygon"), "rectangle"
POINTLESS = ("point", "line", "graph", "cuboid")
"""Shapes of classes that cannot have masks."""

Corners = list[tuple[float, float]]


class Class(msgspec.Struct, frozen=True):
    title: str
    shape: str = "any"


class Meta(msgspec.Struct, frozen=True):
    classes: list[Class]


class Size(msgspec.Struct, frozen=True):
    height: Side
    width: Side


class Outline(msgspec.Struct, frozen=True):
    """exterior: x and y of its corners in pixels; for a rectangle, of two opposite corners. interior: holes."""

    exterior: Corners = []
    interior: list[Corners] = []


class Bitmap(msgspec.Struct, frozen=True):
    """data: a PNG, compressed by zlib, as base64. origin: x and y of its upper left corner in the picture."""

    data: str
    origin: tuple[int, int]


class Thing(msgspec.Struct, frozen=True, rename="camel"):
    class_title: str
    geometry_type: str = ""
    points: Outline = Outline()
    bitmap: Bitmap | None = None

    @property
    def kind(self) -> str:  # older files have no geometryType
        return self.geometry_type or ("bitmap" if self.bitmap else "polygon")


class File(msgspec.Struct, frozen=True):
    size: Size
    objects: list[Thing] = []


def is_folder(folder: Path) -> bool:
    return (folder / META).is_file() and any(True for _ in _parts(folder))


def _parts(folder: Path) -> list[Path]:
    """The data sets of a project: folders with ann/."""
    return sorted(path.parent for pattern in (LABELS, f"*/{LABELS}", f"*/*/{LABELS}") for path in folder.glob(pattern) if path.is_dir())


def read(source: Source) -> tuple[tuple[str, ...], list[Sample]]:
    """Pixels in a rectangle but in no mask are ignored, because a rectangle is not a mask; other shapes are left out."""
    root = source.path
    meta = read_json(root / META, Meta, absent="there is no such file; name the folder of a Supervisely project, which has one")
    names = class_names((each.title for each in meta.classes if each.shape not in POINTLESS), root / META)
    parts, ids, counted = _parts(root), label_ids(names), Counter[str]()
    stems = Counter(path.name for part in parts for path in (part / LABELS).glob("*.json"))
    samples = []
    for part in parts:
        row = {"split": split} if (split := PARTS.get(part.name.lower())) else {}
        for path in sorted((part / LABELS).glob("*.json")):
            check_links(root, path)
            file = read_json(path, File)
            tried = [path.stem, *(f"{path.stem}{suffix}" for suffix in PICTURES)]  # older files are NAME.json
            if (at := source.picture([part / IMAGES], tried, "name", str(path))) is None:
                continue
            counted.update(each.kind for each in file.objects)
            stem = Path(at[1]).stem
            name = f"{part.relative_to(root).as_posix()}/{stem}" if stems[path.name] > 1 else stem
            samples.append(source.painted(name, at[0], partial(_paint, path, at[0], ids), row, path, shown=True))
    if counted[BOX]:
        source.note(f"{counted[BOX]} rectangles are no masks; what is in them and in no mask is ignored (255)")
    if others := sum(number for kind, number in counted.items() if kind not in (*FILLED, BOX)):
        source.note(f"{others} objects are neither bitmaps, polygons nor rectangles: they are left out")
    return names, samples


def _paint(path: Path, picture: Path, ids: dict[str, int]) -> Instances:
    """The objects of a file, painted."""
    file, where = read_json(path, File), str(path)
    shape = (file.size.height, file.size.width)
    check_frame(picture, shape, where)
    rings = [ring for each in file.objects for ring in (each.points.exterior, *each.points.interior)]
    check_count(len(rings), where)
    check_outlines(([value for corner in ring for value in corner] for ring in rings), where)
    numbers, known = np.zeros(shape, np.uint16), Shapes()
    painted = 0
    for each in file.objects:
        if each.kind == BOX and len(each.points.exterior) == 2:
            (x0, y0), (x1, y1) = each.points.exterior  # both corners are in the rectangle
            corners = min(x0, x1), min(y0, y1), max(x0, x1) + 1, max(y0, y1) + 1
            painted += paint_box(numbers, *corners, known.number(native.IGNORE, "box"))
            check_layers(painted, shape, where)
    for number, each in enumerate(file.objects, 1):
        here = f"{where}: object {number}"
        if each.kind not in FILLED:
            continue
        value = label_id(each.class_title, ids, here)
        top, left, inside = _bitmap(each, here) if each.kind == "bitmap" else _polygon(each.points, shape, here)
        check_layers(painted := painted + inside.size, shape, where)
        part, of_object = _placed(numbers, inside, top, left)
        part[of_object] = known.number(value)
    return known.painted(numbers)


def _placed(whole: np.ndarray, mask: np.ndarray, top: int, left: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of `whole` that a mask at (top, left) covers, as a view, and the part of the mask inside `whole`."""
    part = whole[max(top, 0) : max(top + mask.shape[0], 0), max(left, 0) : max(left + mask.shape[1], 0)]
    return part, mask[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]]


def _bitmap(each: Thing, where: str) -> tuple[int, int, np.ndarray]:
    if each.bitmap is None:
        raise UserError(f"{where}: is a bitmap without 'bitmap', of {printable(each.class_title[:60])}")
    left, top = each.bitmap.origin
    return top, left, packed_mask(each.bitmap.data, f"{where}: bitmap")


def _polygon(outline: Outline, shape: tuple[int, int], where: str) -> tuple[int, int, np.ndarray]:
    """A polygon's mask in its bounding box: (top, left, (h, w) bool). The borders of holes are outside the polygon."""
    if len(outline.exterior) < 3 or any(len(ring) < 3 for ring in outline.interior):
        raise UserError(f"{where}: a polygon's exterior and holes have three points or more")
    rings = [check_near([value for corner in ring for value in corner], shape, where) for ring in (outline.exterior, *outline.interior)]
    top, left, inside = fill_polygon(rings[0], shape)
    for ring in rings[1:]:
        y, x, hole = fill_polygon(ring, shape)
        part, of_hole = _placed(inside, hole, y - top, x - left)
        part &= ~of_hole
    return top, left, inside
