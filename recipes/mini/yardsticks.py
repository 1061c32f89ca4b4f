"""Makes the yardsticks (two networks, templates, moments) and measures how good they are, on scenes that none has seen.

They are measuring instruments: made only from rendered scenes of the training split, never from images that the embedded model drew, and
small enough to ship with the package, which defines the networks (seediff/mini/yardsticks.py).
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from seediff.devices import mixed_precision
from seediff.files.outputs import write_tensors
from seediff.mini.frechet import DRAWN, features_of, frechet_distance, moments
from seediff.mini.frechet import FILE as MOMENTS
from seediff.mini.scenes import CLASS_IDS, CLASSES, FOLDER, Scene, load_scenes, pack_blobs
from seediff.mini.shapes import FILE as TEMPLATES
from seediff.mini.shapes import SIDE, explained, templates_of
from seediff.mini.yardsticks import CLASSIFIER, SEGMENTER, Classifier, Segmenter, load_segmenter, recognised, segmenter_iou, to_pixels

from .art import load_sprite, sprite_table
from .world import render_scene

SCENE_SEED = 1000  # scenes of the training split that the embedded model did not learn from
CHECK_SCENES = 300
WHOLE = 40  # rendered objects per class from which its threshold is computed
PASSING, MARGIN = 0.97, 0.04
"""A class's threshold is a margin below the score that 97 % of its rendered objects reach, because few objects show little of the worst."""


@dataclass(frozen=True)
class YardstickRecipe:
    """How both networks are trained: about ten minutes each on one core."""

    scenes: int = 6_000
    samples: int = 36_000  # in total, drawn with replacement from the scenes
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0


def train_yardsticks(art: Path, out: Path = FOLDER, *, report: Callable[[dict], None] = lambda row: None) -> dict[str, dict[str, float]]:
    """Train classifier and segmenter on rendered scenes, write both to `out`, and return their accuracy and mean IoU.

    Both are measured twice: on the packaged held-out scenes (half of their objects are sprites never trained on) and on
    new scenes of the training sprites, which is what the embedded model can draw.
    """
    recipe = YardstickRecipe()
    scenes = [render_scene(art, i, seed=SCENE_SEED) for i in range(recipe.scenes)]
    held = load_scenes("truth", CHECK_SCENES)
    # Further scenes of the training split: known sprites in unseen places.
    known = [render_scene(art, recipe.scenes + i, seed=SCENE_SEED) for i in range(CHECK_SCENES)]

    classifier = train_classifier(scenes, recipe, report)
    accuracy = {"held_scenes": accuracy_on(classifier, held), "known_sprites": accuracy_on(classifier, known)}
    save_yardstick(classifier, out / CLASSIFIER.name, {k: f"{v:.4f}" for k, v in accuracy.items()})

    segmenter = train_segmenter(scenes, recipe, report)
    quality = {"held_scenes": segmenter_iou(segmenter, held), "known_sprites": segmenter_iou(segmenter, known)}
    save_yardstick(segmenter, out / SEGMENTER.name, {k: f"{v:.4f}" for k, v in quality.items()})
    return {"classifier": accuracy, "segmenter": quality}


def train_classifier(scenes: list[Scene], recipe: YardstickRecipe, report: Callable[[dict], None]) -> Classifier:
    """Train a classifier on rendered scenes."""
    torch.manual_seed(recipe.seed)
    network = Classifier()
    images, label_maps = stacked(scenes)
    fit(network, images, presence(label_maps), F.binary_cross_entropy_with_logits, recipe, report)
    return network


def train_segmenter(scenes: list[Scene], recipe: YardstickRecipe, report: Callable[[dict], None]) -> Segmenter:
    """Train a segmenter on rendered scenes and their exact masks."""
    torch.manual_seed(recipe.seed)
    network = Segmenter()

    def loss_of(logits: torch.Tensor, label_maps: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, _INDEX_OF_ID.to(label_maps.device)[label_maps.long()])

    fit(network, *stacked(scenes), loss_of, recipe, report)
    return network


_INDEX_OF_ID = torch.zeros(256, dtype=torch.long)  # VOC id → index of the segmenter's output
for _index, _name in enumerate(CLASSES):
    _INDEX_OF_ID[CLASS_IDS[_name]] = _index + 1


def presence(label_maps: torch.Tensor) -> torch.Tensor:
    """(B, H, W) VOC ids → (B, 19): 1.0 where a class is in the image."""
    return torch.stack([(label_maps == CLASS_IDS[c]).flatten(1).any(1) for c in CLASSES], 1).float()


def stacked(scenes: list[Scene]) -> tuple[np.ndarray, torch.Tensor]:
    """Images (n, H, W, 3) uint8 and label maps (n, H, W) uint8 of VOC ids."""
    return np.stack([s.image for s in scenes]), torch.from_numpy(np.stack([s.label_map for s in scenes]))


