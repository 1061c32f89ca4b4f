"""Target features for the denoiser, from a network that has learnt only from captions what clean scenes show: the
package's backbone (backbone.py).

A denoiser must recognise what is in the noise before it can draw it, and its denoising error teaches that slowly. So
its innermost features are pulled towards the teacher's features of the clean scene (REPA: Yu et al., Representation
Alignment for Generation, ICLR 2025).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from seediff.devices import mixed_precision
from seediff.errors import UserError
from seediff.files.outputs import replace_file
from seediff.train.models import TINY_FOLDER

from .backbone import Tagger
from .yardstick import load_yardstick, to_pixels

FEATURES = 64
"""Principal components kept of the teacher's 128 channels."""
HIDDEN = 256


class AlignmentHead(nn.Sequential):
    """Inner features of a denoiser (B, channels, R, R) → predicted features of the teacher (B, FEATURES, R, R)."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.GroupNorm(1, channels), nn.Conv2d(channels, HIDDEN, 1), nn.SiLU(), nn.Conv2d(HIDDEN, FEATURES, 1)
        )

    def error(self, inside: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Mean squared error of the prediction from `inside`, which is first averaged to the side of `features`."""
        return F.mse_loss(self(F.adaptive_avg_pool2d(inside.float(), features.shape[-1])), features)


def taught_features(images: np.ndarray, path: Path, device: str = "cpu") -> np.ndarray:
    """The teacher's features (n, FEATURES, S/16, S/16) float16 of images (n, S, S, 3) uint8, of unit variance overall.
    The first call writes them to `path`."""
    if not path.is_file():
        if not (TINY_FOLDER / "model.safetensors").is_file():
            raise UserError(
                f"the package lacks its backbone ({TINY_FOLDER}); `python -m recipes.mini backbone` makes one"
            )
        teacher = Tagger()
        load_yardstick(teacher.backbone, TINY_FOLDER / "model.safetensors")
        features = compressed(encode(teacher.to(device).eval(), images), FEATURES)
        with replace_file(path) as part, part.open("xb") as file:
            np.save(file, features)
    return np.load(path, mmap_mode="r")


@torch.inference_mode()
def encode(teacher: Tagger, images: np.ndarray) -> np.ndarray:
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
