"""The yardsticks: two small networks that recognise what a picture of the embedded world shows, and where.

`Classifier` checks whether a generated image shows the prompted class. `Segmenter` makes reference masks for generated images, which
have no exact masks. Both were trained only on rendered scenes of the training split (recipes/mini/yardsticks.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..errors import UserError, first_line
from ..files.messages import printable
from ..files.tensors import read_header
from ..metrics.scores import iou
from .scenes import CLASS_IDS, CLASSES, FOLDER, Scene

CLASSIFIER, SEGMENTER = FOLDER / "classifier.safetensors", FOLDER / "segmenter.safetensors"


class Block(nn.Sequential):
    """3 × 3 convolution, batch norm, SiLU: (B, in, R, R) → (B, out, R / stride, R / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU())


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


class Segmenter(nn.Module):
    """A small U-Net: (B, 3, S, S) in [-1, 1] → logits (B, 20, S, S), background first, then CLASSES. 0.7 M parameters.

    It works at half the image's side, with 2 × 2 pixels as channels at input and output. On a CPU this is four times faster than
    convolutions at full size, and loses no detail.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        self.down = nn.ModuleList([Block(3 * 4, widths[0])])
        for inputs, outputs in pairwise(widths):
            self.down.append(nn.Sequential(Block(inputs, outputs, stride=2), Block(outputs, outputs)))
        # Recognising an object needs all of it, so the mean of the deepest features is added everywhere.
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


_ID_OF_INDEX = np.array([0, *(CLASS_IDS[c] for c in CLASSES)], np.uint8)  # index of the segmenter's output → VOC id


def load_yardstick(network: nn.Module, path: Path) -> nn.Module:
    """Load weights written by `save_yardstick` into `network`. Raises UserError if the file is missing or for another network."""
    about = type(network).__name__.lower()
    tensors = read_header(path, f"there is no trained {about}; recipes/mini/yardsticks.py trains it").load("pt")
    try:
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
    except RuntimeError as error:
        why = printable(first_line(error))
        raise UserError(f"{path}: no trained {about} ({why}); recipes/mini/yardsticks.py trains it") from error
    return network.eval()


def load_classifier(path: Path = CLASSIFIER) -> Classifier:
    """The packaged classifier."""
    network = Classifier()
    load_yardstick(network, path)
    return network


def load_segmenter(path: Path = SEGMENTER) -> Segmenter:
    """The packaged segmenter."""
    network = Segmenter()
    load_yardstick(network, path)
    return network


def to_pixels(images: np.ndarray) -> torch.Tensor:
    """(n, H, W, 3) uint8 → (n, 3, H, W) float32 in [-1, 1]."""
    return torch.tensor(images).permute(0, 3, 1, 2).float() / 127.5 - 1


BATCH = 50


@torch.inference_mode()
def run_batched(network: nn.Module, images: np.ndarray) -> torch.Tensor:
    """The network's float32 output for images (n, H, W, 3) uint8, computed batch by batch."""
    return torch.cat([network(to_pixels(images[i : i + BATCH])).float() for i in range(0, len(images), BATCH)])


def recognised(network: Classifier, images: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """(n,) bool: whether the prompted class has the highest score, for images (n, S, S, 3) uint8."""
    best = run_batched(network, images).argmax(1).tolist()
    return np.array([CLASSES[b] == c for b, c in zip(best, classes, strict=True)])


def segment_known(network: Segmenter, images: np.ndarray, classes: list[tuple[str, ...]]) -> list[np.ndarray]:
    """Label maps (H, W) uint8 with VOC ids for images (n, H, W, 3) uint8: at each pixel the best of the image's known classes and the
    background.

    Mask methods also know the classes, so this comparison is fair.
    """
    label_maps = []
    for logits, names in zip(run_batched(network, images), classes, strict=True):
        allowed = [0, *(CLASSES.index(c) + 1 for c in names)]
        label_maps.append(_ID_OF_INDEX[np.array(allowed)[logits[allowed].argmax(0).numpy()]])
    return label_maps


def segmenter_iou(network: Segmenter, scenes: list[Scene]) -> float:
    """Mean IoU over (image, class) pairs of scenes with exact masks and known classes."""
    predicted = segment_known(network, np.stack([s.image for s in scenes]), [s.classes for s in scenes])
    values = [iou(p == CLASS_IDS[c], s.label_map == CLASS_IDS[c]) for p, s in zip(predicted, scenes, strict=True) for c in s.classes]
    return float(np.mean(values))
