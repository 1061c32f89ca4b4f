"""Writes and reads CVAT's "CVAT for images 1.1" with masks. Label maps come back exactly.

out/  annotations.xml            one <image> per sample, with a <mask> per class (or object): run lengths in its box;
                                 255 is "ignore"
      images/NAME.png or .jpg    pictures, as they are
      labels.json                not part of the format: the labels, to paste as "Raw" when a task is made
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from ...errors import UserError
from ...files.documents import Node, read_xml
from ...files.messages import show_json
from .. import native
from ..class_lists import IGNORED, check_meaning, number_labels
from ..encoding import Instances
from ..rows import stem_of
from ..sample import Sample
from ..shapes.objects import whole_classes
from ..shapes.rle import area, check_layers, paint_box, paint_runs, polygon_runs
from .drivers import Export, Source, portable
from .label_files import PARTS, Shapes, by_object, check_frame, named_colours

ANNOTATIONS, IMAGES, LABELS = "annotations.xml", "images", "labels.json"
COUNTS = re.compile(r"\s*[0-9]{1,9}\s*(?:,\s*[0-9]{1,9}\s*)*")
MASKS, BOXES = ("mask", "polygon"), ("box",)
OTHERS = ("ellipse", "polyline", "points", "cuboid", "skeleton", "tag")


def write(export: Export, *, objects: bool = False) -> None:
    """ "CVAT for images 1.1", in the order of the samples' names. objects: a mask per object instead of one per
    class.
    """
    check_meaning(export.classes)
    several = [] if export.parts == ["train"] else export.parts
    images = []
    for placed in export.placed(draw, key=lambda name, split: name, objects=objects):
        export.put_image(f"{IMAGES}/{placed.file_name}", placed)
        (height, width), masks = placed.data
        subset = f' subset="{placed.split}"' if several else ""
        about = f'id="{len(images)}" name={quoteattr(placed.file_name)}{subset} width="{width}" height="{height}"'
        images.append(f"  <image {about}>\n{masks}  </image>\n")
    meta = _meta(export.classes, len(images), several)
    body = f"<annotations>\n  <version>1.1</version>\n{meta}{''.join(images)}</annotations>\n"
    export.put(ANNOTATIONS, f'<?xml version="1.0" encoding="utf-8"?>\n{body}')
    labels = [
        {"name": name, "color": colour, "type": "mask", "attributes": []}
        for name, colour in named_colours(export.classes)
    ]
    export.put(LABELS, json.dumps(labels, ensure_ascii=False, indent=1))


def _meta(classes: Sequence[str], size: int, subsets: Sequence[str]) -> str:
    labels = "".join(
        "       "
        f" <label><name>{escape(name)}</name><color>{colour}</color><type>mask</type>"
        "<attributes></attributes></label>\n"
        for name, colour in named_colours(classes)
    )
    kind = "project" if subsets else "task"
    parts = "".join(f"<subset>{subset}</subset>" for subset in subsets)
    about = (
        f"      <subsets>{parts}</subsets>\n"
        if subsets
        else f"      <size>{size}</size>\n      <mode>annotation</mode>\n"
    )
    return (
        f"  <meta>\n    <{kind}>\n      <name>SeeDiff</name>\n{about}      <labels>\n{labels}      </labels>\n   "
        f" </{kind}>\n  </meta>\n"
    )


def draw(sample: Sample, *, classes: Sequence[str], objects: bool) -> tuple[tuple[int, int], str]:
    """(height, width) of a sample and its <mask> elements. objects: those of the objects come first, then those of the
    classes in the rest of the label map."""
    labels = sample.labels(len(classes))
    names = {**dict(enumerate(classes, 1)), native.IGNORE: IGNORED[1]}
    shown = [sample.objects(labels)] if objects else []
    rest = np.where(shown[0].index >= 0, np.uint8(0), labels) if objects else labels
    masks = [
        _mask(names[class_id], found.index[top:bottom, left:right] == number, left, top)
        for found in (*shown, whole_classes(rest))
        for number, (class_id, (left, top, right, bottom)) in enumerate(
            zip(found.class_ids, found.boxes_xyxy, strict=True)
        )
    ]
    return (labels.shape[0], labels.shape[1]), "".join(masks)


def _mask(label: str, inside: np.ndarray, left: int, top: int) -> str:
    """A <mask>. inside: (h, w) bool, its pixels in the box at `left`, `top`; run lengths are outside, inside, outside
    …, row by row."""
    flat = inside.ravel()
    counts = np.diff(np.flatnonzero(flat[1:] != flat[:-1]) + 1, prepend=0, append=flat.size).tolist()
    rle = ", ".join(map(str, [0, *counts] if flat[0] else counts))
    place = f'left="{left}" top="{top}" width="{inside.shape[1]}" height="{inside.shape[0]}"'
    return f'    <mask label={quoteattr(label)} source="auto" occluded="0" rle="{rle}" {place} z_order="0"></mask>\n'


def is_folder(folder: Path) -> bool:
    return find_file(folder).is_file()


def find_file(folder: Path) -> Path:
    """The only XML file of CVAT in a folder without annotations.xml, because exports of a subset are named after it;
    otherwise annotations.xml, even if it is missing."""
    others = [path for path in folder.glob("*.xml") if path.is_file() and _root(path) == "annotations"]
    return folder / ANNOTATIONS if (folder / ANNOTATIONS).is_file() or len(others) != 1 else others[0]


def _root(path: Path) -> str | None:
    """The tag of a file's root; None if it is no XML."""
    try:
        with path.open("rb") as file:
            return next(ElementTree.iterparse(file, ("start",)))[1].tag
    except (ElementTree.ParseError, StopIteration, ValueError, LookupError):
        return None


