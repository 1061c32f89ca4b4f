"""Measures how well a model draws: how much of a drawn object the best single drawing of its class explains.

A classifier is satisfied by parts: it accepts a horse with a head at either end. Here the object's mask and colours are
compared with every training sprite of its class, mirrored or not, turned, scaled and moved. The share of the area that
the best sprite explains is low for a mixture of several. To tell whether a new training is better, compare its share
with that of the weights that ship, drawn with one seed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from recipes.progress import tracked
from seediff.attention.generate import generate_batch
from seediff.attention.plan import plan_capture
from seediff.config.generate import GenerateConfig
from seediff.files.output_folders import check_writable
from seediff.files.outputs import write_atomic
from seediff.metrics.bootstrap import mean_interval
from seediff.mini.scenes import CLASSES
from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec
from seediff.report.pictures import contact_sheet, encoded

from .art import load_sprite, sprite_table
from .sets import PLACES, caption
from .yardstick import Segmenter, load_segmenter, run_batched

SIDE = 64
"""Side in pixels at which drawings and sprites are compared."""
TURNS = (-12.0, -6.0, 0.0, 6.0, 12.0)  # degrees; sprites in the embedded world turn this far
COLOUR = 0.25
"""Root mean square difference over the three channels (range 1) from which a pixel is unexplained; below it, the pixel
counts in part.
"""
GAINS = (0.6, 1.4)  # gain per channel, because the embedded world varies brightness, saturation and tint
KEPT = 8  # candidates that are refined


BATCH = 16


def check_drawings(art: Path, model: str, out: Path, *, images: int = 76, seed: int = 0) -> dict[str, Any]:
    """Draw `images` as `seediff generate` does, classes in turn. Write the share that the best sprite explains, over
    all with its 95 % interval and per class, to quality.json in `out`, and the drawings to generated.png. Returns the
    figures. Raises UserError like `load_model`, and for missing art."""
    drawing = GenerateConfig.recommended(classes=CLASSES, model=model)
    check_writable(out)
    sprites, segmenter = class_sprites(art), load_segmenter()
    loaded, specs = load_model(model, scheduler=drawing.scheduler), prompts(images, seed)
    options: dict[str, Any] = {
        "steps": drawing.steps,
        "guidance_scale": drawing.guidance_scale,
        "negative_prompt": "",
        "size": None,
    }
    plan = plan_capture(loaded.family, loaded.network.config)
    drawn: list[np.ndarray] = []
    for start in tracked(range(0, images, BATCH), "drawing", -(-images // BATCH)):
        drawn += generate_batch(loaded, specs[start : start + BATCH], **options, plan=plan)[0]
    names = [spec.classes[0] for spec in specs]
    shares = np.array(explained(np.stack(drawn), names, segmenter, sprites))
    per_class = {name: round(float(shares[[n == name for n in names]].mean()), 4) for name in dict.fromkeys(names)}
    about = {
        "model": loaded.name,
        "images": images,
        "seed": seed,
        "steps": drawing.steps,
        "guidance_scale": drawing.guidance_scale,
    }
    result = {
        **about,
        "explained": round(float(shares.mean()), 4),
        "ci95": list(mean_interval(shares)),
        "per_class": per_class,
    }
    write_atomic(out / "quality.json", (json.dumps(result, indent=2) + "\n").encode())
    write_atomic(out / "generated.png", encoded(contact_sheet(drawn, len(CLASSES), [spec.prompt for spec in specs])))
    return result


def prompts(count: int, seed: int) -> list[SampleSpec]:
    """`count` samples with one class each: classes take turns, and every second round names a place."""
    places = [None, *PLACES]
    specs = []
    for index in range(count):
        name, turn = CLASSES[index % len(CLASSES)], index // len(CLASSES)
        place = places[1 + (turn // 2 + index) % len(PLACES)] if turn % 2 else None
        specs.append(SampleSpec(index, (name,), caption((name,), place), seed * 1_000_003 + index))
    return specs


def class_sprites(art: Path) -> dict[str, torch.Tensor]:
    """Class → its training sprites (n, 4, SIDE, SIDE) in [0, 1], colours times alpha, and alpha."""
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in CLASSES}
    for sprite in sprite_table():
        if sprite.split == "train":
            image = Image.fromarray(load_sprite(art, sprite, "fluent"))
            image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            canvas = np.zeros((SIDE, SIDE, 4), np.float32)
            top, left = (SIDE - image.height) // 2, (SIDE - image.width) // 2
            canvas[top : top + image.height, left : left + image.width] = np.asarray(image, np.float32) / 255
            canvas[..., :3] *= canvas[..., 3:]
            rows[sprite.class_name].append(torch.from_numpy(canvas).permute(2, 0, 1))
    return {name: torch.stack(row) for name, row in rows.items()}


def explained(
    images: np.ndarray, classes: Sequence[str], segmenter: Segmenter, sprites: Mapping[str, torch.Tensor]
) -> list[float]:
    """For drawings (n, S, S, 3) uint8, each with one object of a known class: the explained share in [0, 1]. The
    yardstick finds the object; an image without an object gets 0."""
    scores = []
    for image, name, logits in zip(images, classes, run_batched(segmenter, images), strict=True):
        probability = logits[[0, CLASSES.index(name) + 1]].softmax(0)[1]
        mask = F.adaptive_avg_pool2d(probability[None], SIDE)[0]
        pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
        scores.append(explained_by(F.adaptive_avg_pool2d(pixels, SIDE), mask, sprites[name])[0])
    return scores


def explained_by(pixels: torch.Tensor, mask: torch.Tensor, sprites: torch.Tensor) -> tuple[float, int]:
    """The share of the object that the best sprite explains, and the sprite's index.

    pixels (3, SIDE, SIDE) and mask (SIDE, SIDE) in [0, 1]; sprites (n, 4, SIDE, SIDE). Every sprite is first placed by
    area and centroid, at every angle and mirrored. Then the best few are moved, scaled and turned in ever smaller
    steps.
    """
    area = mask.sum()
    if area < 8:
        return 0.0, 0
    places = torch.tensor(
        [(i, f, math.radians(t), 1.0, 0.0, 0.0) for i in range(len(sprites)) for f in (1.0, -1.0) for t in TURNS]
    )
    # Each sprite's centroid, in coordinates from -1 to 1, and area give its first pose.
    axis = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
    alpha = sprites[:, 3]
    weights = alpha.sum((1, 2))
    centres = torch.stack([(alpha.sum(1) * axis).sum(1) / weights, (alpha.sum(2) * axis).sum(1) / weights], 1)
    target = torch.stack([(mask.sum(0) * axis).sum() / area, (mask.sum(1) * axis).sum() / area])
    sizes = (area / weights).sqrt()

    def shares(places: torch.Tensor) -> torch.Tensor:
        which = places[:, 0].long()
        placed = _placed(
            sprites[which],
            centres[which],
            sizes[which] * places[:, 3],
            places[:, 1],
            places[:, 2],
            target + places[:, 4:],
        )
        return _shares(placed, pixels, mask)

    values = shares(places)
    for step in (1.0, 0.5, 0.25):
        values, order = values.topk(min(KEPT, len(values)))
        places = places[order]
        for column, moves in (
            (4, (-0.08, -0.04, 0.04, 0.08)),
            (5, (-0.08, -0.04, 0.04, 0.08)),
            (3, (-0.12, -0.06, 0.06, 0.12)),
            (2, (-0.1, 0.1)),
        ):
            tried = places.repeat(1 + len(moves), 1)
            tried[len(places) :, column] += torch.tensor(moves).repeat_interleave(len(places)) * step
            best = shares(tried).view(1 + len(moves), -1).max(0)
            values = best.values
            places = tried.view(1 + len(moves), len(places), -1)[best.indices, torch.arange(len(places))]
    best = int(values.argmax())
    return float(values[best]), int(places[best, 0])


def _placed(sprites, centres, sizes, mirrored, turns, targets) -> torch.Tensor:
    """Sprites (n, 4, R, R) with their centroid at `targets` (n, 2), scaled, mirrored (-1) and turned."""
    cos, sin = turns.cos() / sizes, turns.sin() / sizes
    rows = torch.stack(
        [torch.stack([cos * mirrored, sin * mirrored], 1), torch.stack([-sin, cos], 1)], 1
    )  # (n, 2, 2), output → sprite
    offset = centres - (rows @ targets[:, :, None])[..., 0]
    grid = F.affine_grid(torch.cat([rows, offset[:, :, None]], 2), list(sprites.shape), align_corners=False)
    return F.grid_sample(sprites, grid, align_corners=False)


def _shares(placed: torch.Tensor, pixels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(n,): the area where mask and sprite overlap and their colours agree up to a gain per channel, as a share of
    their union.
    """
    colours, alpha = placed[:, :3], placed[:, 3]
    both = alpha * mask
    product = (colours * pixels * mask).sum((2, 3))
    gains = (product / (colours.square() / alpha[:, None].clamp_min(1e-3) * mask).sum((2, 3)).clamp_min(1e-6)).clamp(
        *GAINS
    )
    straight = colours / alpha[:, None].clamp_min(1e-3)
    difference = (pixels - gains[:, :, None, None] * straight).square().mean(1) / COLOUR**2
    agreed = (both * (1 - difference.clamp_max(1))).sum((1, 2))
    return agreed / torch.maximum(alpha, mask).sum((1, 2))
