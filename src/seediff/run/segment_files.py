"""The files that `segment` writes: those of each photograph and its row, overview.jpg, and segments.json in COCO's
format.

out/  labels/NAME.png     id of each pixel's segment     named/NAME.png      with words: id of its segment's word in
classes.txt
      overlays/NAME.jpg   the segments over the picture  overview.jpg        the first overlays
      segments.json       every segment, written last    failed.jsonl        photographs that could not be used
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import find_objects

from .. import __version__
from ..config.photographs import SegmentPhotosConfig
from ..dataset import native
from ..dataset.encoding import png
from ..dataset.shapes.rle import encode
from ..errors import UserError
from ..files.documents import read_json
from ..files.label_maps import segment_palette, voc_palette
from ..files.outputs import LABELS, NAMED, OVERLAYS
from ..files.pictures import open_picture
from ..files.reading import ANNOTATIONS

OVERVIEW, OVERVIEW_PHOTOS, OVERVIEW_SIDE = "overview.jpg", 24, 256
"""The picture to look at, the number of overlays in it, and the side of their tiles in pixels."""
JPEG = {"quality": 90, "subsampling": 0}
OVERLAY_SIDE = 1024
"""Maximum longer side of an overlay in pixels; overlays are only to look at."""

Called = Sequence[tuple[str | None, float]]
"""The name (None: unnamed) and its score for each segment of a photograph, by id; empty if nothing is named."""


def photo_files(
    name: str, photo: np.ndarray, label_map: np.ndarray, called: Called, ids: Mapping[str, int], *, overlays: bool
) -> dict[str, bytes]:
    """Path in the output → bytes, for each file of a photograph (H, W, 3) uint8. label_map (H, W) int32: ids from 0, −1
    in no segment. ids: word → id.
    """
    from ..report.pictures import encode_picture, overlay, shrink

    files = {f"{LABELS}/{name}.png": encode_segments(label_map)}
    if called:
        # The last is in no segment.
        word_ids = np.array([ids[word] if word else 0 for word, _ in called] + [native.IGNORE], np.uint8)
        files[f"{NAMED}/{name}.png"] = native.encode_mask(word_ids[label_map])
    if overlays:
        shown = np.where(label_map < 0, 0, label_map % 254 + 1).astype(np.uint8)
        picture = shrink(photo, OVERLAY_SIDE, Image.Resampling.BILINEAR)
        shown = shrink(shown, OVERLAY_SIDE, Image.Resampling.NEAREST)
        files[overlay_path(name)] = encode_picture(overlay(picture, shown, voc_palette(), alpha=0.45), "JPEG", **JPEG)
    return files


def photo_row(label_map: np.ndarray, scores: Sequence[float], called: Called) -> dict[str, Any]:
    """{"width", "height", "segments": […]}: each segment's area and box in pixels, score, run lengths and word."""
    height, width = label_map.shape
    rows = []
    areas, boxes = np.bincount(label_map[label_map >= 0]), find_objects(label_map + 1)
    for number, rle in encode(label_map + 1).items():
        segment = number - 1
        down, across = boxes[segment]
        row: dict[str, Any] = {
            "id": segment,
            "area": int(areas[segment]),
            "bbox": [across.start, down.start, across.stop - across.start, down.stop - down.start],
            "score": round(scores[segment], 4),
            "segmentation": rle,
        }
        if called:
            row |= {"name": called[segment][0], "name_score": round(called[segment][1], 4)}
        rows.append(row)
    return {"width": width, "height": height, "segments": rows}


def overlay_path(name: str) -> str:
    return f"{OVERLAYS}/{name}.jpg"


def encode_segments(label_map: np.ndarray) -> bytes:
    """A PNG of segment ids (H, W) int32: 8-bit with a palette; for more than 255 segments 16-bit grey. In no segment
    (−1): the largest value."""
    few = label_map.max(initial=0) < 255
    picture = Image.fromarray(label_map.astype(np.uint8 if few else np.uint16))
    if few:
        picture.putpalette(segment_palette())
    return png(picture)


def overview(out: Path, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The first overlays as one picture."""
    from ..report.pictures import contact_sheet, encode_picture, fit_side

    tiles = []
    for row in rows[:OVERVIEW_PHOTOS]:
        with open_picture(out / overlay_path(row["photo"])) as picture:
            tiles.append(fit_side(np.asarray(picture.convert("RGB")), OVERVIEW_SIDE, Image.Resampling.BILINEAR))
    labels = [", ".join([f"{row['photo']}: {len(row['segments'])}", *row.get("flags", ())]) for row in rows]
    labels = labels[:OVERVIEW_PHOTOS]
    return encode_picture(contact_sheet(tiles, columns=min(6, len(tiles)), labels=labels), "JPEG", **JPEG)


def coco(rows: Sequence[Mapping[str, Any]], ids: Mapping[str, int]) -> dict[str, Any]:
    """All rows in COCO's format: one annotation per segment; category 0 means a segment without a name."""
    images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    for number, row in enumerate(rows, 1):
        shown = ("photo", "file_name", "flags", "width", "height")
        images.append({"id": number, **{key: row[key] for key in shown if key in row}})
        for segment in row["segments"]:
            about = {"id": len(annotations) + 1, "image_id": number, "segment": segment["id"]}
            about |= {"category_id": ids.get(segment.get("name") or "", 0), "iscrowd": 0}
            annotations.append(about | {key: value for key, value in segment.items() if key not in ("id", "name")})
    categories = [{"id": number, "name": name} for name, number in {"unnamed": 0, **ids}.items()]
    return {"info": {"version": __version__}, "images": images, "annotations": annotations, "categories": categories}


@dataclass(frozen=True)
class _Document:
    """What is read of segments.json."""

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]


def read_segments(out: Path) -> list[dict[str, Any]]:
    """The rows of a finished run, one per photograph. Raises UserError if its segments.json cannot be read."""
    path = out / SegmentPhotosConfig.last_file
    table = read_json(path, _Document, limit=ANNOTATIONS)
    try:
        rows = {image["id"]: {**image, "segments": []} for image in table.images}
        names = {category["id"]: category["name"] for category in table.categories}
        for annotation in table.annotations:
            name = names[annotation["category_id"]] if annotation["category_id"] else None
            rows[annotation["image_id"]]["segments"].append({**annotation, "name": name})
    except KeyError as error:
        raise UserError(path, f"a key or an id is missing: {error}") from error
    return list(rows.values())
