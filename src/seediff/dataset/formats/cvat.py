"""Writes and reads CVAT's "CVAT for images 1.1" with masks. Label maps come back exactly.

out/  annotations.xml            one <image> per sample, with a <mask> per class (or object): run lengths in its box;
                                 255 is "ignore"
      images/NAME.png or .jpg    pictures, as they are
      labels.json                not part of the format: the labels, to paste as "Raw" when a task is made
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import msgspec
import numpy as np

from ...errors import UserError
from ...files.documents import Node, fit, read_xml
from ...files.messages import show_json
from .. import native
from ..class_lists import IGNORED, check_meaning, number_labels
from ..encoding import Instances
from ..rows import stem_of
from ..sample import Sample
from ..shapes.objects import whole_classes
from ..shapes.rle import area, check_layers, paint_box, paint_runs, polygon_runs
from .drivers import Export, Source, portable
from .label_files import PARTS, Shapes, Side, by_object, check_frame, named_colours

ANNOTATIONS, IMAGES, LABELS = "annotations.xml", "images", "labels.json"
MASKS = ("mask", "polygon")
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
        f"        <label><name>{escape(name)}</name><color>{colour}</color><type>mask</type><attributes></attributes>"
        "</label>\n"
        for name, colour in named_colours(classes)
    )
    kind, about = "task", f"<size>{size}</size>\n      <mode>annotation</mode>"
    if subsets:
        kind, about = "project", f"<subsets>{''.join(f'<subset>{subset}</subset>' for subset in subsets)}</subsets>"
    return (
        f"  <meta>\n    <{kind}>\n      <name>SeeDiff</name>\n      {about}\n      <labels>\n{labels}      </labels>\n"
        f"    </{kind}>\n  </meta>\n"
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


Near = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 40)]


class Picture(msgspec.Struct, frozen=True):
    name: str
    width: Side
    height: Side
    subset: str = ""


class Mask(msgspec.Struct, frozen=True):
    """rle: run lengths in the box, row by row, outside first."""

    rle: str
    left: Count
    top: Count
    width: Side
    height: Side


class Box(msgspec.Struct, frozen=True):
    xtl: Near
    ytl: Near
    xbr: Near
    ybr: Near


class Shape(msgspec.Struct, frozen=True):
    """What masks and polygons have. z_order: those of a higher one are above. group_id: of the shapes of an object."""

    label: str
    z_order: int = 0
    group_id: int = 0


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
        raise UserError(track.where, "has tracks, which are of a video", "export the task as `CVAT for images 1.1`")
    nodes = [(node, fit(node.attributes, Picture, node.where, strict=False)) for node in root.all("image")]
    uses: defaultdict[str, list[str]] = defaultdict(list)
    for child in (child for node, _ in nodes for child in node.children):
        uses[child.attributes.get("label", "")].append(child.tag)
    classes, ids = _classes(root, uses, source)
    folders = [Path(images)] if images is not None else [file.parent / IMAGES, file.parent]
    stems = Counter(stem_of(portable(picture.name)) for _, picture in nodes)
    objects = by_object(
        [child.attributes.get("label", "") for child in node.children if child.tag in MASKS] for node, _ in nodes
    )
    samples = []
    for node, picture in nodes:
        subset, file_name = picture.subset, portable(picture.name)
        stem, names = stem_of(file_name), [file_name, *([f"{subset}/{file_name}"] if subset else [])]
        if at := source.picture(folders, names, "name", node.where):
            row = {"split": part} if (part := PARTS.get(subset.lower())) else {}
            name = f"{subset}/{stem}" if subset and stems[stem] > 1 else stem
            paint = partial(_paint, node, (picture.height, picture.width), at[0], ids)
            samples.append(source.sample(name, at[0], paint, row, node.where, objects=objects, shown=True))
    tags = [tag for used in uses.values() for tag in used]
    if boxes := tags.count("box"):
        source.note(f"{boxes} boxes are no masks; what is in them and in no mask is ignored (255)")
    if others := sum(tag in OTHERS for tag in tags):
        source.note(f"{others} ellipses, lines, points, cuboids or tags of pictures are no masks: they are left out")
    return classes, samples


def _classes(root: Node, uses: Mapping[str, Sequence[str]], source: Source) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes, and the id of each label. Labels of shapes that cannot be masks, and labels used only for whole
    pictures, are not classes. uses: the tags of each label's shapes."""
    labels = [label for kind in ("task", "project", "job") for label in root.all("meta", kind, "labels", "label")]
    listed = [
        (name.text.strip(), next((kind.text.strip() for kind in label.all("type")), ""))
        for label in labels
        for name in label.all("name")
    ]
    if not listed:
        raise UserError(root.where, "names no labels", "there must be <label><name>…</name></label> below <meta>")
    others = {
        name
        for name, kind in listed
        if {*uses[name]} == {"tag"} or (kind in OTHERS and {*MASKS, "box"}.isdisjoint(uses[name]))
    }
    if others:
        source.note(f"labels that name no mask are no classes: {', '.join(sorted(others))}")
    return number_labels([name for name, _ in listed if name not in others], root.where)


