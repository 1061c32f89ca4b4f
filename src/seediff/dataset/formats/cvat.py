"""Writes and reads CVAT's format "CVAT for images 1.1" with masks. Label maps come back exactly.

out/  annotations.xml            one <image> per sample, with a <mask> per class, or per object if the sample has
                                 `instances`, as run lengths in its box; 255 is the label "ignore"
      images/NAME.png or .jpg    pictures, as they are
      labels.json                not part of the format: the labels, to paste as "Raw" when a task is made
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated
from xml.sax.saxutils import escape, quoteattr

import msgspec
import numpy as np

from ...errors import UserError
from ...files.photo_files import visible
from ...files.reading import Json, Node, fit
from ..sample import Sample
from ..shapes.rle import box_runs, ellipse_runs, mask_runs, polygon_runs
from .exporting import Export, written_masks
from .labelled import Labelled, Shapes, Wanted
from .painting import Near, Shape, Side, around_runs, is_box
from .set_files import given_or
from .source import Contents, Source

ANNOTATIONS = "annotations.xml"
IMAGES = "images"
LABELS = "labels.json"
CORNERS = ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")
"""Names of a cuboid's corners. The attributes xtl1 and ytl1 are x and y of the corner tl1."""
ATTRIBUTE: Json = {
    "name": "confidence",
    "mutable": False,
    "input_type": "number",
    "default_value": "1",
    "values": ["0", "1", "0.0001"],  # the lowest, the highest, and the step
}
"""The attribute of masks. One that a person draws in CVAT gets the default."""
FILLED = ("mask", "polygon", "ellipse")
"""Tags of shapes, besides boxes, that have an inside."""


def write(export: Export) -> None:
    """Writes annotations.xml, labels.json and the pictures."""
    subsets = export.parts
    if subsets == ["train"]:
        subsets = []
    images = []
    for placed in sorted(export.placed(draw, names=export.labels), key=lambda placed: placed.name):
        export.put(f"{IMAGES}/{placed.file_name}", placed.picture)
        about = f'id="{len(images)}" name={quoteattr(placed.file_name)}'
        if subsets:
            about += f' subset="{placed.split}"'
        size = f'width="{placed.width}" height="{placed.height}"'
        images.append(f"  <image {about} {size}>\n{placed.encoded}  </image>\n")
    attributes: list[Json] = []
    declared = ""
    if any("<attribute" in image for image in images):
        attributes = [ATTRIBUTE]
        in_lines = {**ATTRIBUTE, "values": "\n".join(ATTRIBUTE["values"])}
        declared = "".join(f"<{key}>{value}</{key}>" for key, value in in_lines.items())
        declared = f"<attribute>{declared}</attribute>"
    kinds = f"<type>mask</type><attributes>{declared}</attributes>"
    labels = "".join(
        f"        <label><name>{escape(name)}</name><color>{colour}</color>{kinds}</label>\n"
        for name, colour in export.colours
    )
    kind, about = "task", f"<size>{len(images)}</size>\n      <mode>annotation</mode>"
    if subsets:
        kind, about = "project", f"<subsets>{''.join(f'<subset>{subset}</subset>' for subset in subsets)}</subsets>"
    meta = (
        f"  <meta>\n    <{kind}>\n      <name>SeeDiff</name>\n      {about}\n      <labels>\n{labels}      </labels>\n"
        f"    </{kind}>\n  </meta>\n"
    )
    body = f"<annotations>\n  <version>1.1</version>\n{meta}{''.join(images)}</annotations>\n"
    export.put(ANNOTATIONS, f'<?xml version="1.0" encoding="utf-8"?>\n{body}')
    listed = [
        {"name": name, "color": colour, "type": "mask", "attributes": attributes} for name, colour in export.colours
    ]
    export.put(LABELS, json.dumps(listed, ensure_ascii=False, indent=1))


def draw(sample: Sample, labels: np.ndarray, names: Mapping[int, str]) -> str:
    """The <mask> elements of a sample, with the confidence of their class's mask if the row has it. labels: the label
    map (H, W). names: id → label."""
    text = ""
    scores = sample.row.confidence or {}
    for class_id, inside, (left, top, right, bottom) in written_masks(sample, labels):
        flat = inside.ravel()
        counts = np.diff(np.flatnonzero(flat[1:] != flat[:-1]) + 1, prepend=0, append=flat.size).tolist()
        if flat[0]:  # run lengths begin outside
            counts.insert(0, 0)
        about = f'label={quoteattr(names[class_id])} source="auto" occluded="0" rle="{", ".join(map(str, counts))}"'
        place = f'left="{left}" top="{top}" width="{right - left}" height="{bottom - top}"'
        sure = scores.get(names[class_id])
        of_mask = "" if sure is None else f'<attribute name="confidence">{sure}</attribute>'
        text += f'    <mask {about} {place} z_order="0">{of_mask}</mask>\n'
    return text


Pixels = Annotated[int, msgspec.Meta(ge=0, lt=1 << 40)]


