"""Scenes with exact objects, among them twins: scenes with two objects of one class.

In a packaged scene every class has one object, so the mask of the class is the object, even if it is visible in several pieces. Twins are
made from packaged scenes: an object that was drawn last, and so is whole, is cut out of one scene and pasted into another that shows its
class. A twin is a pure function of its set, the seed and its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation

from ..dataset.encoding import Instances
from .scenes import CLASS_IDS, Scene, load_scenes

SIZE = (0.28, 0.5)
"""The pasted object's longer side as a share of the scene's shorter side, about as in scenes of two and three objects."""
VISIBLE = 0.75
"""The minimum share of each object of the scene that stays visible beside the pasted object, as in scenes of several objects."""
PLACES = 40
"""The number of places tried for a pasted object."""


@dataclass(frozen=True)
class ObjectScene:
    """A scene and its objects: the visible parts, numbered (H, W) uint16, and their class ids in VOC."""

    scene: Scene
    objects: Instances


def scene_objects(scene: Scene) -> ObjectScene:
    """A packaged scene with its objects, in the order of its classes."""
    ids = [CLASS_IDS[name] for name in scene.classes]
    numbers = np.zeros(scene.label_map.shape, np.uint16)
    for number, class_id in enumerate(ids, 1):
        numbers[scene.label_map == class_id] = number
    return ObjectScene(scene, Instances(numbers, tuple(ids)))


def load_twins(name: str, count: int, *, seed: int = 0) -> list[ObjectScene]:
    """The first `count` twins of a packaged set. In twins with even numbers the two objects touch, in the others they are apart."""
    return list(islice(twins(load_scenes(name), seed), count))


def twins(scenes: Sequence[Scene], seed: int) -> Iterator[ObjectScene]:
    """Practically endless twins (1,000,000 tries), from scenes of which at least two have the same last class. Scenes take turns as hosts;
    a host for which no fitting object is found is skipped."""
    made = 0
    for turn in range(1_000_000):
        rng = np.random.default_rng((seed, turn))
        host = scenes[turn % len(scenes)]
        name = str(rng.choice(host.classes))
        donors = [scene for scene in scenes if scene.classes[-1] == name and scene is not host]
        if donors and (twin := _pasted(rng, host, donors[int(rng.integers(len(donors)))], name, touching=made % 2 == 0)):
            made += 1
            yield twin


def _pasted(rng: np.random.Generator, host: Scene, donor: Scene, name: str, *, touching: bool) -> ObjectScene | None:
    """The host with the donor's object pasted in, touching the host's object of that class or not; None if no place fits."""
    before = scene_objects(host).objects
    height, width = before.numbers.shape
    sprite = _sprite(donor, CLASS_IDS[name], round(min(height, width) * float(rng.uniform(*SIZE))))
    if rng.random() < 0.5:
        sprite = sprite[:, ::-1]
    inside = sprite[..., 3] >= 0.5
    same = np.asarray(binary_dilation(host.label_map == CLASS_IDS[name], np.ones((3, 3))))
    areas = np.bincount(before.numbers.ravel())
    for _ in range(PLACES):
        top, left = (int(rng.integers(0, side - own + 1)) for side, own in zip((height, width), inside.shape, strict=True))
        here = slice(top, top + inside.shape[0]), slice(left, left + inside.shape[1])
        numbers = before.numbers.copy()
        numbers[here][inside] = len(areas)
        left_over = np.bincount(numbers.ravel(), minlength=len(areas))[: len(areas)]
        if bool(np.logical_and(same[here], inside).any()) == touching and (left_over[1:] >= VISIBLE * areas[1:]).all():
            image, label_map = host.image.astype(np.float64), host.label_map.copy()
            image[here] = image[here] * (1 - sprite[..., 3:]) + sprite[..., :3]
            label_map[here][inside] = CLASS_IDS[name]
            scene = replace(host, image=np.rint(image).clip(0, 255).astype(np.uint8), label_map=label_map)
            return ObjectScene(scene, Instances(numbers, (*before.class_ids, CLASS_IDS[name])))
    return None


def _sprite(donor: Scene, class_id: int, longest: int) -> np.ndarray:
    """(h, w, 4) float64: the object's colours times alpha, and alpha in [0, 1]. longest: the longer side in pixels."""
    mask = donor.label_map == class_id
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    alpha = mask[box].astype(np.float32)
    scale = longest / max(alpha.shape)
    size = max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale))
    bands = [*np.moveaxis(donor.image[box] * alpha[..., None], 2, 0), alpha]
    return np.stack([np.asarray(Image.fromarray(band).resize(size, Image.Resampling.BOX), np.float64) for band in bands], 2)
