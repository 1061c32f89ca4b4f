"""Scenes of the embedded model's world with exact masks, to try methods on.

60 scenes, half of whose objects are sprites that the model was never trained on. The images are WebP (quality 95), the
label maps PNG (exact). recipes/mini renders more of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from ..config.names import VOC_CLASSES
from ..errors import UserError
from ..files.image_files import open_image
from ..files.messages import show_json
from ..files.tensors import TensorFile, read_header

CLASSES = tuple(c for c in VOC_CLASSES if c != "diningtable")  # emoji art has no dining table
CLASS_IDS = {c: VOC_CLASSES.index(c) + 1 for c in CLASSES}  # as in VOC's label maps
FILE = Path(__file__).parent / "data" / "scenes.safetensors"
LARGEST = 4096  # side in pixels


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

    Raises UserError for a wrong file or if it holds fewer.
    """
    file = read_header(path)
    about = file.about("scenes", list[SceneRow], "scenes")
    images, masks = (read_blobs(file, kind, len(about), "scenes") for kind in ("images", "masks"))
    if count is None:
        count = len(about)
    if not 1 <= count <= len(about):
        raise UserError(f"{option} = {count}: {path.name} holds {len(about)}, so choose from 1 to {len(about)}")
    drawn = decode_scene(images[:count], f"{path}, images", "RGB", LARGEST)
    pairs = zip(drawn, decode_scene(masks[:count], f"{path}, masks", "L", LARGEST), strict=True)
    scenes = []
    for number, ((image, mask), row) in enumerate(zip(pairs, about[:count], strict=True)):
        where = f"{path}, scene {number}"
        if image.shape[:2] != mask.shape:
            raise UserError(f"{where}: its image is {image.shape[:2]}, but its mask {mask.shape}")
        allowed = {0, 255, *(CLASS_IDS.get(name, 0) for name in row.classes)}
        unknown = set(np.unique(mask)) - allowed
        if unknown:
            raise UserError(f"{where}: its mask has id {min(unknown)}, which is not in {show_json(row.classes)}")
        scenes.append(Scene(image, mask, row.classes, row.caption))
    return scenes


def read_blobs(file: TensorFile, kind: str, count: int, what: str) -> list[bytes]:
    """Unpack `count` encoded pictures from `pack_blobs`. what: the expected kind of file. Raises UserError naming the
    file.
    """
    file.check(kind, "U8", (None,), what)
    file.check(f"{kind}.ends", "I64", (count,), what)
    tensors = file.load("np", (kind, f"{kind}.ends"))
    data, ends = tensors[kind].tobytes(), [0, *tensors[f"{kind}.ends"].tolist()]
    if ends[-1] != len(data) or any(a >= b for a, b in pairwise(ends)):
        raise UserError(
            f"{file.path}: tensor '{kind}.ends' must rise from above 0 to the {len(data)} bytes of '{kind}'"
        )
    return [data[a:b] for a, b in pairwise(ends)]


def decode_scene(blobs: Sequence[bytes], where: str, mode: str, most: int) -> Iterator[np.ndarray]:
    """Decode a picture as (H, W) or (H, W, bands) uint8 in a Pillow mode, with sides up to `most`. Raises UserError
    naming the picture.
    """
    for number, blob in enumerate(blobs):
        name = f"{where}, picture {number}"
        with open_image(blob, name) as opened:
            if max(opened.size) > most:
                raise UserError(f"{name}: is {opened.width} × {opened.height}; no side may be longer than {most}")
            image: Image.Image = opened if opened.mode == mode else opened.convert(mode)
            yield np.asarray(image)
