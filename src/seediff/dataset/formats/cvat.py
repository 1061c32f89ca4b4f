"""CVAT's "CVAT for images 1.1" with masks, out and in. Label maps come back exactly.

out/  annotations.xml            an <image> a sample with a <mask> a class (or a connected piece): run lengths in its box; 255 is "ignore"
      images/NAME.png or .jpg    pictures, as they are
      labels.json                not part of the format: the labels, to be pasted as "Raw" where a task is made
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from ...config.names import BACKGROUND
from ...errors import UserError
from ...files.documents import Node, read_xml
from ...files.label_maps import voc_palette
from ...files.messages import printable, shown
from ...files.pictures import check_pixels
from ...files.places import put, staged
from ...files.reading import path_inside
from .. import native
from ..rows import check_class_list, check_name
from ..sample import SPLITS, Sample, picture_size
from ..shapes.boxed import Boxed, boxed, boxed_at
from ..shapes.rle import check_count, check_layers, paint_runs
from ..split import assign_splits
from .coco.masks import check_outlines, polygon_runs
from .exporting import Exported, no_note, worked_on
from .options import CvatOptions
from .voc_masks import IGNORED

ANNOTATIONS, IMAGES, LABELS = "annotations.xml", "images", "labels.json"
IGNORE = IGNORED[1]
"""What 255 is called."""
COUNTS = re.compile(r"\s*[0-9]{1,9}\s*(?:,\s*[0-9]{1,9}\s*)*")
MASKS, BOXES = ("mask", "polygon"), ("box",)
OTHERS = ("ellipse", "polyline", "points", "cuboid", "skeleton")


def export_cvat(
    classes: Sequence[str],
    items: Iterable[Sample],
    out: Path | str,
    options: CvatOptions | None = None,
) -> Exported:
    """Write a folder for CVAT, its images in the order of their names. `out` appears only when everything is in it.

    Raises UserError naming the sample that cannot be used, and a class whose name means 255.
    """
    options = options or CvatOptions()
    check_class_list(classes)
    check_ignored(classes)
    items = sorted(items, key=lambda item: item.name)
    splits = assign_splits([item.name for item in items], [item.metadata for item in items], options.split, options.seed)
    several = {*splits} - {"train"}
    taken: set[str] = set()
    images = []
    with (
        staged(out) as part,
        worked_on(items, partial(_masks, classes=classes, objects=options.objects), options.workers) as drawn,
    ):
        for number, (split, (item, (shape, masks))) in enumerate(zip(splits, drawn, strict=True)):
            check_name(item.name, taken)
            file_name = f"{item.name}.{item.suffix}"
            item.put_image(part / IMAGES / file_name, link=options.link)
            subset = f' subset="{split}"' if several else ""
            size = f'width="{shape[1]}" height="{shape[0]}"'
            images.append(f'  <image id="{number}" name={quoteattr(file_name)}{subset} {size}>\n{masks}  </image>\n')
        meta = _meta(classes, len(items), [one for one in SPLITS if one in splits] if several else [])
        text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n{meta}{"".join(images)}</annotations>\n'
        put(part / ANNOTATIONS, text.encode("utf-8"))
        labels = [{"name": name, "color": colour, "type": "mask", "attributes": []} for name, colour in named_colours(classes)]
        put(part / LABELS, json.dumps(labels, ensure_ascii=False, indent=1).encode("utf-8"))
    return Exported(len(items), len(items) + 2)


def check_ignored(classes: Sequence[str]) -> None:
    """Raise UserError for a class whose name means 255 in this format."""
    if meant := next((name for name in classes if name.casefold() in IGNORED), None):
        raise UserError(f"class '{meant}': means pixels that are ignored in this format; give it another name in {native.CLASSES}")


def named_colours(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Names with their colours, VOC's."""
    palette = voc_palette()
    named = [*enumerate(classes, 1), (native.IGNORE, IGNORE)]
    return [(name, "#" + bytes(palette[3 * i : 3 * i + 3]).hex()) for i, name in named]