def read(source: Source, *, images: Path | str | None = None) -> tuple[tuple[str, ...], list[Sample]]:
    """An unpacked export of "CVAT for images 1.1", or its XML file.

    Classes are its labels in their order; `ignore`, `ignored`, `void` and `unlabeled` become 255. images: the folder of
    the pictures; None: images/, or beside the file.

    Masks and polygons are painted in the order of `z_order`, then of the file; `by_object` decides whether they are
    objects. Pixels in a box but in no mask are ignored, because a box is not a mask; other shapes are left out.
    """
    file = find_file(source.path) if source.path.is_dir() else source.path
    root = read_xml(file, "annotations", absent="there is no such file; CVAT's export for images has one")
    if track := next(root.all("track"), None):
        raise UserError(f"{track.where}: has tracks, which are of a video; export the task as `CVAT for images 1.1`")
    classes, ids = _classes(root, source)
    folders = [Path(images)] if images is not None else [file.parent / IMAGES, file.parent]
    counted: Counter[str] = Counter()
    stems = Counter(stem_of(portable(node.get("name"))) for node in root.all("image"))
    objects = by_object(
        [child.attributes.get("label", "") for child in node.children if child.tag in MASKS]
        for node in root.all("image")
    )
    samples = []
    for node in root.all("image"):
        file_name, subset = portable(node.get("name")), node.attributes.get("subset", "")
        if (
            at := source.picture(
                folders, [file_name, *([f"{subset}/{file_name}"] if subset else [])], "name", node.where
            )
        ) is None:
            continue
        picture, stem = at[0], stem_of(file_name)
        row = {"split": part} if (part := PARTS.get(subset.lower())) else {}
        counted.update(
            "box" if child.tag in BOXES else "other" for child in node.children if child.tag in BOXES + OTHERS
        )
        name = f"{subset}/{stem}" if subset and stems[stem] > 1 else stem
        paint = partial(_paint, node, picture, ids)
        samples.append(source.sample(name, picture, paint, row, node.where, objects=objects, shown=True))
    if counted["box"]:
        source.note(f"{counted['box']} boxes are no masks; what is in them and in no mask is ignored (255)")
    if counted["other"]:
        source.note(
            f"{counted['other']} ellipses, lines, points, cuboids or tags of pictures are no masks: they are left out"
        )
    return classes, samples


