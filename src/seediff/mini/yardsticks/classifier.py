"""The classifier that says whether a generated image shows what was asked for: which of the 19 classes a 128² image holds.

Trained on scenes of one to three objects, one yes or no a class; an image is recognised when the prompted class scores highest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..world.scene import CLASS_IDS, CLASSES, Scene
from .networks import FOLDER, Block, YardstickRecipe, fit, load_yardstick, run_batched, stacked

WEIGHTS = FOLDER / "classifier.safetensors"


class Classifier(nn.Module):
    """(B, 3, S, S) in [-1, 1] → logits (B, 19), in the order of CLASSES. 0.7 M parameters."""

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 192)) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        inputs = 3
        for width in widths:
            blocks += [Block(inputs, width, stride=2), *([Block(width, width)] if inputs > 3 else [])]
            inputs = width
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(2 * inputs, len(CLASSES))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.body(pixels)
        return self.head(torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1))


def presence(label_maps: torch.Tensor) -> torch.Tensor:
    """(B, H, W) VOC ids → (B, 19) 1.0 where a class is in the image."""
    return torch.stack([(label_maps == CLASS_IDS[c]).flatten(1).any(1) for c in CLASSES], 1).float()


def train_classifier(scenes: list[Scene], recipe: YardstickRecipe, report: Callable[[dict], None], device: str = "cpu") -> Classifier:
    """Train on rendered scenes."""
    torch.manual_seed(recipe.seed)
    network = Classifier()
    images, label_maps = stacked(scenes)
    fit(network, images, presence(label_maps), F.binary_cross_entropy_with_logits, recipe, report, device)
    return network


def load_classifier(path: Path = WEIGHTS) -> Classifier:
    """The packaged classifier."""
    network = Classifier()
    load_yardstick(network, path)
    return network


def recognised(network: Classifier, images: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """(n,) bool: whether the class asked for scores highest, for images (n, S, S, 3) uint8."""
    best = run_batched(network, images).argmax(1).tolist()
    return np.array([CLASSES[b] == c for b, c in zip(best, classes, strict=True)])
