"""A toy dataset that a network learns in seconds: class 1 is a bright square on dark ground, class 2 a dark disc on
bright ground.
"""

import numpy as np

from seediff.config.train import make_config
from seediff.dataset.encoding import encode_image
from seediff.dataset.sample import Sample

CLASSES = ("square", "disc")
SIDE = 64


def scene(number, side=SIDE):
    """An image (side, side, 3) uint8, and its label map (side, side) uint8 with a stripe of 255."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side]
    centre, radius = rng.integers(side // 3, 2 * side // 3, 2), rng.integers(side // 6, side // 3)
    distance = np.stack([abs(y - centre[0]), abs(x - centre[1])])
    kind = number % 2 + 1
    inside = distance.max(0) < radius if kind == 1 else np.hypot(*distance) < radius
    image = np.where(
        inside[..., None], (230, 60, 60) if kind == 1 else (30, 40, 90), (40, 60, 40) if kind == 1 else (200, 220, 200)
    )
    labels = np.where(inside, kind, 0).astype(np.uint8)
    labels[:, :2] = 255
    return (image + rng.integers(-10, 10, image.shape)).clip(0, 255).astype(np.uint8), labels


def items(count=8, side=SIDE, first=0):
    made = [scene(first + i, side) for i in range(count)]
    return [Sample(encode_image(image, "png"), labels, name=f"s{first + i}") for i, (image, labels) in enumerate(made)]


def small(**given):
    """A tiny configuration for toy scenes."""
    toy = {
        "backbone": "tiny",
        "crop": 64,
        "test_side": 64,
        "batch_size": 4,
        "points": 256,
        "warmup": 2,
        "device": "cpu",
    }
    return make_config({**toy, **given})
