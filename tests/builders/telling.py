"""Drawn samples whose masks are poor although one attention layer shows the object, so that corrections can teach which layer counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.generate import GenerateConfig
from seediff.prompts.specs import SampleSpec
from seediff.run.generate import generate

SIDE, PIXELS = 16, 4
CONFIG = GenerateConfig(
    classes=("dog", "cat"),
    per_class=10,
    batch_size=5,
    keep_attention=True,
    mask=MaskConfig(method="ca", pamr=False, beta=0.5, expand_levels=(1,)),
    capture=CaptureConfig(apart=True),
    device="cpu",
    threads=1,
)


def truth(seed: int, side: int) -> np.ndarray:
    """(side, side) bool: the square that a sample shows."""
    top, left = np.random.default_rng(seed).integers(1, 7, 2)
    square = np.zeros((SIDE, SIDE), bool)
    square[top : top + 8, left : left + 8] = True
    return square.repeat(side // SIDE, 0).repeat(side // SIDE, 1)


def draw(specs: Sequence[SampleSpec], *, telling: bool = True) -> tuple[list[np.ndarray], list[AttentionMaps]]:
    """Images and maps. With `telling`, the first cross-attention layer is the square with some noise; the other layers are noise."""
    images, maps = [], []
    for spec in specs:
        rng = np.random.default_rng(spec.seed + 1)
        square = truth(spec.seed, SIDE)
        layers = {f"up.{i}.attn2": rng.random((SIDE * SIDE, 3)) for i in range(4)}
        if telling:
            layers["up.0.attn2"][:, 1] = 0.7 * square.ravel() + 0.3 * layers["up.0.attn2"][:, 1]
        cross = {name: torch.from_numpy(values).float() for name, values in layers.items()}
        own = {"up.0.attn1": torch.full((SIDE * SIDE, SIDE * SIDE), 1 / SIDE**2)}
        grid, mean = (SIDE, SIDE), torch.stack(list(cross.values())).mean(0)
        words = dict.fromkeys(spec.classes, (1,))
        made = AttentionMaps({grid: own["up.0.attn1"].clone()}, {grid: mean}, grid, words, spec.prompt, self_layers={grid: own})
        maps.append(AttentionMaps(**{**vars(made), "cross_layers": {grid: cross}}))
        image = rng.integers(60, 100, (SIDE * PIXELS, SIDE * PIXELS, 3), np.uint8)
        image[truth(spec.seed, SIDE * PIXELS)] += 90
        images.append(image)
    return images, maps


def write_telling(out: Path, *, telling: bool = True) -> Path:
    generate(CONFIG, out, draw=lambda specs: draw(specs, telling=telling))
    return out
