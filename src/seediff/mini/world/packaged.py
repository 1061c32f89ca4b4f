"""Scenes for measuring, in the package with their exact masks: `truth`, `shift` (another vendor's art), `tune`, and `wide` (4:3 and 3:4).

One safetensors file per set: every image as WebP (quality 95), every label map as PNG (exact), captions and classes as
JSON in the header. Rendering them again needs the art: `render_scenes`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import UserError
from ...files.messages import shown
from ...files.outputs import write_tensors
from ...files.tensors import read_header
from .blobs import decoded, pack_blobs, read_blobs
from .scene import CLASS_IDS, Scene, render_scene

FOLDER = Path(__file__).parent / "scenes"
SETS = {"truth": ("held", 600), "shift": ("shift", 300), "tune": ("tune", 200), "wide": ("held", 120)}
"""Set → split of the world, number of scenes."""
SHAPES = {"wide": ((144, 192), (192, 144))}
"""Set → (height, width) of its scenes, taking turns; the others are squares of 128."""

OBJECTS = (1, 2, 1, 3, 2, 1, 2, 1, 3, 1, 2, 1, 2, 3, 1, 2, 1, 3, 2, 1)
"""Number of objects, cycled: 45 % of the scenes show one. Its length and the 19 classes share no divisor, so every
class comes with every number."""

WEBP_QUALITY = 95
LARGEST = 4096  # pixels of a side


def write_scenes(path: Path, scenes: Sequence[Scene]) -> None:
    """Write one set of scenes to `path`, atomically. Images lose a little (WebP); label maps, classes and captions nothing."""
    tensors = pack_blobs("images", [_webp(s.image) for s in scenes]) | pack_blobs("masks", [_png(s.label_map) for s in scenes])
    about = [{"classes": s.classes, "caption": s.caption} for s in scenes]
    write_tensors(path, tensors, {"scenes": json.dumps(about)})


@dataclass(frozen=True)
class SceneRow:
    """What the header says of a scene."""

    classes: tuple[str, ...]
    caption: str


def read_scenes(path: Path, count: int | None = None) -> list[Scene]:
    """The first `count` scenes of a file that `write_scenes` wrote; all of them by default.

    Raises UserError when the file is something else or holds fewer.
    """
    file = read_header(path)
    about = file.about("scenes", list[SceneRow], "scenes")
    images, masks = (read_blobs(file, kind, len(about), "scenes") for kind in ("images", "masks"))
    if count is None:
        count = len(about)
    if not 1 <= count <= len(about):
        raise UserError(f"scenes = {count}: {path.name} holds {len(about)}, so choose from 1 to {len(about)}")
    drawn = decoded(images[:count], f"{path}, images", "RGB", LARGEST)
    pairs = zip(drawn, decoded(masks[:count], f"{path}, masks", "L", LARGEST), strict=True)
    scenes = [Scene(image, mask, row.classes, row.caption) for (image, mask), row in zip(pairs, about[:count], strict=True)]
    for number, scene in enumerate(scenes):
        if scene.image.shape[:2] != scene.label_map.shape:
            raise UserError(f"{path}, scene {number}: its image is {scene.image.shape[:2]}, but its mask {scene.label_map.shape}")
        if unknown := set(np.unique(scene.label_map)) - {0, 255, *(CLASS_IDS[name] for name in scene.classes if name in CLASS_IDS)}:
            raise UserError(f"{path}, scene {number}: its mask has id {min(unknown)}, which is none of {shown(scene.classes)}")
    return scenes


def load_scenes(name: str, count: int | None = None) -> list[Scene]:
    """The first `count` scenes of the packaged set `name` (`truth`, `shift`, `tune` or `wide`); all of them by default."""
    if name not in SETS:
        raise UserError(f"scenes '{name}' are not known; known: {', '.join(SETS)}")
    return read_scenes(scenes_file(name), count)


def scenes_file(name: str) -> Path:
    """Where a packaged set is."""
    return FOLDER / f"{name}.safetensors"


def render_scenes(art: Path, out: Path) -> list[Path]:
    """Render every set from the art into `out`. Returns the files written."""
    written = []
    for name, (split, count) in SETS.items():
        shapes = SHAPES.get(name, ((128, 128),))
        scenes = [render_scene(art, i, split=split, shape=shapes[i % len(shapes)], objects=OBJECTS[i % len(OBJECTS)]) for i in range(count)]
        path = out / f"{name}.safetensors"
        write_scenes(path, scenes)
        written.append(path)
    return written


def _webp(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=WEBP_QUALITY, method=6)
    return buffer.getvalue()


def _png(label_map: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(label_map).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
