"""The yardstick: a small segmenter of the embedded world, for images that have no exact masks.

It is a measuring instrument: trained only on rendered scenes of the training split, never on images that the embedded
model drew.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from seediff.devices import mixed_precision
from seediff.files.tensors import read_header, write_tensors
from seediff.mini import CLASS_IDS, CLASSES, Scene

from .sets import FOLDER, load_set
from .world import render_scene

SEGMENTER = FOLDER / "segmenter.safetensors"
SCENE_SEED = 1000  # scenes of the training split that the embedded model did not learn from
CHECK_SCENES = 300
BATCH = 50


class Block(nn.Sequential):
    """3 × 3 convolution, batch norm, SiLU: (B, in, R, R) → (B, out, R / stride, R / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU())


class Segmenter(nn.Module):
    """A small U-Net: (B, 3, S, S) in [-1, 1] → logits (B, 20, S, S), background first, then CLASSES. 0.7 M parameters.

    It works at half the image's side, with 2 × 2 pixels as channels at input and output. On a CPU this is four times
    faster than convolutions at full size, and loses no detail.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        self.down = nn.ModuleList([Block(3 * 4, widths[0])])
        for inputs, outputs in pairwise(widths):
            self.down.append(nn.Sequential(Block(inputs, outputs, stride=2), Block(outputs, outputs)))
        # Recognising an object needs all of it, so the mean of the deepest features is added everywhere.
        self.context = nn.Linear(widths[-1], widths[-1])
        self.up = nn.ModuleList(
            [Block(deep + skip, skip) for deep, skip in zip(widths[:0:-1], widths[-2::-1], strict=True)]
        )
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


_IDS = np.array([0, *(CLASS_IDS[c] for c in CLASSES)], np.uint8)  # index of the segmenter's output → VOC id
_INDEX = torch.zeros(256, dtype=torch.long)  # the reverse
_INDEX[torch.from_numpy(_IDS.astype(np.int64))] = torch.arange(len(_IDS))


def load_yardstick(network: nn.Module, path: Path) -> nn.Module:
    """Load weights into `network`, for evaluation. Raises UserError if the file is missing or for another network."""
    about = type(network).__name__.lower()
    tensors = read_header(path, f"there is no trained {about}; `python -m recipes.mini yardstick` trains it").load("pt")
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
    return network.eval()


def load_segmenter(path: Path = SEGMENTER) -> Segmenter:
    network = Segmenter()
    load_yardstick(network, path)
    return network


def to_pixels(images: np.ndarray) -> torch.Tensor:
    """(n, H, W, 3) uint8 → (n, 3, H, W) float32 in [-1, 1]."""
    return torch.tensor(images).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.inference_mode()
def run_batched(network: nn.Module, images: np.ndarray) -> torch.Tensor:
    """The network's float32 output for images (n, H, W, 3) uint8, computed batch by batch."""
    return torch.cat([network(to_pixels(images[i : i + BATCH])).float() for i in range(0, len(images), BATCH)])


def segment_known(network: Segmenter, images: np.ndarray, classes: list[tuple[str, ...]]) -> list[np.ndarray]:
    """Label maps (H, W) uint8 with VOC ids for images (n, H, W, 3) uint8: at each pixel the best of the image's known
    classes and the background.

    Mask methods also know the classes, so this comparison is fair.
    """
    label_maps = []
    for logits, names in zip(run_batched(network, images), classes, strict=True):
        allowed = [0, *(CLASSES.index(c) + 1 for c in names)]
        label_maps.append(_IDS[np.array(allowed)[logits[allowed].argmax(0).numpy()]])
    return label_maps


def segmenter_iou(network: Segmenter, scenes: list[Scene]) -> float:
    """Mean IoU over (image, class) pairs of scenes with exact masks and known classes."""
    predicted = segment_known(network, np.stack([s.image for s in scenes]), [s.classes for s in scenes])
    values = [
        iou(p == CLASS_IDS[c], s.label_map == CLASS_IDS[c])
        for p, s in zip(predicted, scenes, strict=True)
        for c in s.classes
    ]
    return float(np.mean(values))


def iou(predicted: np.ndarray, exact: np.ndarray) -> float:
    """Intersection over union of two masks (H, W) bool; 1 if both are empty."""
    return (
        float((predicted & exact).sum() / max((predicted | exact).sum(), 1)) if exact.any() or predicted.any() else 1.0
    )


