"""Scenes for measuring, in the package with their exact masks: `truth`, `shift` (another vendor's art) and `tune`.

One safetensors file per set: every image as WebP (quality 95), every label map as PNG (exact), captions and classes as
JSON in the header. Rendering them again needs the art: `render_scenes`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open

from ...errors import UserError
from ...files.outputs import write_tensors
from .scene import Scene, render_scene

FOLDER = Path(__file__).parent / "scenes"
SETS = {"truth": ("held", 600), "shift": ("shift", 300), "tune": ("tune", 200)}
"""Set → split of the world, number of scenes."""

OBJECTS = (1, 2, 1, 3, 2, 1, 2, 1, 3, 1, 2, 1, 2, 3, 1, 2, 1, 3, 2, 1)
"""Number of objects, cycled: 45 % of the scenes show one. Its length and the 19 classes share no divisor, so every
class comes with every number."""

WEBP_QUALITY = 95


def write_scenes(path: Path, scenes: Sequence[Scene]) -> None:
    """Write one set of scenes to `path`, atomically. Images lose a little (WebP); label maps, classes and captions nothing."""
    tensors = {}
    for kind, blobs in (("images", [_webp(s.image) for s in scenes]), ("masks", [_png(s.label_map) for s in scenes])):
        tensors[kind] = np.frombuffer(b"".join(blobs), np.uint8)
        tensors[f"{kind}.ends"] = np.cumsum([len(b) for b in blobs], dtype=np.int64)
    about = [{"classes": s.classes, "caption": s.caption} for s in scenes]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, {"scenes": json.dumps(about)})


def read_scenes(path: Path, count: int | None = None) -> list[Scene]:
    """The first `count` scenes of a file that `write_scenes` wrote; all of them by default.

    Raises UserError when the file is something else or holds fewer.
    """
    try:
        with safe_open(str(path), "np") as file:
            about = json.loads((file.metadata() or {})["scenes"])
            blobs = {kind: (file.get_tensor(kind).tobytes(), file.get_tensor(f"{kind}.ends")) for kind in ("images", "masks")}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not a file of scenes ({error})") from error
    if count is None:
        count = len(about)
    if not 1 <= count <= len(about):
        raise UserError(f"scenes = {count}: {path.name} holds {len(about)}, so choose from 1 to {len(about)}")
    decoded = {kind: [_decode(data, ends, i) for i in range(count)] for kind, (data, ends) in blobs.items()}
    rows = zip(decoded["images"], decoded["masks"], about[:count], strict=True)
    return [Scene(image, mask, tuple(row["classes"]), row["caption"]) for image, mask, row in rows]


def load_scenes(name: str, count: int | None = None) -> list[Scene]:
    """The first `count` scenes of the packaged set `name` (`truth`, `shift` or `tune`); all of them by default."""
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
        scenes = [render_scene(art, i, split=split, objects=OBJECTS[i % len(OBJECTS)]) for i in range(count)]
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


def _decode(data: bytes, ends: np.ndarray, index: int) -> np.ndarray:
    start = int(ends[index - 1]) if index else 0
    return np.asarray(Image.open(io.BytesIO(data[start : int(ends[index])])))
