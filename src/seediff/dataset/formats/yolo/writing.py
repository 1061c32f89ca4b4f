"""YOLO's folders for segmentation, as Ultralytics trains from them, and its label files. Objects come back exactly; ignored pixels do not.

out/  data.yaml                     where the pictures of each split are, and the names of the classes, whose numbers count from 0
      images/{train,val}/NAME.jpg   pictures, as they are
      labels/{train,val}/NAME.txt   a line per object: class number, then x and y of each corner as shares of the picture's sides
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ....errors import UserError, first_line
from ....files.messages import shown
from ....files.places import put, staged
from ....metrics.confusion import iou_of_present
from ... import native
from ...rows import check_class_list, check_name, flat_name
from ...sample import Sample
from ...shapes.joining import carried
from ...shapes.objects import Objects, find_objects
from ...shapes.polygons import fill_polygon, object_polygons
from ...shapes.rle import check_count
from ...split import assign_splits
from ..exporting import Exported, worked_on
from ..options import FolderOptions

DATA, IMAGES, LABELS = "data.yaml", "images", "labels"
KEPT = 1 << 28
"""Bytes of filled polygons that are kept until all are known; what is more is filled twice."""


def export_yolo(
    classes: Sequence[str],
    items: Iterable[Sample],
    out: Path | str,
    options: FolderOptions | None = None,
) -> Exported:
    """Write a YOLO folder. `out` appears only when everything is in it.

    The notes say what was lost, with the IoU of every sample's polygons, filled as readers fill them, with its mask.
    Raises UserError naming the sample that cannot be used.
    """
    options = options or FolderOptions()
    check_class_list(classes)
    items = list(items)
    names = [flat_name(item.name) for item in items]
    splits = assign_splits(names, [item.metadata for item in items], options.split, options.seed)
    taken: set[str] = set()
    scores: list[tuple[float, str]] = []
    ignored = pixels = small = joined = 0
    outline_ = partial(outline, classes=len(classes), min_area=options.min_area)
    with staged(out) as part, worked_on(items, outline_, options.workers) as outlined:
        for name, own, (item, its) in zip(names, splits, outlined, strict=True):
            check_name(name, taken)
            item.put_image(part / IMAGES / own / f"{name}.{item.suffix}", link=options.link)
            put(part / LABELS / own / f"{name}.txt", its.text.encode("ascii"))
            scores += [] if its.iou is None else [(its.iou, name)]
            ignored += its.ignored
            pixels += its.pixels
            small += its.small
            joined += its.joined
        if "train" not in splits:
            (part / IMAGES / "train").mkdir(parents=True, exist_ok=True)  # data.yaml names it, and readers want it
        put(part / DATA, data_yaml(classes, splits).encode("utf-8"))
    notes = []
    if scores:
        mean, (lowest, worst) = math.fsum(score for score, _ in scores) / len(scores), min(scores)
        notes.append(
            f"IoU of the polygons with the masks: {mean:.4f} on average over {len(scores)} samples, at least {lowest:.4f} ({worst})"
        )
    if ignored:
        notes.append(f"{ignored / pixels:.2%} of all pixels are ignored (255) in the masks; the format has no such thing: background in it")
    if joined:
        notes.append(f"{joined} objects of several joined pieces are a line per piece: a polygon of the format is one piece")
    if small:
        notes.append(f"{small} pieces below {options.min_area} pixels are left out")
    if "train" not in splits:
        notes.append(f"no samples for training: {IMAGES}/train is empty")
    if "val" not in splits:
        notes.append(f"no samples for validation: val in {DATA} is the training set; a split of 0.1 sets a tenth aside")
    return Exported(len(items), 2 * len(items) + 1, tuple(notes))


@dataclass(frozen=True)
class Outlined:
    """A sample's label file. iou: of it with the mask; None: that shows nothing. ignored, of all pixels. small: pieces left out.
    joined: objects of several pieces."""

    text: str
    iou: float | None
    ignored: int
    pixels: int
    small: int
    joined: int


def outline(item: Sample, *, classes: int, min_area: int) -> Outlined:
    labels = item.labels(classes)
    found = find_objects(labels, min_area)
    text = as_yolo(labels, found)
    iou = iou_of_present(labels, from_yolo(text, labels.shape, classes, item.name))
    joined = len(carried(labels, labels, item.joined(labels.shape)))  # without those that name one piece, or none
    return Outlined(text, iou, int((labels == native.IGNORE).sum()), labels.size, found.small, joined)


def as_yolo(label_map: np.ndarray, found: Objects) -> str:
    """The lines of a label file: the objects of label_map (H, W) in their order. Without objects the text is empty."""
    sides = np.array(label_map.shape[::-1], np.float64)
    lines = []
    for class_id, polygon in zip(found.class_ids, object_polygons(label_map, found), strict=True):
        shares = (polygon / sides).ravel().tolist()
        lines.append(f"{class_id - 1} " + " ".join([f"{share:.6f}" for share in shares]) + "\n")
    return "".join(lines)


def from_yolo(text: str, shape: tuple[int, ...], classes: int | Sequence[int], where: str | Path) -> np.ndarray:
    """(H, W) uint8 of class ids, from 1, from a label file's text: polygons filled as Ultralytics does, small ones over large ones.

    classes: how many, or their numbers in the file, in the order of ids. where: how an error calls the text. Raises UserError naming the
    line that is no polygon of one of the classes.
    """
    height, width = shape
    ids = {str(number): i for i, number in enumerate(range(classes) if isinstance(classes, int) else classes, 1)}
    polygons: list[tuple[int, int, np.ndarray]] = []
    kept: dict[int, tuple[int, int, np.ndarray]] = {}
    room = KEPT
    lines = text.splitlines()
    check_count(len(lines), str(where))
    for number, line in enumerate(lines, 1):
        if line.strip():
            class_id, shares = _parse_line(line, ids, f"{where}, line {number}")
            filled = fill_polygon(shares * (width, height), (height, width))
            if (room := room - filled[2].size) >= 0:
                kept[len(polygons)] = filled
            polygons.append((int(filled[2].sum()), class_id, shares))
    label_map = np.zeros((height, width), np.uint8)
    for place in sorted(range(len(polygons)), key=lambda place: -polygons[place][0]):
        _, class_id, shares = polygons[place]
        top, left, mask = kept.get(place) or fill_polygon(shares * (width, height), (height, width))
        label_map[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = class_id
    return label_map


def _parse_line(line: str, ids: Mapping[str, int], where: str) -> tuple[int, np.ndarray]:
    """Class id, from 1, and (P, 2) shares of a line. ids: by the number that a line begins with."""
    first, *rest = line.split()
    if (class_id := ids.get(first)) is None:
        gaps = list(ids) != [str(number) for number in range(len(ids))]
        known = f"one of {', '.join([*ids][:20])}" if gaps else f"a whole number from 0 to {len(ids) - 1}"
        raise UserError(f"{where}: class {shown(first)} must be {known}, as {DATA} numbers its names")
    if len(rest) == 4:
        raise UserError(f"{where}: is a box; masks need polygons, of three or more corners")
    if len(rest) < 6 or len(rest) % 2:
        raise UserError(f"{where}: {len(rest)} numbers after the class; a polygon has x and y of three or more corners")
    try:
        shares = np.array([float(value) for value in rest])
    except ValueError as error:
        raise UserError(f"{where}: {first_line(error)}") from error
    if not ((shares >= 0) & (shares <= 1)).all():  # false for NaN too
        raise UserError(f"{where}: a corner is outside the picture; x and y are shares of its sides, in [0, 1]")
    return class_id, shares.reshape(-1, 2)


def data_yaml(classes: Sequence[str], splits: Sequence[str]) -> str:
    """The text of data.yaml; without a `path`, folders are looked for beside it."""
    names = "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate(classes))  # YAML reads JSON's texts
    test = f"test: {IMAGES}/test\n" if "test" in splits else ""
    return f"train: {IMAGES}/train\nval: {IMAGES}/{'val' if 'val' in splits else 'train'}\n{test}names:\n{names}"
