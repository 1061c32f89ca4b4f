"""Trains a backbone for `tiny` segmenters on the embedded world's images, as the papers' backbones are trained on
ImageNet.

It learns from captions which classes a scene shows and never sees a mask: captions are to scenes what ImageNet's labels
are to photographs. With it, the tables of trained segmenters follow the papers' protocol: a network that already knows
real images is trained on synthetic and real pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import ResNetBackbone
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from seediff.config.class_names import spoken
from seediff.files.outputs import stage_output
from seediff.mini import CLASSES
from seediff.train.models import DESIGNS, STAGES

from .data import rendered_scenes
from .recipe import Recipe
from .sets import load_set
from .world import render_scene
from .yardstick import SCENE_SEED, YardstickRecipe, fit, run_batched

TAGGING = YardstickRecipe(samples=96_000, batch=64)
CHECK_SCENES = 300


class Tagger(nn.Module):
    """(B, 3, S, S) in [-1, 1] → logits (B, answers): the backbone and a linear layer. By default one logit per class,
    as in CLASSES.
    """

    def __init__(self, answers: int = len(CLASSES)) -> None:
        super().__init__()
        design = DESIGNS["mask2former", "tiny"]
        self.backbone = ResNetBackbone(design.kind(**design.sizes, out_features=STAGES))  # type: ignore[arg-type,call-arg]
        self.head = nn.Linear(2 * self.backbone.channels[-1], answers)

    def maps(self, pixels: torch.Tensor) -> Sequence[torch.Tensor]:
        """Features at 1/4, 1/8, 1/16 and 1/32 of the side."""
        constants = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
        mean, std = (torch.tensor(one, device=pixels.device)[:, None, None] for one in constants)
        return self.backbone(((pixels + 1) / 2 - mean) / std).feature_maps

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.maps(pixels)[-1]
        return self.head(torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1))


def train_backbone(
    art: Path,
    work: Path,
    out: Path,
    *,
    tagging: YardstickRecipe = TAGGING,
    report: Callable[[dict], None] = lambda row: None,
) -> dict[str, float]:
    """Train on rendered scenes and their captions, and write the backbone to `out` in half precision and transformers'
    format.

    Returns the share of scenes whose classes all score highest: for stored scenes, half of whose objects are drawings
    never trained on, and for new scenes with the training sprites. work: the folder of the training scenes, which are
    rendered if missing. Raises UserError if `out` is not free.
    """
    recipe = Recipe(close_ups=0.0)  # no close-ups: the backbone serves segmenters, which see several objects
    with stage_output(out) as part:
        images, captions = rendered_scenes(recipe, art, work)
        torch.manual_seed(tagging.seed)
        network = Tagger()
        fit(network, images, captioned(captions), F.binary_cross_entropy_with_logits, tagging, report)
        network.backbone.half().save_pretrained(part)
        network.backbone.float()
    held = load_set("truth", CHECK_SCENES)
    known = [render_scene(art, i, seed=SCENE_SEED, side=recipe.side) for i in range(CHECK_SCENES)]
    return {
        name: tagged(network, np.stack([s.image for s in scenes]), [s.classes for s in scenes])
        for name, scenes in (("held_scenes", held), ("known_sprites", known))
    }


def captioned(captions: Sequence[str]) -> torch.Tensor:
    """(n, 19): 1.0 where a caption names a class."""
    words = [f" {spoken(name)} " for name in CLASSES]
    return torch.tensor([[float(word in f"{caption} ".replace(",", " ")) for word in words] for caption in captions])


def tagged(network: Tagger, images: np.ndarray, classes: Sequence[Sequence[str]]) -> float:
    """The share of images whose k classes have the k highest scores."""
    order = run_batched(network, images).argsort(1, descending=True).tolist()
    right = [{CLASSES[i] for i in best[: len(names)]} == set(names) for best, names in zip(order, classes, strict=True)]
    return float(np.mean(right))
