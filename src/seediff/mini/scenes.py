"""The embedded world's scenes, and the packaged sets with exact masks.

Sets: `truth` and `tune`, half of whose objects are sprites that the embedded model was never trained on; `shift`, another vendor's art.
One safetensors file per set: every image as WebP (quality 95), every label map as PNG (exact), captions and classes as JSON in the
header. recipes/mini/world.py renders them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..config.names import VOC_CLASSES, join_classes
from ..dataset import native
from ..dataset.sample import Sample
from ..dataset.store import write_native
from ..errors import UserError
from ..files.messages import shown
from ..files.pictures import open_picture
from ..files.tensors import TensorFile, read_header

CLASSES = tuple(c for c in VOC_CLASSES if c != "diningtable")  # emoji art has no dining table
CLASS_IDS = {c: VOC_CLASSES.index(c) + 1 for c in CLASSES}  # as in VOC's label maps
PLACES = {  # place: (upper colour, lower colour), RGB
    "on grass": ((150, 200, 240), (95, 165, 70)),
    "on sand": ((165, 215, 245), (225, 200, 145)),
    "in the snow": ((190, 205, 225), (238, 243, 250)),
    "in the city": ((175, 185, 200), (105, 105, 112)),
    "in a room": ((225, 205, 180), (150, 105, 75)),
    "in the sky": ((95, 160, 235), (190, 225, 250)),
    "at night": ((20, 25, 60), (45, 45, 75)),
    "on the water": ((175, 210, 235), (45, 110, 170)),
}
PLACE_WORDS = tuple(place.split()[-1] for place in PLACES)
"""Places in captions: grass, sand, snow …"""

FOLDER = Path(__file__).parent / "data"
SETS = ("truth", "shift", "tune")
LARGEST = 4096  # side in pixels


@dataclass(frozen=True)
class Scene:
    """image (H, W, 3) uint8; label_map (H, W) uint8 with VOC's class ids, 0 = background; classes in caption order."""

    image: np.ndarray
    label_map: np.ndarray
    classes: tuple[str, ...]
    caption: str


def caption(names: tuple[str, ...], place: str | None, mirrored: bool = False) -> str:
    """`a photo of a dog and a cat on grass`: a caption as from the commands' templates. names: classes, or phrases that contain them."""
    return f"a {'mirrored ' * mirrored}photo of a {join_classes(names)}" + (f" {place}" if place else "")


@dataclass(frozen=True)
class SceneRow:
    """A scene's entry in the header."""

    classes: tuple[str, ...]
    caption: str


def load_scenes(name: str, count: int | None = None, *, option: str = "") -> list[Scene]:
    """The first `count` scenes of the packaged set `name` (`truth`, `shift` or `tune`); all of them by default. option: the name of the
    option that gave `count`; by default that of the studies."""
    if name not in SETS:
        raise UserError(f"scenes '{name}' are not known; known: {', '.join(SETS)}")
    return read_scenes(scenes_file(name), count, option=option or ("tune_scenes" if name == "tune" else "scenes"))


def scenes_file(name: str) -> Path:
    """The file of a packaged set."""
    return FOLDER / f"{name}.safetensors"


def read_scenes(path: Path, count: int | None = None, *, option: str = "scenes") -> list[Scene]:
    """The first `count` scenes in a file; all by default. option: as in `load_scenes`.

    Raises UserError for a wrong file or if it holds fewer.
    """
    file = read_header(path)
    about = file.about("scenes", list[SceneRow], "scenes")
    images, masks = (read_blobs(file, kind, len(about), "scenes") for kind in ("images", "masks"))
    if count is None:
        count = len(about)
    if not 1 <= count <= len(about):
        raise UserError(f"{option} = {count}: {path.name} holds {len(about)}, so choose from 1 to {len(about)}")
    drawn = decoded(images[:count], f"{path}, images", "RGB", LARGEST)
    pairs = zip(drawn, decoded(masks[:count], f"{path}, masks", "L", LARGEST), strict=True)
    scenes = [Scene(image, mask, row.classes, row.caption) for (image, mask), row in zip(pairs, about[:count], strict=True)]
    for number, scene in enumerate(scenes):
        if scene.image.shape[:2] != scene.label_map.shape:
            raise UserError(f"{path}, scene {number}: its image is {scene.image.shape[:2]}, but its mask {scene.label_map.shape}")
        if unknown := set(np.unique(scene.label_map)) - {0, 255, *(CLASS_IDS[name] for name in scene.classes if name in CLASS_IDS)}:
            raise UserError(f"{path}, scene {number}: its mask has id {min(unknown)}, which is none of {shown(scene.classes)}")
    return scenes


def dataset_ids(classes: Sequence[str]) -> np.ndarray:
    """(256,) uint8: VOC's id, used in scenes' label maps → the id in a dataset with `classes`; 0 for missing classes."""
    ids = np.zeros(256, np.uint8)
    ids[native.IGNORE] = native.IGNORE
    for number, name in enumerate(classes, 1):
        ids[CLASS_IDS[name]] = number
    return ids


_IDS = dataset_ids(CLASSES)


def write_scenes_as_dataset(out: Path, scenes: Iterable[Scene], about: Mapping[str, Any]) -> int:
    """Write scenes as a native dataset with CLASSES, and return their number. Raises UserError if the folder is not free."""
    items = (
        Sample(s.image, _IDS[s.label_map], metadata={"prompt": s.caption, "classes": list(s.classes)}, name=f"{index:06d}")
        for index, s in enumerate(scenes)
    )
    return write_native(out, CLASSES, items, about={"command": "seediff mini scenes", **about})


def pack_blobs(kind: str, blobs: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Pack encoded pictures into two tensors: `kind`, uint8, and `kind.ends`, int64."""
    return {kind: np.frombuffer(b"".join(blobs), np.uint8), f"{kind}.ends": np.cumsum([len(blob) for blob in blobs], dtype=np.int64)}


def read_blobs(file: TensorFile, kind: str, count: int, what: str) -> list[bytes]:
    """Unpack `count` encoded pictures from `pack_blobs`. what: the expected kind of file. Raises UserError naming the file."""
    file.check(kind, ("U8",), (None,), what)
    file.check(f"{kind}.ends", ("I64",), (count,), what)
    tensors = file.load("np", (kind, f"{kind}.ends"))
    data, ends = tensors[kind].tobytes(), [0, *tensors[f"{kind}.ends"].tolist()]
    if ends[-1] != len(data) or any(a >= b for a, b in pairwise(ends)):
        raise UserError(f"{file.path}: tensor '{kind}.ends' must rise from above 0 to the {len(data)} bytes of '{kind}'")
    return [data[a:b] for a, b in pairwise(ends)]


def decoded(blobs: Sequence[bytes], where: str, mode: str, most: int) -> Iterator[np.ndarray]:
    """Decode a picture as (H, W) or (H, W, bands) uint8 in a Pillow mode, with sides up to `most`. Raises UserError naming the picture."""
    for number, blob in enumerate(blobs):
        name = f"{where}, picture {number}"
        with open_picture(blob, name, formats=("PNG", "WEBP")) as picture:
            if max(picture.size) > most:
                raise UserError(f"{name}: is {picture.width} × {picture.height}; no side may be longer than {most}")
            image: Image.Image = picture if picture.mode == mode else picture.convert(mode)
            yield np.asarray(image)
