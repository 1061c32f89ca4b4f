"""Fréchet distance between drawn and rendered scenes: the distance between their features as two normal distributions.

Features come from the backbone of `tiny` segmenters, which learnt from captions which classes a rendered scene shows and has never seen
a drawing. They are means over positions of its third and fourth stage, averaged over an image and its mirror image, because the embedded
world has no left and right. The rendered scenes' moments ship with the package.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import ResNetBackbone

from ..errors import UserError
from ..files.tensors import read_header
from ..train.models import MEAN, STD, TINY, without_bars
from .yardsticks import FOLDER, run_batched

FILE = FOLDER / "rendered.safetensors"
DRAWS = 50  # bootstrap samples
DRAWN = 25  # drawings per class that `mini check` makes by default; the moments' floor uses the same number
WIDTH = 384  # number of features


class Features(nn.Module):
    """(B, 3, S, S) in [-1, 1] → features (B, 384)."""

    def __init__(self) -> None:
        super().__init__()
        with without_bars():
            self.backbone = ResNetBackbone.from_pretrained(str(TINY), out_features=["stage3", "stage4"], use_safetensors=True)
        self.backbone.float().eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        scaled = ((pixels + 1) / 2 - mean) / std
        maps = [self.backbone(side).feature_maps for side in (scaled, scaled.flip(-1))]
        return torch.cat([(a.mean((2, 3)) + b.mean((2, 3))) / 2 for a, b in zip(*maps, strict=True)], 1)


def features_of(images: np.ndarray) -> np.ndarray:
    """Features (n, 384) float64 for images (n, S, S, 3) uint8."""
    return run_batched(Features(), images).double().numpy()


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and covariance (D, D) of features (n, D)."""
    return features.mean(0), np.cov(features, rowvar=False)


def frechet_distance(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    """|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½) for two pairs of moments. Not negative; 0 if they are equal."""
    return _distance(first, _root(first[1]), second)


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def _distance(first: tuple[np.ndarray, np.ndarray], root: np.ndarray, second: tuple[np.ndarray, np.ndarray]) -> float:
    (mean1, covariance1), (mean2, covariance2) = first, second
    inner = np.linalg.eigvalsh(root @ covariance2 @ root).clip(0)
    distance = np.sum((mean1 - mean2) ** 2) + np.trace(covariance1) + np.trace(covariance2) - 2 * np.sqrt(inner).sum()
    return max(0.0, float(distance))


def distance_to_rendered(images: np.ndarray) -> dict[str, float | tuple[float, float]]:
    """The distance of images (n, S, S, 3) uint8 from the rendered scenes, with a 95 % interval (normal, by bootstrap), and the distance
    of other rendered scenes, 25 per class. With fewer images, a distance is larger by itself.

    Raises UserError for fewer than 2 images.
    """
    if len(images) < 2:
        raise UserError(f"images = {len(images)}: a Fréchet distance needs at least 2")
    rendered, floor = read_moments()
    features = features_of(images)
    root = _root(rendered[1])
    distance = _distance(rendered, root, moments(features))
    rng = np.random.default_rng(0)
    drawn = [_distance(rendered, root, moments(features[rng.integers(len(features), size=len(features))])) for _ in range(DRAWS)]
    half = 1.96 * float(np.std(drawn))
    return {"distance": distance, "ci95": (max(0.0, distance - half), distance + half), "rendered": floor}


def read_moments(path: Path = FILE) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """The rendered scenes' moments, and the distance of other rendered scenes. Raises UserError for a wrong file."""
    file = read_header(path)
    floor = file.about("floor", float, "moments")
    file.check("mean", ("F32",), (WIDTH,), "moments")
    file.check("covariance", ("F32",), (WIDTH, WIDTH), "moments")
    mean, covariance = (file.load("np")[name].astype(np.float64) for name in ("mean", "covariance"))
    if floor < 0 or not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError(f"{path}: moments must be finite numbers, and their floor ({floor}) at least 0")
    return (mean, covariance), floor