class CvatImage(msgspec.Struct, frozen=True):
    """The attributes of an <image>."""

    name: str
    width: Side
    height: Side
    subset: str = ""


class CvatShape(msgspec.Struct, frozen=True):
    """The attributes of a <mask>, <polygon> or <ellipse>."""

    label: str
    z_order: int = 0
    group_id: int = 0
    """The number of the group, or 0. The shapes of a group are one object."""
    points: str = ""
    rle: str = ""
    """Run lengths in the mask's box, row by row: pixels outside, inside, outside, …"""
    left: Pixels = 0
    top: Pixels = 0
    width: Pixels = 0
    height: Pixels = 0
    cx: Near = 0
    cy: Near = 0
    rx: Near = 0
    ry: Near = 0
    rotation: Near = 0
    """The clockwise turn of the ellipse in degrees."""

    def corners(self, where: str) -> list[tuple[float, float]]:
        """The corners of a polygon. where: its name in errors. Raises UserError."""
        pairs = [pair.split(",") for pair in self.points.replace(" ", "").split(";")]
        return fit(pairs, list[tuple[Near, Near]], f"{where}: 'points'", strict=False)


class Box(msgspec.Struct, frozen=True):
    """The attributes of a <box>."""

    xtl: Near
    ytl: Near
    xbr: Near
    ybr: Near
    rotation: Near = 0


def read(source: Source) -> Contents:
    """Reads an unpacked export of "CVAT for images 1.1", or its XML file. The pictures are in images/, or beside the
    file. Raises UserError.

    The labels are the classes, in their order. Labels such as `ignore` and `void` (IGNORED) mean 255. Masks, polygons
    and ellipses are painted in the order of `z_order`, then of the file. `by_object` decides whether they are objects.
    Pixels that are only in boxes are ignored (255). Other shapes are left out.
    """
    file = source.file(ANNOTATIONS)
    root = source.files.xml(file, "annotations")
    for track in root.all("track"):
        raise UserError(track.where, "has tracks, which belong to videos", "export the task as `CVAT for images 1.1`")
    labels = chain(*(root.all("meta", kind, "labels", "label", "name") for kind in ("task", "project", "job")))
    names = [label.text.strip() for label in labels]
    if not names:
        raise UserError(root.where, "lists no labels", "there must be <label><name>…</name></label> below <meta>")
    folders = given_or(source.images, file.parent / IMAGES, file.parent)
    contents = source.shapes_of([_labelled(node, folders) for node in root.all("image")], names, file)
    source.not_read(visible(file.parent, "*.xml"), [file])
    return contents


def _labelled(node: Node, folders: Sequence[Path]) -> Labelled[Shapes]:
    """What an <image> says. folders: where its picture may be. Raises UserError."""
    image = fit(node.attributes, CvatImage, node.where, strict=False)
    name = f"{image.subset}/{image.name}".removeprefix("/")
    shapes = Shapes(partial(map, _shape, node.children), (image.height, image.width))
    return Labelled(node.where, Wanted([name], folders, top=image.subset), shapes, image.subset)


def _shape(node: Node) -> Shape:
    """A shape of an <image>. Raises UserError."""
    label = node.attributes.get("label", "")
    where = node.where
    if node.tag == "box":
        box = fit(node.attributes, Box, where, strict=False)
        sides = {"left": box.xtl, "top": box.ytl, "right": box.xbr, "bottom": box.ybr}
        return Shape(where, node.tag, label, partial(box_runs, **sides, degrees=box.rotation), True)
    if node.tag == "cuboid":
        pairs = [(node.get(f"x{corner}"), node.get(f"y{corner}")) for corner in CORNERS]
        corners = fit(pairs, list[tuple[Near, Near]], where, strict=False)
        return Shape(where, node.tag, label, partial(around_runs, corners=corners), True)
    if node.tag not in FILLED:
        return Shape(where, node.tag, label)
    one = fit(node.attributes, CvatShape, where, strict=False)
    boxed = node.tag == "polygon" and is_box(one.corners(where))
    runs = partial(_runs, one=one, node=node)
    return Shape(where, node.tag, one.label, runs, boxed, one.group_id or None, one.z_order)


def _runs(frame: tuple[int, int], one: CvatShape, node: Node) -> np.ndarray:
    """The run lengths of a shape in a picture of the size `frame`, (H, W). one: the attributes of its element. Raises
    UserError."""
    where = node.where
    height, width = frame
    if node.tag == "polygon":
        return polygon_runs([[*chain(*one.corners(where))]], frame, where)
    if node.tag == "ellipse":
        return ellipse_runs(frame, complex(one.cx, one.cy), one.rx, one.ry, one.rotation, where)
    counts = fit(one.rle.replace(" ", "").split(","), list[Pixels], f"{where}: 'rle'", strict=False)
    inner = one.left + one.width <= width and one.top + one.height <= height
    if not inner or sum(counts) != one.width * one.height:
        what = f"its mask is not inside the image of {width} × {height}"
        raise UserError(where, f"{what}, or its run lengths do not fill its box")
    inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(one.height, one.width)
    return mask_runs(inside, frame, one.left, one.top)
