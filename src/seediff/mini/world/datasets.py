"""Scenes of the embedded world as a dataset with exact masks: what stands for real, annotated photographs in the studies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ...dataset import native
from ...dataset.store import Item
from ...errors import UserError
from ...run.collect import write_native
from .packaged import SETS, load_scenes
from .scene import CLASS_IDS, CLASSES, Scene, render_scene

SCENE_SEED = 2000
"""Scenes to train on: other ones than the embedded model (0) and the yardsticks (1000) learnt from, of the same split."""


def dataset_ids(classes: Sequence[str]) -> np.ndarray:
    """(256,) uint8: VOC's id, as label maps of scenes have it → the id in a dataset of `classes`; 0 for one that it does not have."""
    ids = np.zeros(256, np.uint8)
    ids[native.IGNORE] = native.IGNORE
    for number, name in enumerate(classes, 1):
        ids[CLASS_IDS[name]] = number
    return ids


_IDS = dataset_ids(CLASSES)


def scene_item(name: str, scene: Scene) -> Item:
    """A scene as a sample of a dataset whose classes are CLASSES: VOC's ids become theirs."""
    labels = _IDS[scene.label_map]
    row = {"prompt": scene.caption, "classes": list(scene.classes)}
    return Item(name, native.encode_image(scene.image, "png"), "png", lambda: labels, row)


RENDERED = {"train": "train", "shift-train": "shift"}
"""Sets that are rendered anew, and from which part of the art."""


def write_scene_set(out: Path, name: str, *, count: int | None = None, art: Path | None = None, seed: int = SCENE_SEED) -> int:
    """Write scenes as a native dataset and return how many there are.

    name: a packaged set (`truth`, `shift`, `tune`), of which the first `count` are taken; or `train` or `shift-train`, scenes of the
    training sprites or of the other vendor's art, rendered anew from the folder `art` and by `seed`.
    Raises UserError for an unknown name, no art, or a folder that is not free.
    """
    if name in RENDERED:
        if art is None:
            raise UserError(f"--set {name} is rendered: name the folder of the art with --art (`seediff mini art` fetches it)")
        scenes = _rendered(art, RENDERED[name], 1000 if count is None else count, seed)
    elif name in SETS:
        scenes = iter(load_scenes(name, count))
    else:
        raise UserError(f"--set {name} is not known; known: {', '.join([*SETS, *RENDERED])}")
    items = (scene_item(f"{index:06d}", scene) for index, scene in enumerate(scenes))
    return write_native(out, CLASSES, items, about={"command": "seediff mini scenes", "scenes": name, **({"seed": seed} if art else {})})


def _rendered(art: Path, split: str, count: int, seed: int) -> Iterator[Scene]:
    if count < 1:
        raise UserError(f"--count {count}: must be at least 1")
    for index in range(count):
        yield render_scene(art, index, seed=seed, split=split)
