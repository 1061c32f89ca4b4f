"""What the measure of chimeras says of objects that are whole, and of chimeras made on purpose.

    python benchmarks/chimera_measure.py --images 95

Every object is a training sprite on a procedural background. `whole` is the sprite; `halves` has the left half of one drawing and the
right half of another of its class; `over each other` shows both at once, half transparent. Where a class has one drawing, the other is
its mirror image. Each also after the model's autoencoder, which no drawing of the model can be sharper than.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from seediff.metrics.bootstrap import mean_interval
from seediff.mini.quality import reconstructed
from seediff.mini.world.scene import CLASSES, draw_background
from seediff.mini.yardsticks.segmenter import load_segmenter
from seediff.mini.yardsticks.shapes import explained, read_templates
from seediff.models.registry import load_model

SIDE = 128


def whole(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return one


def halves(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    middle = one.shape[2] // 2
    return torch.cat([one[..., :middle], other[..., middle:]], 2)


def over_each_other(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one + other) / 2


KINDS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "whole": whole,
    "halves": halves,
    "over each other": over_each_other,
}


def pairs(sprites: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Two drawings (4, R, R) of one class (n, 4, R, R); of a class with one drawing, it and its mirror image."""
    if len(sprites) == 1:
        return sprites[0], sprites[0].flip(2)
    first, second = rng.choice(len(sprites), 2, replace=False)
    return sprites[first], sprites[second]


def scene(sprite: torch.Tensor, rng: np.random.Generator) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8: the sprite, colours times alpha, at a size and place of its own on a background of its own."""
    size = int(SIDE * rng.uniform(0.55, 0.9))
    top, left = rng.integers(0, SIDE - size + 1, 2)
    placed = F.interpolate(sprite[None], (size, size), mode="bicubic", align_corners=False)[0].clamp(0, 1)
    image = torch.from_numpy(draw_background(rng, None, (SIDE, SIDE))).float().permute(2, 0, 1) / 255
    part = image[:, top : top + size, left : left + size]
    part *= 1 - placed[3]
    part += placed[:3]
    return (image * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--images", type=int, default=95)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model, templates, segmenter = load_model(options.model), read_templates(), load_segmenter()
    names = [CLASSES[i % len(CLASSES)] for i in range(options.images)]
    limits = np.array([templates.thresholds[name] for name in names])
    print("| object | after the autoencoder | chimeras | explained |")
    print("|---|---|---|---|", flush=True)
    for kind, mixed in KINDS.items():
        generators = [np.random.default_rng((options.seed, i)) for i in range(options.images)]
        images = np.stack([scene(mixed(*pairs(templates.sprites[n], rng)), rng) for n, rng in zip(names, generators, strict=True)])
        for after, shown in (("no", images), ("yes", reconstructed(model, list(images)))):
            scores = np.array([score for score, _ in explained(shown, names, segmenter, templates)])
            low, high = mean_interval(scores < limits)
            print(f"| {kind} | {after} | {(scores < limits).mean():.3f} ({low:.3f}–{high:.3f}) | {scores.mean():.3f} |", flush=True)


if __name__ == "__main__":
    main()