def _meta(classes: Sequence[str], size: int, subsets: Sequence[str]) -> str:
    labels = "".join(
        f"        <label><name>{escape(name)}</name><color>{colour}</color><type>mask</type><attributes></attributes></label>\n"
        for name, colour in named_colours(classes)
    )
    kind = "project" if subsets else "task"
    parts = "".join(f"<subset>{one}</subset>" for one in subsets)
    about = f"      <subsets>{parts}</subsets>\n" if subsets else f"      <size>{size}</size>\n      <mode>annotation</mode>\n"
    return f"  <meta>\n    <{kind}>\n      <name>SeeDiff</name>\n{about}      <labels>\n{labels}      </labels>\n    </{kind}>\n  </meta>\n"


def _masks(item: Sample, *, classes: Sequence[str], objects: bool) -> tuple[tuple[int, int], str]:
    """(height, width) of an item and its <mask> elements, by class, then in the order of pieces."""
    labels = item.labels(len(classes))
    names = {**dict(enumerate(classes, 1)), native.IGNORE: IGNORE}
    drawn: list[tuple[int, Boxed]] = []
    if objects:
        found = item.objects(labels)
        for number, (class_id, (left, top, right, bottom)) in enumerate(zip(found.class_ids, found.boxes_xyxy, strict=True)):
            drawn.append((class_id, boxed_at(found.index[top:bottom, left:right] == number, left, top)))
    whole = [native.IGNORE] if objects else [number for number in np.unique(labels).tolist() if number]
    drawn += [(number, boxed(labels == number)) for number in whole if (labels == number).any()]
    return labels.shape, "".join(_mask(names[class_id], one) for class_id, one in drawn)


def _mask(label: str, one: Boxed) -> str:
    place = f'left="{one.left}" top="{one.top}" width="{one.width}" height="{one.height}"'
    rle = ", ".join(map(str, one.counts.tolist()))
    return f'    <mask label={quoteattr(label)} source="auto" occluded="0" rle="{rle}" {place} z_order="0"></mask>\n'


def is_cvat(folder: Path) -> bool:
    return (folder / ANNOTATIONS).is_file()


