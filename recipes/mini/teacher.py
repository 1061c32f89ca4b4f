"""Target features for the denoiser, from a small teacher network that has learnt only from captions what clean scenes
show.

A denoiser must recognise what is in the noise before it can draw it, and its denoising error teaches that slowly. So
its innermost features are pulled towards the teacher's features of the clean scene (REPA: Yu et al., Representation
Alignment for Generation, ICLR 2025). The teacher is trained only for this and is not shipped:
`python -m recipes.mini check` measures with another network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from seediff.devices import mixed_precision
from seediff.errors import UserError
from seediff.files.outputs import replace_file
from seediff.train.models import TINY

from .backbone import Tagger
from .files import map_array
from .recipe import Recipe
from .yardstick import YardstickRecipe, fit, load_yardstick, to_pixels

UNTOLD = {"a", "an", "photo", "of", "and", "mirrored"}
"""Caption words that say nothing about what is shown. `mirrored` is one, because the teacher sees its scenes mirrored
at random.
"""
STRIDE = 16
"""Pixels per position of the features, as at the UNet's innermost level."""
HIDDEN = 256


class Teacher(Tagger):
    """(B, 3, S, S) in [-1, 1] → logits (B, W), one per word of the captions."""


class AlignmentHead(nn.Sequential):
    """Inner features of a denoiser (B, channels, R, R) → predicted features of the teacher (B, features, R, R)."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__(
            nn.GroupNorm(1, channels), nn.Conv2d(channels, HIDDEN, 1), nn.SiLU(), nn.Conv2d(HIDDEN, features, 1)
        )

    def error(self, inside: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Mean squared error of the prediction from `inside`, which is first averaged to the side of `features`."""
        return F.mse_loss(self(F.adaptive_avg_pool2d(inside.float(), features.shape[-1])), features)


def taught_features(
    recipe: Recipe,
    images: np.ndarray,
    captions: Sequence[str],
    path: Path,
    report: Callable[[dict], None],
    device: str = "cpu",
) -> np.ndarray:
    """The teacher's features (n, F, S/16, S/16) float16 of all scenes, of unit variance overall. The first call trains
    the teacher and writes them to `path`. If the recipe gives the teacher no samples, the teacher is the packaged
    backbone; raises UserError if that is missing."""
    config, side = recipe.teacher, recipe.side // STRIDE
    if not path.is_file():
        words = told_words(captions)
        torch.manual_seed(recipe.seed)
        teacher = Teacher(words.shape[1])
        if config.samples:
            training = YardstickRecipe(samples=config.samples, batch=config.batch, seed=recipe.seed)
            fit(teacher, images, words, F.binary_cross_entropy_with_logits, training, report, device)
        else:
            if not (TINY / "model.safetensors").is_file():
                raise UserError(
                    f"[teacher] samples = 0: the package lacks its backbone ({TINY}); recipes/mini/backbone.py"
                    " makes one"
                )
            load_yardstick(teacher.backbone, TINY / "model.safetensors")
        features = compressed(encode(teacher.to(device).eval(), images), config.features)
        with replace_file(path) as part, part.open("xb") as file:
            np.save(file, features)
    return map_array(path, np.float16, (len(images), config.features, side, side))


def told_words(captions: Sequence[str]) -> torch.Tensor:
    """(n, W): 1.0 where a caption contains a word, for the W words that occur in any caption."""
    said = [set(re.findall(r"[a-z]+", caption)) - UNTOLD for caption in captions]
    vocabulary = {word: column for column, word in enumerate(sorted(set().union(*said)))}
    told = torch.zeros(len(captions), len(vocabulary))
    for row, words in enumerate(said):
        told[row, [vocabulary[word] for word in words]] = 1.0
    return told


@torch.inference_mode()
def encode(teacher: Teacher, images: np.ndarray) -> np.ndarray:
    """Features (n, C, S/16, S/16) float16 of images (n, S, S, 3) uint8."""
    device = next(teacher.parameters()).device
    found = []
    for start in range(0, len(images), 64):
        with mixed_precision(device):
            maps = teacher.maps(to_pixels(images[start : start + 64]).to(device))
        found.append(maps[-2].half().cpu().numpy())
    return np.concatenate(found)


def compressed(features: np.ndarray, count: int) -> np.ndarray:
    """The `count` strongest principal components of standardised features, (n, C, R, R) → (n, count, R, R) float16.

    Each component's variance is replaced by its square root, up to a common factor: unchanged, a few components would
    be all of the loss; whitened, most would be noise.
    """
    rows = features.transpose(0, 2, 3, 1).reshape(-1, features.shape[1])
    some = rows[:: max(1, len(rows) // 200_000)].astype(np.float64)
    mean, spread = some.mean(0), some.std(0) + 1e-4
    values, vectors = np.linalg.eigh(np.cov((some - mean) / spread, rowvar=False))
    values, vectors = values[::-1][:count].clip(1e-8), vectors[:, ::-1][:, :count]
    scale = values**-0.25 / np.sqrt(np.mean(values**0.5))
    matrix = (vectors * scale / spread[:, None]).astype(np.float32)
    out = np.empty((len(features), count, *features.shape[2:]), np.float16)
    for index, one in enumerate(features):
        flat = one.reshape(len(one), -1).astype(np.float32) - mean[:, None].astype(np.float32)
        out[index] = (matrix.T @ flat).reshape(count, *one.shape[1:])
    return out
