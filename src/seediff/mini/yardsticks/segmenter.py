"""The segmenter trained on exact masks: what masks of generated images, which have no exact ones, are compared with."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ...metrics.scores import iou
from ..world.scene import CLASS_IDS, CLASSES, Scene
from .networks import FOLDER, Block, YardstickRecipe, fit, load_yardstick, run_batched, stacked

WEIGHTS = FOLDER / "segmenter.safetensors"


class Segmenter(nn.Module):
    """A small U-Net: (B, 3, S, S) in [-1, 1] → logits (B, 20, S, S), background first, then CLASSES. 0.7 M parameters.

    It works at half the image's side: 2 × 2 pixels come in as channels and go out as channels, which is four times
    faster on a CPU than convolutions at full side and loses no detail.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        self.down = nn.ModuleList([Block(3 * 4, widths[0])])
        for inputs, outputs in pairwise(widths):
            self.down.append(nn.Sequential(Block(inputs, outputs, stride=2), Block(outputs, outputs)))
        # The object's class needs to see the whole of it: the deepest features' mean is added everywhere.
        self.context = nn.Linear(widths[-1], widths[-1])
        self.up = nn.ModuleList([Block(deep + skip, skip) for deep, skip in zip(widths[:0:-1], widths[-2::-1], strict=True)])
        self.head = nn.Conv2d(widths[0], 4 * (1 + len(CLASSES)), 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        skips = []
        features = F.pixel_unshuffle(pixels, 2)
        for block in self.down:
            features = block(features)
            skips.append(features)
        features = features + self.context(features.mean((2, 3)))[..., None, None]
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            features = F.interpolate(features, scale_factor=2, mode="bilinear")
            features = block(torch.cat([features, skip], 1))
        return F.pixel_shuffle(self.head(features), 2)


_INDEX_OF_ID = torch.zeros(256, dtype=torch.long)  # VOC id → the segmenter's own index
for _index, _name in enumerate(CLASSES):
    _INDEX_OF_ID[CLASS_IDS[_name]] = _index + 1
_ID_OF_INDEX = np.array([0, *(CLASS_IDS[c] for c in CLASSES)], np.uint8)


def train_segmenter(scenes: list[Scene], recipe: YardstickRecipe, report: Callable[[dict], None], device: str = "cpu") -> Segmenter:
    """Train on rendered scenes and their exact masks."""
    torch.manual_seed(recipe.seed)
    network = Segmenter()

    def loss_of(logits: torch.Tensor, label_maps: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, _INDEX_OF_ID.to(label_maps.device)[label_maps.long()])

    fit(network, *stacked(scenes), loss_of, recipe, report, device)
    return network


def load_segmenter(path: Path = WEIGHTS) -> Segmenter:
    """The packaged segmenter."""
    network = Segmenter()
    load_yardstick(network, path)
    return network


def segment_known(network: Segmenter, images: np.ndarray, classes: list[tuple[str, ...]]) -> list[np.ndarray]:
    """Label maps (H, W) uint8 of VOC ids for images (n, H, W, 3) uint8, each image's classes known: the best of those and background.

    Mask methods are told the class too, so a yardstick that had to guess it would be the weaker one.
    """
    label_maps = []
    for logits, names in zip(run_batched(network, images), classes, strict=True):
        allowed = [0, *(CLASSES.index(c) + 1 for c in names)]
        label_maps.append(_ID_OF_INDEX[np.array(allowed)[logits[allowed].argmax(0).numpy()]])
    return label_maps


def segmenter_iou(network: Segmenter, scenes: list[Scene]) -> float:
    """Mean IoU over (image, class) pairs of scenes with exact masks, classes known."""
    predicted = segment_known(network, np.stack([s.image for s in scenes]), [s.classes for s in scenes])
    values = [iou(p == CLASS_IDS[c], s.label_map == CLASS_IDS[c]) for p, s in zip(predicted, scenes, strict=True) for c in s.classes]
    return float(np.mean(values))