def import_cvat(
    source: Path | str, *, images: Path | str | None = None, note: Callable[[str], None] = no_note
) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes, without the background, and samples of an unpacked export of "CVAT for images 1.1", or of its XML file.

    Classes are its labels in their order; the label `background` is background, and `ignore`, `ignored`, `void` and `unlabeled` are 255.
    Masks and polygons are painted in the order of `z_order`, then of the file. A box is no mask: what is in it and in no mask is ignored,
    and `note` is told; so it is of ellipses, lines, points and cuboids, which are left out. images: where the pictures are; None: in
    images/ or beside the file. Raises UserError naming the file and line.
    """
    source = Path(source)
    file = source / ANNOTATIONS if source.is_dir() else source
    root = read_xml(file, "annotations", absent="there is no such file; CVAT's export for images has one")
    if track := next(root.all("track"), None):
        raise UserError(f"{track.where}: has tracks, which are of a video; export the task as `CVAT for images 1.1`")
    names, ids = _classes(root)
    folders = [Path(images)] if images is not None else [file.parent / IMAGES, file.parent]
    counted: Counter[str] = Counter()
    taken: set[str] = set()
    items = []
    for node in root.all("image"):
        file_name, subset = node.get("name"), node.attributes.get("subset", "")
        picture = _picture(folders, file_name, subset, node.where)
        name = Path(file_name).with_suffix("").as_posix()
        try:
            check_name(name, taken)
        except UserError as error:
            raise UserError(f"{node.where}: {error}") from error
        row = {"split": subset.lower()} if subset.lower() in SPLITS else {}
        counted.update("box" if one.tag in BOXES else "other" for one in node.children if one.tag in BOXES + OTHERS)
        items.append(Sample(picture, partial(_paint, node, picture, ids), metadata=row, name=name))
    if counted["box"]:
        note(f"{counted['box']} boxes are no masks; what is in them and in no mask is ignored (255)")
    if counted["other"]:
        note(f"{counted['other']} ellipses, lines, points or cuboids are no masks: they are left out")
    return names, items


def _classes(root: Node) -> tuple[tuple[str, ...], dict[str, int]]:
    """Classes, and the id of each label."""
    labels = [label for kind in ("task", "project", "job") for label in root.all("meta", kind, "labels", "label")]
    named = [(name.text.strip(), name.where) for label in labels for name in label.all("name")]
    if not named:
        raise UserError(f"{root.where}: names no labels; there must be <label><name>…</name></label> below <meta>")
    meant = {BACKGROUND: 0, **dict.fromkeys(IGNORED, native.IGNORE)}
    names = tuple(name for name, _ in named if name.casefold() not in meant)
    try:
        check_class_list(names)
    except UserError as error:
        raise UserError(f"{named[0][1]}: {error}") from error
    ids = {name: meant[name.casefold()] for name, _ in named if name.casefold() in meant}
    return names, {**ids, **{name: number for number, name in enumerate(names, 1)}}


def _picture(folders: Sequence[Path], file_name: str, subset: str, where: str) -> Path:
    tried = []
    for folder in folders:
        for inner in (file_name, f"{subset}/{file_name}") if subset else (file_name,):
            tried.append(path_inside(folder, {"name": inner}, "name", where))
            if tried[-1].is_file():
                return tried[-1]
    raise UserError(f"{where}: there is no picture {shown(file_name)} in {folders[0]}; --images names another folder")


def _paint(node: Node, picture: Path, ids: dict[str, int]) -> np.ndarray:
    """(H, W) uint8 of an <image>, whose size must be its picture's."""
    shape = node.whole("height"), node.whole("width")
    if (size := picture_size(picture)) != shape:
        raise UserError(f"{node.where}: is {shape}, but its picture {picture} is {size}; both are (height, width)")
    check_pixels((shape[1], shape[0]), node.where)
    labels = np.zeros(shape, np.uint8, order="F")
    for one in (one for one in node.children if one.tag in BOXES):
        corners = [_number(one, name) for name in ("xtl", "ytl", "xbr", "ybr")]
        left, top = (max(0, math.floor(corner)) for corner in corners[:2])
        right, bottom = (max(0, math.ceil(corner)) for corner in corners[2:])
        labels[top:bottom, left:right] = native.IGNORE
    drawn = [one for one in node.children if one.tag in MASKS]
    check_count(len(drawn), node.where)
    check_outlines((_corners(one) for one in drawn if one.tag == "polygon"), node.where)
    painted = 0
    for one in sorted(drawn, key=lambda one: one.whole("z_order", 0)):
        if (label := one.get("label")) not in ids:
            raise UserError(f"{one.where}: is of the label {shown(label)}, which <meta> does not name")
        if one.tag == "mask":
            box = _boxed(one, shape)
            check_layers(painted := painted + box.width * box.height, shape, node.where)
            box.paint(labels, ids[label])
        else:
            paint_runs(labels, polygon_runs([_corners(one)], shape, one.where), ids[label])
    return np.ascontiguousarray(labels)


def _boxed(one: Node, shape: tuple[int, int]) -> Boxed:
    """A <mask>, whose box lies in a picture of `shape` and is filled by its run lengths."""
    left, top, width, height = (one.whole(name) for name in ("left", "top", "width", "height"))
    if min(left, top) < 0 or min(width, height) < 1 or left + width > shape[1] or top + height > shape[0]:
        raise UserError(f"{one.where}: its mask's box {[left, top, width, height]} is not inside the picture of {shape[1]} × {shape[0]}")
    text = one.get("rle")
    if not COUNTS.fullmatch(text):
        raise UserError(f"{one.where}: 'rle' must be whole numbers with commas between, not {shown(text)}")
    counts = np.array([int(count) for count in text.split(",")], np.int64)
    if counts.sum() != width * height:
        raise UserError(f"{one.where}: the run lengths of its mask add up to {counts.sum()}, not to {width} × {height}")
    return Boxed(left, top, width, height, counts)


def _number(one: Node, name: str) -> float:
    text = one.get(name)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:  # true for NaN too
        raise UserError(f"{one.where}: '{name}' of <{printable(one.tag)}> must be a number, not {shown(text)}")
    return value


def _corners(one: Node) -> list[float]:
    """x, y, x, y, … of a polygon's `points`."""
    text = one.get("points")
    try:
        pairs = [[float(value) for value in pair.split(",")] for pair in text.split(";")]
    except ValueError:
        pairs = [[]]
    if any(len(pair) != 2 for pair in pairs):
        raise UserError(f"{one.where}: 'points' must be x,y;x,y;… of a polygon's corners, not {shown(text)}")
    return [value for pair in pairs for value in pair]
