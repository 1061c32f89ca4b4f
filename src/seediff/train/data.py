"""Makes batches: chooses samples, crops and recolours them, and reads them ahead of the training. An image depends only
on the seed and on its position in a stage, so a continued training sees the same images, with any number of threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from PIL import Image

from ..config.class_names import mirrored_ids
from ..config.train import TrainConfig
from ..dataset.sample import Sample
from ..files.label_maps import IGNORE
from .stages import Stage

CACHE_BYTES = 2 << 30
"""Bytes of memory for decoded samples; 20,000 images of 128 × 128 pixels fit."""
PAD = 128  # grey, near the mean of photographs
AHEAD = 3  # batches that threads read ahead
LONGEST_SIDE = 4  # an image is resized to a longer side of at most 4 sides of a crop
Pair = tuple[np.ndarray, np.ndarray]
"""(image, labels): (H, W, 3) and (H, W) uint8; or a batch of both."""


def sample_at(count: int, number: int, position: int, seed: int) -> int:
    """The index of the sample at a position of a stage. Every epoch uses each sample once, in another order.

    count: how many samples the stage has. number: the stage's number. position: from 0 on, over all epochs: with 100
    samples, position 250 is in the third epoch. seed: of the training.
    """
    epoch, at = divmod(position, count)
    return int(_order(count, seed, number, epoch)[at])


@lru_cache(maxsize=16)
def _order(count: int, seed: int, number: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, number, 0, epoch)).permutation(count)


class Decoded:
    """Index → decoded sample: (RGB picture, label map as an "L" picture). Decoded samples stay in memory while there is
    room. Raises UserError for ids outside the class list, unequal sizes and unreadable files."""

    def __init__(self, items: Sequence[Sample], classes: int) -> None:
        self.items = items
        self.classes = classes
        self.room = CACHE_BYTES
        self.kept: dict[int, tuple[Image.Image, Image.Image]] = {}

    def __getitem__(self, index: int) -> tuple[Image.Image, Image.Image]:
        if index in self.kept:
            return self.kept[index]
        labels = self.items[index].labels(self.classes)
        decoded = Image.fromarray(self.items[index].image), Image.fromarray(labels)
        size = 5 * decoded[0].width * decoded[0].height  # Pillow keeps four bytes per pixel of RGB
        if size <= self.room:
            self.room -= size
            self.kept[index] = decoded
        return decoded


def augment(
    image: Image.Image, labels: Image.Image, rng: np.random.Generator, config: TrainConfig, mirrored: Sequence[int]
) -> Pair:
    """A random crop at a random scale, randomly coloured and flipped: (crop, crop, 3) uint8 and (crop, crop) uint8.

    Label maps are never interpolated. Beyond the image, pixels are grey and labels 255. rng: draws all random numbers.
    mirrored: id → its id in a flipped picture, where a left hand is a right hand (`mirrored_ids`).
    """
    side = config.crop
    factor = side * rng.uniform(*config.scale) / min(image.size)
    factor = min(factor, LONGEST_SIDE * side / max(image.size))
    width, height = (max(1, round(n * factor)) for n in image.size)
    w, h = min(side, width), min(side, height)
    left, top = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
    # Only the visible part is resized.
    x, y = image.width / width, image.height / height
    box = (left * x, top * y, (left + w) * x, (top + h) * y)
    image = image.resize((w, h), Image.Resampling.BILINEAR, box)
    labels = labels.resize((w, h), Image.Resampling.NEAREST, box)
    if config.jitter:
        image = jitter(image, rng, config.jitter)
    if config.flip and rng.random() < 0.5:
        image, labels = (one.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for one in (image, labels))
        labels = labels.point(mirrored)
    pixels, ids = np.full((side, side, 3), PAD, np.uint8), np.full((side, side), IGNORE, np.uint8)
    pixels[:h, :w], ids[:h, :w] = np.asarray(image), np.asarray(labels)
    return pixels, ids


_LEVELS = np.arange(256, dtype=np.float32)


def jitter(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """The picture with other colours, as in the augmentation of the detector SSD: brightness, contrast, saturation and
    hue change, each with probability ½. strength: how much they change; 1: as much as SSD's."""
    brightness, contrast, saturation, hue = (
        base + strength * width * rng.uniform(-1, 1) * (rng.random() < 0.5)
        for base, width in ((0, 32), (1, 0.5), (1, 0.5), (0, 18 / 360))
    )
    if brightness or contrast != 1:
        levels = np.clip(np.rint((_LEVELS + brightness) * contrast), 0, 255).astype(np.uint8).tolist()
        image = image.point(levels * 3)
    if saturation != 1 or hue:
        # Pillow's hue has 256 levels per circle.
        hues = ((_LEVELS + round(hue * 256)) % 256).astype(np.uint8).tolist()
        saturations = np.clip(np.rint(_LEVELS * saturation), 0, 255).astype(np.uint8).tolist()
        image = image.convert("HSV").point([*hues, *saturations, *range(256)]).convert("RGB")
    return image


def batches(stage: Stage, number: int, config: TrainConfig, *, first: int = 0, workers: int = 1) -> Iterator[Pair]:
    """The batches of a stage: (images (B, H, W, 3) uint8, labels (B, H, W) uint8). Labels are class ids, 255 is
    ignored. number: the stage's number. first: the step to begin with. workers: how many threads read ahead; 0:
    none."""
    decoded = Decoded(stage.items, len(stage.classes))
    mirrored = mirrored_ids(stage.classes)

    def make(position: int) -> Pair:
        rng = np.random.default_rng((config.seed, 1000 + number, position))
        return augment(*decoded[sample_at(len(stage.items), number, position, config.seed)], rng, config, mirrored)

    def stacked(samples: Iterable[Pair]) -> Pair:
        images, labels = zip(*samples, strict=True)
        return np.stack(images), np.stack(labels)

    size = config.batch_size
    numbered = [range(step * size, (step + 1) * size) for step in range(first, stage.step_count(size))]
    if workers == 0:
        yield from (stacked(map(make, positions)) for positions in numbered)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[list[Future[Pair]]] = deque()
        try:
            for positions in (*numbered, *([] for _ in range(AHEAD))):  # empty ones push out the last batches
                waiting.append([pool.submit(make, p) for p in positions])
                if len(waiting) > AHEAD:
                    yield stacked(sample.result() for sample in waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
