"""Measures whether a drawn object is one drawing or a mixture of several: how much of it the best single sprite of its class explains.

A classifier is satisfied by parts: it accepts a horse with a head at either end. Here the object's mask and colours are compared with every
training sprite of its class, mirrored or not, turned, scaled and moved. The share of the area that the best sprite explains is low for
chimeras. No generator was tuned on it. A class's threshold is slightly below the share that 97 % of its rendered objects reach; of other
rendered objects, at least 95 % pass. Templates and thresholds ship with the package, so measuring needs no art.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import UserError
from ..files.messages import shown
from ..files.tensors import read_header
from .scenes import CLASSES, decoded, read_blobs
from .yardsticks import FOLDER, Segmenter, run_batched

FILE = FOLDER / "templates.safetensors"
SIDE = 64
"""Side in pixels at which drawings and templates are compared; also the maximum side of a template."""
TURNS = (-12.0, -6.0, 0.0, 6.0, 12.0)  # degrees; sprites in the embedded world turn this far
COLOUR = 0.25
"""Root mean square difference over the three channels (range 1) from which a pixel is unexplained; below it, the pixel counts in part."""
GAINS = (0.6, 1.4)  # gain per channel, because the embedded world varies brightness, saturation and tint
KEPT = 8  # candidates that are refined


@dataclass(frozen=True)
class Templates:
    """The templates with which drawings are compared.

    sprites: class → (n, 4, SIDE, SIDE) in [0, 1], colours times alpha, and alpha. names: class → n names.
    thresholds: class → the lowest explained share of a whole object.
    """

    sprites: Mapping[str, torch.Tensor]
    names: Mapping[str, tuple[str, ...]]
    thresholds: Mapping[str, float]


@dataclass(frozen=True)
class TemplatesAbout:
    """The header. sprites: class and name of each picture."""

    sprites: list[tuple[str, str]]
    thresholds: dict[str, float]


def read_templates(path: Path = FILE) -> Templates:
    """The packaged templates. Raises UserError for a wrong file."""
    file = read_header(path)
    about = file.about("templates", TemplatesAbout, "templates")
    named = about.sprites
    if unknown := {name for name, _ in named} ^ set(CLASSES):
        raise UserError(f"{path}: must have sprites of each of the embedded world's classes and no other; {shown(min(unknown))} is not so")
    if missing := set(CLASSES) - set(about.thresholds):
        raise UserError(f"{path}: thresholds has no '{min(missing)}'")
    return templates_of(named, read_blobs(file, "sprites", len(named), "templates"), about.thresholds, str(path))


def templates_of(named: Sequence[tuple[str, str]], blobs: Sequence[bytes], thresholds: Mapping[str, float], where: str) -> Templates:
    """Templates from encoded sprites. named: class and name of each. Raises UserError."""
    rows: dict[str, list[tuple[str, torch.Tensor]]] = {}
    for (class_name, name), picture in zip(named, decoded(blobs, f"{where}, sprites", "RGBA", SIDE), strict=True):
        rows.setdefault(class_name, []).append((name, _centred(picture)))
    return Templates(
        {c: torch.stack([picture for _, picture in row]) for c, row in rows.items()},
        {c: tuple(name for name, _ in row) for c, row in rows.items()},
        {c: thresholds[c] for c in rows},
    )


def _centred(image: np.ndarray) -> torch.Tensor:
    canvas = np.zeros((SIDE, SIDE, 4), np.float32)
    height, width = image.shape[:2]
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    canvas[top : top + height, left : left + width] = image.astype(np.float32) / 255
    canvas[..., :3] *= canvas[..., 3:]
    return torch.from_numpy(canvas).permute(2, 0, 1)


def explained(images: np.ndarray, classes: Sequence[str], segmenter: Segmenter, templates: Templates) -> list[tuple[float, str]]:
    """For drawings (n, S, S, 3) uint8, each with one object of a known class: the explained share in [0, 1] and the sprite's name.

    The yardstick's segmenter finds the object; an image without an object gets 0.
    """
    scores = []
    for image, name, logits in zip(images, classes, run_batched(segmenter, images), strict=True):
        probability = logits[[0, CLASSES.index(name) + 1]].softmax(0)[1]
        mask = F.adaptive_avg_pool2d(probability[None], SIDE)[0]
        pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
        score, best = explained_by(F.adaptive_avg_pool2d(pixels, SIDE), mask, templates.sprites[name])
        scores.append((score, templates.names[name][best]))
    return scores


def explained_by(pixels: torch.Tensor, mask: torch.Tensor, sprites: torch.Tensor) -> tuple[float, int]:
    """The share of the object that the best sprite explains, and the sprite's index.

    pixels (3, SIDE, SIDE) and mask (SIDE, SIDE) in [0, 1]; sprites (n, 4, SIDE, SIDE). Every sprite is first placed by area and centroid,
    at every angle and mirrored. Then the best few are moved, scaled and turned in ever smaller steps.
    """
    area = mask.sum()
    if area < 8:
        return 0.0, 0
    places = torch.tensor([(i, f, math.radians(t), 1.0, 0.0, 0.0) for i in range(len(sprites)) for f in (1.0, -1.0) for t in TURNS])
    # Each sprite's centroid, in coordinates from -1 to 1, and area give its first pose.
    axis = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
    alpha = sprites[:, 3]
    weights = alpha.sum((1, 2))
    centres = torch.stack([(alpha.sum(1) * axis).sum(1) / weights, (alpha.sum(2) * axis).sum(1) / weights], 1)
    target = torch.stack([(mask.sum(0) * axis).sum() / area, (mask.sum(1) * axis).sum() / area])
    sizes = (area / weights).sqrt()

    def shares(places: torch.Tensor) -> torch.Tensor:
        which = places[:, 0].long()
        placed = _placed(sprites[which], centres[which], sizes[which] * places[:, 3], places[:, 1], places[:, 2], target + places[:, 4:])
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
    rows = torch.stack([torch.stack([cos * mirrored, sin * mirrored], 1), torch.stack([-sin, cos], 1)], 1)  # (n, 2, 2), output → sprite
    offset = centres - (rows @ targets[:, :, None])[..., 0]
    grid = F.affine_grid(torch.cat([rows, offset[:, :, None]], 2), list(sprites.shape), align_corners=False)
    return F.grid_sample(sprites, grid, align_corners=False)


def _shares(placed: torch.Tensor, pixels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(n,): the area where mask and sprite overlap and their colours agree up to a gain per channel, as a share of their union."""
    colours, alpha = placed[:, :3], placed[:, 3]
    both = alpha * mask
    product = (colours * pixels * mask).sum((2, 3))
    gains = (product / (colours.square() / alpha[:, None].clamp_min(1e-3) * mask).sum((2, 3)).clamp_min(1e-6)).clamp(*GAINS)
    straight = colours / alpha[:, None].clamp_min(1e-3)
    difference = (pixels - gains[:, :, None, None] * straight).square().mean(1) / COLOUR**2
    agreed = (both * (1 - difference.clamp_max(1))).sum((1, 2))
    return agreed / torch.maximum(alpha, mask).sum((1, 2))
