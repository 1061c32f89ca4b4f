"""Pictures as the networks of the embedded world take them."""

from __future__ import annotations

import numpy as np
import torch


def to_pixels(images: np.ndarray) -> torch.Tensor:
    """(n, H, W, 3) uint8 → (n, 3, H, W) float32 in [-1, 1]."""
    return torch.tensor(images).permute(0, 3, 1, 2).float() / 127.5 - 1