def _paint(node: Node, shape: tuple[int, int], picture: Path, ids: Mapping[str, int]) -> Instances:
    """The masks of an <image> of `shape` (H, W). Raises UserError unless its size is its picture's."""
    check_frame(picture, shape, node.where)
    numbers, known, painted = np.zeros(shape, np.int32, order="F"), Shapes(), 0
    for child in node.children:
        if child.tag == "box":
            box = fit(child.attributes, Box, child.where, strict=False)
            painted += paint_box(numbers, box.xtl, box.ytl, box.xbr, box.ybr, known.number(native.IGNORE, "box"))
            check_layers(painted, shape, node.where)
    shapes = [
        (fit(child.attributes, Shape, child.where, strict=False), child)
        for child in node.children
        if child.tag in MASKS
    ]
    for one, child in sorted(shapes, key=lambda shape: shape[0].z_order):
        if (class_id := ids.get(one.label, ids.get(one.label.casefold()))) is None:
            raise UserError(child.where, f"is of the label {show_json(one.label)}, which <meta> does not name")
        number = known.number(class_id, one.group_id or None)
        if child.tag == "mask":
            left, top, inside = _pixels(child, shape)
            check_layers(painted := painted + inside.size, shape, node.where)
            numbers[top : top + inside.shape[0], left : left + inside.shape[1]][inside] = number
        else:
            pairs = [pair.split(",") for pair in child.get("points").split(";")]
            corners = fit(pairs, list[tuple[float, float]], f"{child.where}: 'points'", strict=False)
            runs = polygon_runs([[value for corner in corners for value in corner]], shape, child.where)
            check_layers(painted := painted + area(runs), shape, node.where)
            paint_runs(numbers, runs, number)
    return known.painted(numbers)


def _pixels(node: Node, shape: tuple[int, int]) -> tuple[int, int, np.ndarray]:
    """Left, top and pixels (h, w) bool of a <mask>. Raises UserError unless its box is inside a picture of `shape`
    (H, W) and its run lengths fill the box."""
    mask = fit(node.attributes, Mask, node.where, strict=False)
    box = [mask.left, mask.top, mask.width, mask.height]
    if mask.left + mask.width > shape[1] or mask.top + mask.height > shape[0]:
        raise UserError(node.where, f"its mask's box {box} is not inside the picture of {shape[1]} × {shape[0]}")
    counts = fit([text.strip() for text in mask.rle.split(",")], list[Count], f"{node.where}: 'rle'", strict=False)
    if sum(counts) != mask.width * mask.height:
        problem = f"the run lengths of its mask add up to {sum(counts)}, not to {mask.width} × {mask.height}"
        raise UserError(node.where, problem)
    return mask.left, mask.top, np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(mask.height, mask.width)
