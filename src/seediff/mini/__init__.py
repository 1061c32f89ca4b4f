"""60 scenes like the embedded model's pictures, with exact masks, to try methods on.

Half of the objects are sprites that the model was never trained on. Images are stored as WebP (quality 95), label maps
as PNG (exact). recipes/mini renders more scenes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..config.class_names import VOC_CLASSES
from ..errors import UserError
from ..files.image_files import open_image
from ..files.tensors import TensorFile, read_header

CLASSES = tuple(c for c in VOC_CLASSES if c != "diningtable")  # emoji art has no dining table
CLASS_IDS = {c: VOC_CLASSES.index(c) + 1 for c in CLASSES}  # as in VOC's label maps
FILE = Path(__file__).parent / "data" / "scenes.safetensors"


@dataclass(frozen=True)
class Scene:
    """A rendered picture and its masks."""

    image: np.ndarray
    """(H, W, 3) uint8."""
    label_map: np.ndarray
    """(H, W) uint8 with VOC's class ids, 0 = background."""
    classes: tuple[str, ...]
    """The classes in the scene, in the order of the caption."""
    caption: str


@dataclass(frozen=True)
class SceneRow:
    """A scene's entry in the file's header."""

    classes: tuple[str, ...]
    caption: str


def load_scenes(count: int | None = None) -> list[Scene]:
    """The first `count` of the 60 scenes; None: all of them."""
    return read_scenes(FILE, count)


def read_scenes(path: Path, count: int | None = None) -> list[Scene]:
    """The first `count` scenes in a file; None: all of them. Raises UserError if the file holds fewer."""
    file = read_header(path)
    about = file.about("scenes", list[SceneRow], "scenes")
    if count is None:
        count = len(about)
    if not 1 <= count <= len(about):
        raise UserError("scenes", f"{count}: {path.name} holds {len(about)}", f"choose from 1 to {len(about)}")
    images, masks = unpack_blobs(file, "images"), unpack_blobs(file, "masks")
    scenes = []
    for image, mask, row in zip(images[:count], masks, about, strict=False):
        with open_image(image, f"{path}, images") as drawn, open_image(mask, f"{path}, masks") as labels:
            scenes.append(Scene(np.asarray(drawn.convert("RGB")), np.asarray(labels), row.classes, row.caption))
    return scenes


def unpack_blobs(file: TensorFile, kind: str) -> list[bytes]:
    """The encoded pictures of a file that `pack_blobs` of recipes/mini made. kind: "images" or "masks"."""
    tensors = file.load("np", (kind, f"{kind}.ends"))
    data = tensors[kind].tobytes()
    ends = [0, *tensors[f"{kind}.ends"].tolist()]
    return [data[a:b] for a, b in pairwise(ends)]
