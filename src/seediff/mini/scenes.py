"""Scenes of the embedded model's world with exact masks, to try methods on.

60 scenes, half of whose objects are sprites that the model was never trained on. The images are WebP (quality 95), the
label maps PNG (exact). recipes/mini renders more of them.
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
    """image (H, W, 3) uint8; label_map (H, W) uint8 with VOC's class ids, 0 = background; classes in caption order."""

    image: np.ndarray
    label_map: np.ndarray
    classes: tuple[str, ...]
    caption: str


@dataclass(frozen=True)
class SceneRow:
    """A scene's entry in the header."""

    classes: tuple[str, ...]
    caption: str


def load_scenes(count: int | None = None) -> list[Scene]:
    """The first `count` of 60 scenes; all of them by default."""
    return read_scenes(FILE, count)


def read_scenes(path: Path, count: int | None = None, *, option: str = "scenes") -> list[Scene]:
    """The first `count` scenes in a file; all by default. option: the name of the option that gave `count`, for
    messages.

    Raises UserError if it holds fewer.
    """
    file = read_header(path)
    about = file.about("scenes", list[SceneRow], "scenes")
    if count is None:
        count = len(about)
    if not 1 <= count <= len(about):
        raise UserError(f"{option} = {count}: {path.name} holds {len(about)}, so choose from 1 to {len(about)}")
    images, masks = unpack_blobs(file, "images"), unpack_blobs(file, "masks")
    scenes = []
    for image, mask, row in zip(images[:count], masks, about, strict=False):
        with open_image(image, f"{path}, images") as drawn, open_image(mask, f"{path}, masks") as labels:
            scenes.append(Scene(np.asarray(drawn.convert("RGB")), np.asarray(labels), row.classes, row.caption))
    return scenes


def unpack_blobs(file: TensorFile, kind: str) -> list[bytes]:
    """Encoded pictures from `pack_blobs`."""
    tensors = file.load("np", (kind, f"{kind}.ends"))
    data, ends = tensors[kind].tobytes(), [0, *tensors[f"{kind}.ends"].tolist()]
    return [data[a:b] for a, b in pairwise(ends)]
