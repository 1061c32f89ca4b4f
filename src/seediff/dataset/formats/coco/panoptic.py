"""COCO's panoptic masks: a PNG per image, beside the JSON file, whose colours are the ids of its segments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ....errors import UserError
from ....files.pictures import open_picture
from ....files.reading import path_inside
from ... import native
from .document import Image, Segments
from .segments import SHIFTS


def mask_folder(path: Path) -> Path:
    """The folder of a JSON file's masks: annotations/panoptic_val2017/ of annotations/panoptic_val2017.json."""
    return path.with_suffix("")


def panoptic_labels(folder: Path, image: Image, segments: Segments, ids: Mapping[int, int], where: str) -> np.ndarray:
    """(H, W) uint8: each segment's class, crowds among them as in panopticapi's own converter; 255 where there is no segment.

    ids: of a category, in a label map. Raises UserError naming the picture that is not there, or has a segment that the file does not.
    """
    path = path_inside(folder, {"file_name": segments.file_name}, "file_name", f"{where}, image {image.id}")
    with open_picture(path) as picture:
        pixels, kind, mode = np.asarray(picture), picture.format, picture.mode
    if kind != "PNG" or mode not in ("RGB", "RGBA"):
        raise UserError(f"{path}: is {kind} {mode} inside; a panoptic mask is a PNG in colours, which are the segments' ids")
    if pixels.shape[:2] != image.shape:
        raise UserError(f"{path}: is {pixels.shape[:2]}, but its image is {image.shape}; both are (height, width)")
    found, places = np.unique(pixels[..., :3] @ SHIFTS, return_inverse=True)
    known = {0: native.IGNORE, **{one.id: ids[one.category_id] for one in segments.segments_info}}
    if unknown := [number for number in found.tolist() if number not in known]:
        raise UserError(f"{path}: has a segment {unknown[0]} that {where} does not name")
    return np.array([known[number] for number in found.tolist()], np.uint8)[places].reshape(image.shape)