def augment(pixels: torch.Tensor, targets: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Random flips, brightness, contrast, noise and (in a third of the images) blur: generated images are softer than rendered ones.

    pixels: (B, 3, H, W) in [-1, 1]. targets: label maps (B, H, W), which are flipped along, or targets (B, …) that flips do not change.
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
    """Train `network` on images (n, H, W, 3) uint8. `loss_of(output, targets of a batch)` is a scalar; targets: as in `augment`. Uses AdamW
    with a one-cycle rate, and bfloat16 if the device has it. Returns the network on the CPU, in evaluation mode."""
    network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = max(1, recipe.samples // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps + 1, pct_start=0.1)
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
            raise RuntimeError(f"{type(network).__name__}: the loss is {running} at step {step}; lower the learning rate")
        if (step + 1) % 20 == 0 or step == steps - 1:
            report({"stage": type(network).__name__.lower(), "step": step + 1, "steps": steps, "loss": running})
    return network.to("cpu").eval()


def save_yardstick(network: nn.Module, path: Path, about: dict[str, str]) -> None:
    """Write the weights in half precision, atomically. about: strings for the header."""
    write_tensors(path, {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}, about)


def accuracy_on(classifier: Classifier, scenes: list[Scene]) -> float:
    """Share of the single-object scenes whose class scores highest."""
    single = [s for s in scenes if len(s.classes) == 1]
    return float(recognised(classifier, np.stack([s.image for s in single]), [s.classes[0] for s in single]).mean())


def calibrate_measures(
    art: Path, out: Path = FOLDER, *, whole: int = WHOLE, drawn: int = DRAWN, report: Callable[[dict], None] = lambda row: None
) -> dict[str, dict[str, float]]:
    """Write the templates with their thresholds, and the moments of rendered scenes, to `out`. Uses the packaged networks.

    Returns the share of other rendered objects that pass, over all classes and in the worst class, and the moments' floor: the distance of
    these other scenes.
    """
    first = YardstickRecipe().scenes + CHECK_SCENES  # beyond those that the networks are trained and measured on
    scenes = [render_scene(art, first + i, seed=SCENE_SEED, objects=1) for i in range((whole + drawn) * len(CLASSES))]
    images, names = np.stack([s.image for s in scenes]), [s.classes[0] for s in scenes]
    set_on = whole * len(CLASSES)
    named, blobs = template_sprites(art)
    segmenter, templates = load_segmenter(), templates_of(named, blobs, dict.fromkeys(CLASSES, 0.0), str(art))
    scores: list[float] = []
    for start in range(0, len(images), 50):
        scores += [score for score, _ in explained(images[start : start + 50], names[start : start + 50], segmenter, templates)]
        report({"stage": "templates", "step": len(scores), "steps": len(images), "loss": 1 - scores[-1]})
    by_class = {c: [s for s, n in zip(scores[:set_on], names[:set_on], strict=True) if n == c] for c in CLASSES}
    thresholds = thresholds_of(by_class)
    write_templates(out / TEMPLATES.name, named, blobs, thresholds)
    passed = {c: np.mean([s >= thresholds[c] for s, n in zip(scores[set_on:], names[set_on:], strict=True) if n == c]) for c in CLASSES}
    floor = write_moments(out / MOMENTS.name, images[:set_on], images[set_on:])
    return {
        "templates": {"pass": float(np.mean(list(passed.values()))), "lowest_class": float(min(passed.values()))},
        "moments": {"floor": floor},
    }


def thresholds_of(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Class → the explained share that PASSING of its whole objects reach, less MARGIN."""
    return {name: round(float(np.quantile(values, 1 - PASSING)) - MARGIN, 4) for name, values in scores.items()}


def template_sprites(art: Path) -> tuple[list[tuple[str, str]], list[bytes]]:
    """The training sprites at template size: (class, name) of each, and its WebP bytes."""
    named, blobs = [], []
    for sprite in sprite_table():
        if sprite.split == "train":
            image = Image.fromarray(load_sprite(art, sprite, "fluent"))
            image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            image.save(buffer, "WEBP", quality=90, method=6)
            blobs.append(buffer.getvalue())
            named.append((sprite.class_name, sprite.name))
    return named, blobs


def write_templates(path: Path, named: Sequence[tuple[str, str]], blobs: Sequence[bytes], thresholds: Mapping[str, float]) -> None:
    """Write the results of `template_sprites`, and the thresholds, to `path`, atomically."""
    about = {"sprites": [list(one) for one in named], "thresholds": dict(thresholds)}
    write_tensors(path, pack_blobs("sprites", blobs), {"templates": json.dumps(about)})


def write_moments(path: Path, scenes: np.ndarray, others: np.ndarray) -> float:
    """Write the moments of rendered scenes (n, S, S, 3) uint8, and the distance of `others` from them, to `path`. Returns that distance."""
    rendered = moments(features_of(scenes))
    floor = frechet_distance(moments(features_of(others)), rendered)
    tensors = {"mean": rendered[0].astype(np.float32), "covariance": rendered[1].astype(np.float32)}
    write_tensors(path, tensors, {"floor": json.dumps(floor)})
    return floor