@dataclass(frozen=True)
class YardstickRecipe:
    """How a network is trained: about ten minutes on one core."""

    scenes: int = 6_000
    samples: int = 36_000  # in total, drawn with replacement from the scenes
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0


def train_yardstick(
    art: Path, out: Path = SEGMENTER, *, report: Callable[[dict], None] = lambda row: None
) -> dict[str, float]:
    """Train the segmenter on rendered scenes, write it to `out` in half precision, and return its mean IoU on the
    stored held-out scenes (half of their objects are sprites never trained on) and on new scenes of the training
    sprites, which are what the model draws."""
    recipe = YardstickRecipe()
    scenes = [render_scene(art, i, seed=SCENE_SEED) for i in range(recipe.scenes + CHECK_SCENES)]
    segmenter = train_segmenter(scenes[: recipe.scenes], recipe, report)
    weights = {k: v.half() if v.is_floating_point() else v for k, v in segmenter.state_dict().items()}
    held = load_set("truth", CHECK_SCENES)
    quality = {
        "held_scenes": segmenter_iou(segmenter, held),
        "known_sprites": segmenter_iou(segmenter, scenes[recipe.scenes :]),
    }
    write_tensors(out, weights, {k: f"{v:.4f}" for k, v in quality.items()})
    return quality


def train_segmenter(scenes: list[Scene], recipe: YardstickRecipe, report: Callable[[dict], None]) -> Segmenter:
    """Train a segmenter on rendered scenes and their exact masks."""
    torch.manual_seed(recipe.seed)
    network = Segmenter()

    def loss_of(logits: torch.Tensor, label_maps: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, _INDEX.to(label_maps.device)[label_maps.long()])

    label_maps = torch.from_numpy(np.stack([s.label_map for s in scenes]))
    fit(network, np.stack([s.image for s in scenes]), label_maps, loss_of, recipe, report)
    return network


def augment(
    pixels: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random flips, brightness, contrast, noise and (in a third of the images) blur: generated images are softer than
    rendered ones.

    pixels: (B, 3, H, W) in [-1, 1]. targets: label maps (B, H, W), which are flipped along, or targets (B, …) that
    flips do not change.
    """
    size = (len(pixels), 1, 1, 1)
    flip = torch.rand(size, generator=generator) < 0.5
    if targets.ndim == 3:
        targets = torch.where(flip[:, 0], targets.flip(-1), targets)
    pixels = torch.where(flip, pixels.flip(-1), pixels)
    soft = F.interpolate(F.avg_pool2d(pixels, 2), scale_factor=2, mode="bilinear")
    pixels = torch.where(torch.rand(size, generator=generator) < 1 / 3, soft, pixels)
    gain = 0.85 + 0.3 * torch.rand(size, generator=generator)
    offset = 0.2 * torch.rand(size, generator=generator) - 0.1
    noise = 0.04 * torch.rand(size, generator=generator) * torch.randn(pixels.shape, generator=generator)
    return (pixels * gain + offset + noise).clamp(-1, 1), targets


def fit(
    network: nn.Module,
    images: np.ndarray,
    targets: torch.Tensor,
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    recipe: YardstickRecipe,
    report: Callable[[dict], None],
    device: str = "cpu",
) -> nn.Module:
    """Train `network` on images (n, H, W, 3) uint8. `loss_of(output, targets of a batch)` is a scalar; targets: as in
    `augment`. Uses AdamW with a one-cycle rate, and bfloat16 if the device has it. Returns the network on the CPU, in
    evaluation mode."""
    network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = max(1, recipe.samples // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps + 1, pct_start=0.1
    )
    running = None
    for step in range(steps):
        rng = np.random.default_rng((recipe.seed, step))
        picks = np.sort(rng.integers(len(images), size=recipe.batch))
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        pixels, wanted = augment(to_pixels(images[picks]), targets[picks], generator)
        with mixed_precision(device):
            output = network(pixels.to(device))
        loss = loss_of(output.float(), wanted.to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        if not math.isfinite(running):
            raise RuntimeError(
                f"{type(network).__name__}: the loss is {running} at step {step}; lower the learning rate"
            )
        if (step + 1) % 20 == 0 or step == steps - 1:
            report({"stage": type(network).__name__.lower(), "step": step + 1, "steps": steps, "loss": running})
    return network.to("cpu").eval()
