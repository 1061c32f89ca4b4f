"""Toy pictures of one or two objects of one class, side by side and touching, so that only their colours tell them apart."""

from __future__ import annotations

import numpy as np

from seediff.dataset.encoding import Instances
from seediff.dataset.sample import Sample

CLASSES = ("square", "disc")


def touching(number: int, side: int = 64) -> Sample:
    """A red and a blue rectangle that touch in the middle of a grey picture; for odd numbers only the blue one."""
    rng = np.random.default_rng(number)
    top, half = int(rng.integers(8, side // 2 - 8)), side // 2
    numbers = np.zeros((side, side), np.uint16)
    numbers[top : top + 24, half : half + 20] = 1
    if number % 2 == 0:
        numbers[top : top + 24, half - 20 : half] = 2
    colours = np.array([(150, 150, 150), (40, 60, 220), (220, 50, 40)])
    image = (colours[numbers] + rng.integers(-10, 10, (side, side, 3))).clip(0, 255).astype(np.uint8)
    instances = Instances(numbers, (1,) * int(numbers.max()))
    return Sample(image, instances.label_map(), instances, name=f"o{number}")