def _classes(root: Node, source: Source) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes, and the id of each label. Labels of shapes that cannot be masks, and labels used only for whole
    pictures, are not classes."""
    uses: defaultdict[str, set[str]] = defaultdict(set)
    for child in (child for image in root.all("image") for child in image.children):
        uses[child.attributes.get("label", "")].add("mask" if child.tag in MASKS + BOXES else child.tag)
    labels = [label for kind in ("task", "project", "job") for label in root.all("meta", kind, "labels", "label")]
    kinds = {
        name.text.strip(): kind.text.strip()
        for label in labels
        for name in label.all("name")
        for kind in label.all("type")
    }
    others = {name for name, kind in kinds.items() if kind in OTHERS and "mask" not in uses[name]}
    others |= {name for name, used in uses.items() if used == {"tag"}}
    named = [(name.text.strip(), name.where) for label in labels for name in label.all("name")]
    if not named:
        raise UserError(f"{root.where}: names no labels; there must be <label><name>…</name></label> below <meta>")
    if others := sorted(others):
        source.note(f"labels that name no mask are no classes: {', '.join(others)}")
    return number_labels([name for name, _ in named if name not in others], named[0][1])


def _paint(node: Node, picture: Path, ids: dict[str, int]) -> Instances:
    """The masks of an <image>. Raises UserError unless its size is its picture's."""
    shape = node.whole("height"), node.whole("width")
    check_frame(picture, shape, node.where)
    masks = [child for child in node.children if child.tag in MASKS]
    boxes = [child for child in node.children if child.tag in BOXES]
    numbers, known = np.zeros(shape, np.int32, order="F"), Shapes()
    painted = 0
    for box in boxes:
        left, top, right, bottom = (_number(box, name) for name in ("xtl", "ytl", "xbr", "ybr"))
        painted += paint_box(numbers, left, top, right, bottom, known.number(native.IGNORE, "box"))
        check_layers(painted, shape, node.where)
    for mask in sorted(masks, key=lambda mask: mask.whole("z_order", 0)):
        label = mask.get("label")
        if (class_id := ids.get(label, ids.get(label.casefold()))) is None:
            raise UserError(f"{mask.where}: is of the label {show_json(label)}, which <meta> does not name")
        number = known.number(class_id, mask.whole("group_id", 0) or None)
        if mask.tag == "mask":
            left, top, inside = _pixels(mask, shape)
            check_layers(painted := painted + inside.size, shape, node.where)
            numbers[top : top + inside.shape[0], left : left + inside.shape[1]][inside] = number
        else:
            runs = polygon_runs([_corners(mask)], shape, mask.where)
            check_layers(painted := painted + area(runs), shape, node.where)
            paint_runs(numbers, runs, number)
    return known.painted(numbers)


def _pixels(node: Node, shape: tuple[int, int]) -> tuple[int, int, np.ndarray]:
    """Left, top and pixels (h, w) bool of a <mask>. Raises UserError unless its box is inside a picture of `shape`
    (H, W) and its run lengths fill the box."""
    left, top, width, height = (node.whole(name) for name in ("left", "top", "width", "height"))
    if min(left, top) < 0 or min(width, height) < 1 or left + width > shape[1] or top + height > shape[0]:
        raise UserError(
            f"{node.where}: its mask's box {[left, top, width, height]} is not inside the picture of {shape[1]} ×"
            f" {shape[0]}"
        )
    text = node.get("rle")
    if not COUNTS.fullmatch(text):
        raise UserError(f"{node.where}: 'rle' must be whole numbers separated by commas, not {show_json(text)}")
    counts = np.array([int(count) for count in text.split(",")], np.int64)
    if counts.sum() != width * height:
        raise UserError(
            f"{node.where}: the run lengths of its mask add up to {counts.sum()}, not to {width} × {height}"
        )
    return left, top, np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)


def _number(node: Node, name: str) -> float:
    text = node.get(name)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:  # also true for NaN
        raise UserError(f"{node.where}: '{name}' of <{node.tag}> must be a number, not {show_json(text)}")
    return value


def _corners(node: Node) -> list[float]:
    """x, y, x, y, … of a polygon's `points`."""
    text = node.get("points")
    try:
        pairs = [[float(value) for value in pair.split(",")] for pair in text.split(";")]
    except ValueError:
        pairs = [[]]
    if any(len(pair) != 2 for pair in pairs):
        raise UserError(f"{node.where}: 'points' must be x,y;x,y;… of a polygon's corners, not {show_json(text)}")
    return [value for pair in pairs for value in pair]
