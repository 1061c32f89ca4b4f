"""Renders scenes of the embedded world: sprites composited on procedural backgrounds, so that every mask is exact.

A scene is a pure function of its seed, split, index and the options of `render_scene`: it is the same on any machine
and in any order. Scenes held out for measurement use other random numbers than training, and half of their objects are
sprites that training never sees, if their class has such sprites.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance
from safetensors.numpy import save

from seediff.errors import UserError
from seediff.files.image_files import compress_image
from seediff.files.outputs import write_atomic
from seediff.mini import CLASS_IDS, CLASSES, Scene

from .art import load_sprite, sprite_table
from .sets import PLACES, caption, load_set, pack_blobs, write_scenes_as_dataset

SPLITS = {
    "train": 0,
    "tune": 1,
    "held": 2,
    "shift": 3,
}  # the number is part of the random seed, so no two splits share a scene
OBJECT_SIZE = {
    1: (0.45, 0.85),
    2: (0.34, 0.56),
    3: (0.28, 0.42),
}  # an object's longer side, as a share of the image's shorter
CLOSE = (0.6, 0.95)  # the same for the object of a close-up
ODDS = (4, 4, 2)  # of one, two and three objects in a scene
MIN_VISIBLE = 0.75  # minimum share of each object that stays visible under later ones, if 20 tries find it
NAMED, MIRRORED = 0.5, 0.25  # shares of named objects and of mirrored scenes, with `describe`

MEASURED = {"truth": ("held", 600), "shift": ("shift", 300), "tune": ("tune", 200)}
"""Stored set → split, number of scenes."""
OBJECTS = (1, 2, 1, 3, 2, 1, 2, 1, 3, 1, 2, 1, 2, 3, 1, 2, 1, 3, 2, 1)
"""The numbers of objects in stored scenes, cycled: 45 % of the scenes show one. The cycle's length and the 19 classes
share no divisor, so every class comes with every number."""
WEBP_QUALITY = 95
RENDERED = {"train": "train", "shift-train": "shift"}
"""Set to train on → the split from which it is rendered."""
SCENE_SEED = 2000
"""Seed of the scenes to train segmenters on. The embedded model (0) and the yardstick (1000) learnt from other seeds of
the same split.
"""


def render_scene(
    art: Path,
    index: int,
    *,
    seed: int = 0,
    split: str = "train",
    side: int = 128,
    objects: int | None = None,
    odds: tuple[int, int, int] = ODDS,
    describe: bool = False,
    named: float = NAMED,
    close: bool = False,
) -> Scene:
    """Render scene `index` of a split. `objects` fixes how many objects it shows; by default 1, 2 or 3 with these odds.

    While the noise is high, a model averages a drawing and its mirror image under one caption to a symmetric chimera,
    and likewise different drawings of one class. With `describe`, single objects are therefore never mirrored. Instead,
    a quarter of the scenes is mirrored as a whole and called so in the caption, and a share `named` of the objects is
    called by its drawing's phrase (`a penguin bird`).

    close: one large object, because small objects, the only kind in scenes of several, show little of a shape. The
    frequency of a class is proportional to the square root of its number of drawings.
    """
    rng = np.random.default_rng((seed, SPLITS[split], index))
    count = objects or int(rng.choice((1, 2, 3), p=np.divide(odds, sum(odds))))
    # Cycling through the classes keeps them balanced; the other objects are of random other classes.
    first = CLASSES[(index + seed) % len(CLASSES)]
    if close:
        count, first = 1, str(rng.choice(CLASSES, p=_shares(art, split)))
    others = [c for c in CLASSES if c != first]
    classes = (first, *rng.permutation(others)[: count - 1].tolist())
    place = str(rng.choice(list(PLACES))) if rng.random() < 0.5 else None
    image = draw_background(rng, place, side)
    for _ in range(20):
        sizes = CLOSE if close else OBJECT_SIZE[count]
        drawn, label_map, visible, phrases = _place_objects(rng, art, image, classes, split, sizes, not describe)
        if min(visible) >= MIN_VISIBLE:
            break
    if not describe:
        return Scene(drawn, label_map, classes, caption(classes, place))
    names = tuple(phrase if rng.random() < named else name for phrase, name in zip(phrases, classes, strict=True))
    if mirrored := bool(rng.random() < MIRRORED):
        drawn, label_map = drawn[:, ::-1].copy(), label_map[:, ::-1].copy()
    return Scene(drawn, label_map, classes, caption(names, place, mirrored))


def _place_objects(rng, art, image, classes, split, sizes, flips):
    canvas = image.copy()
    height, width = image.shape[:2]
    label_map = np.zeros((height, width), np.uint8)
    areas, phrases = [], []
    for class_name in classes:
        sprite, phrase = _random_sprite(rng, art, class_name, split, sizes, min(height, width), flips)
        phrases.append(phrase)
        h, w = sprite.shape[:2]
        top = int(rng.integers(0, max(1, height - h + 1)))
        left = int(rng.integers(0, max(1, width - w + 1)))
        h, w = min(h, height - top), min(w, width - left)
        alpha = sprite[:h, :w, 3:].astype(np.float32) / 255
        window = canvas[top : top + h, left : left + w]
        window[:] = np.rint(sprite[:h, :w, :3] * alpha + window * (1 - alpha)).astype(np.uint8)
        inside = alpha[..., 0] >= 0.5
        label_map[top : top + h, left : left + w][inside] = CLASS_IDS[class_name]
        areas.append(int(inside.sum()))
    visible = [float((label_map == CLASS_IDS[c]).sum()) / max(1, a) for c, a in zip(classes, areas, strict=True)]
    return canvas, label_map, visible, phrases


def _random_sprite(rng, art, class_name, split, size_range, side, flips) -> tuple[np.ndarray, str]:
    drawings = _class_sprites(art, class_name, split)
    image, phrase = drawings[int(rng.integers(len(drawings)))]
    if rng.random() < 0.5 and flips:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    longest = side * float(rng.uniform(*size_range))
    scale = longest / max(image.size)
    image = image.resize(
        (max(4, round(image.width * scale)), max(4, round(image.height * scale))), Image.Resampling.BOX
    )
    image = image.rotate(float(rng.uniform(-12, 12)), Image.Resampling.BICUBIC, expand=True)
    alpha = image.getchannel("A")
    rgb = ImageEnhance.Brightness(image.convert("RGB")).enhance(float(rng.uniform(0.8, 1.15)))
    rgb = ImageEnhance.Color(rgb).enhance(float(rng.uniform(0.75, 1.2)))
    out = np.dstack([np.asarray(rgb, np.float32) * rng.uniform(0.92, 1.08, 3), np.asarray(alpha)])
    out = np.clip(out, 0, 255).astype(np.uint8)
    ys, xs = np.nonzero(out[..., 3] > 8)
    return out[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1][:side, :side], phrase


@lru_cache(maxsize=8)
def _shares(art: Path, split: str) -> np.ndarray:
    """(19,) probability of each class in close-ups, in the order of CLASSES."""
    roots = np.sqrt([len(_class_sprites(art, name, split)) for name in CLASSES])
    return roots / roots.sum()


@lru_cache(maxsize=128)
def _class_sprites(art: Path, class_name: str, split: str) -> tuple[tuple[Image.Image, str], ...]:
    """Drawings of a class, each with the phrase that captions may use for it."""
    vendor = "noto" if split == "shift" else "fluent"
    table = [s for s in sprite_table() if s.class_name == class_name]
    if (
        vendor == "noto"
    ):  # one drawing per first code point, as only that is drawn: variants of its sequence would repeat it
        table = list({s.codepoint.split("-")[0]: s for s in reversed(table)}.values())[::-1]
    else:
        seen = [s for s in table if s.split == "train"]
        unseen = [s for s in table if s.split == "held"]
        if split == "train" or not unseen:
            table = seen
        else:  # held-out and tuning scenes: about half of the objects are sprites never trained on
            times = max(1, round(len(seen) / len(unseen)))
            table = seen + unseen * times
    premultiplied = []
    for sprite in table:
        image = Image.fromarray(load_sprite(art, sprite, vendor))
        image.thumbnail((160, 160), Image.Resampling.LANCZOS)
        premultiplied.append((_bleed(image), sprite.phrase or class_name))
    return tuple(premultiplied)


def _bleed(image: Image.Image) -> Image.Image:
    """Give invisible pixels a visible neighbour's colour, so that resizing leaves no dark fringe."""
    rgba = np.asarray(image).astype(np.float32)
    rgb, alpha = rgba[..., :3], rgba[..., 3:] / 255
    flat = Image.fromarray(np.clip(rgb * alpha, 0, 255).astype(np.uint8))
    weight = image.getchannel("A")
    for radius in (2, 8, 64):
        small = (max(1, image.width // radius), max(1, image.height // radius))
        resized = (one.resize(small, Image.Resampling.BOX) for one in (flat, weight))
        colour, share = (np.asarray(one.resize(image.size, Image.Resampling.BILINEAR), np.float32) for one in resized)
        known = (alpha[..., 0] < 0.02) & (share > 2)
        rgb[known] = np.clip(colour[known] / (share[known, None] / 255), 0, 255)
        alpha = np.where(known[..., None], 0.03, alpha)  # so that wider radii skip filled pixels
    return Image.fromarray(np.dstack([rgb.astype(np.uint8), np.asarray(weight)]))


def draw_background(rng: np.random.Generator, place: str | None, side: int) -> np.ndarray:
    """A procedural background (side, side, 3) uint8: two tones with a horizon or gradient, soft blobs, fine
    grain.
    """
    if place is None:
        upper, lower = rng.uniform(30, 235, 3), rng.uniform(30, 235, 3)
    else:
        upper, lower = (np.asarray(c, float) for c in PLACES[place])
        shift = rng.normal(0, 10, 3)
        upper, lower = upper + shift, lower + shift + rng.normal(0, 6, 3)
    height = width = side
    y = np.linspace(0, 1, height)[:, None]
    x = np.linspace(0, 1, width)[None, :]
    horizon = rng.uniform(0.3, 0.7) + 0.06 * np.sin(2 * np.pi * (x * rng.uniform(0.3, 1.5) + rng.random()))
    sharpness = float(rng.choice((2.0, 6.0, 40.0)))
    blend = 1 / (1 + np.exp(-np.clip((y - horizon) * sharpness, -30, 30)))
    image = upper * (1 - blend[..., None]) + lower * blend[..., None]
    for cells, strength in ((4, 14.0), (12, 7.0)):
        blobs = rng.normal(0, rng.uniform(0.2, 1) * strength, (cells, cells)).astype(np.float32)
        soft = Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC)
        image += np.asarray(soft)[..., None]
    image += rng.normal(0, rng.uniform(0, 3), (height, width, 1))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def render_scenes(art: Path, out: Path) -> list[Path]:
    """Render every stored set from the art into `out`. Returns the written files."""
    written = []
    for name, (split, count) in MEASURED.items():
        scenes = [render_scene(art, i, split=split, objects=OBJECTS[i % len(OBJECTS)]) for i in range(count)]
        written.append(out / f"{name}.safetensors")
        write_scenes(written[-1], scenes)
    return written


def write_scenes(path: Path, scenes: Sequence[Scene]) -> None:
    """Write one set of scenes to `path`, atomically. Images are slightly lossy (WebP); label maps, classes and captions
    are exact.
    """
    images = [compress_image(s.image, "WEBP", quality=WEBP_QUALITY, method=6) for s in scenes]
    masks = [compress_image(s.label_map, "PNG", optimize=True) for s in scenes]
    tensors = pack_blobs("images", images) | pack_blobs("masks", masks)
    about = [{"classes": s.classes, "caption": s.caption} for s in scenes]
    write_atomic(path, save(tensors, {"scenes": json.dumps(about)}))


def write_scene_set(
    out: Path, name: str, *, count: int | None = None, art: Path | None = None, seed: int = SCENE_SEED
) -> int:
    """Write scenes as a native dataset and return their number.

    name: a stored set (`truth`, `shift`, `tune`), of which the first `count` scenes are written; or `train` or
    `shift-train`: scenes with the training sprites or with the other vendor's art, rendered from the folder `art` with
    `seed`. Raises UserError for an unknown name, missing art, a wrong count, or an `out` that is not free.
    """
    about = {"scenes": name, **({"seed": seed} if art else {})}
    if name not in RENDERED:
        return write_scenes_as_dataset(out, load_set(name, count), about)
    if art is None:
        raise UserError(
            f"--set {name} is rendered: name the folder of the art with --art (`python -m recipes.mini art` fetches it)"
        )
    count = 1000 if count is None else count
    if count < 1:
        raise UserError("count", f"{count} must be at least 1")
    return write_scenes_as_dataset(
        out, (render_scene(art, i, seed=seed, split=RENDERED[name]) for i in range(count)), about
    )
