"""Soft masks of the frames of a clip, from the attention of fewer latent frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..attention.windows import Window
from ..config.method_constants import MaskConfig
from .make_masks import enlarge

SAME_COLOUR = 0.05
"""The mean difference of R, G and B, in [0, 1], at which a pixel shares 1/e of its value."""
ROUNDS = 4
"""How often pixels share their values with the next frames; values spread over this number of frames."""


def frame_weights(frames: int, latents: int) -> np.ndarray:
    """(frames, latents) float32, rows that sum to 1: how much each latent frame counts in a frame, linear between the
    latents' centres. An autoencoder turns the first latent frame into one frame, and each other into equally many."""
    stride = (frames - 1) / max(latents - 1, 1)
    centres = np.maximum(np.arange(latents) * stride - (stride - 1) / 2, 0)
    columns = [np.interp(np.arange(frames), centres, one) for one in np.eye(latents)]
    return np.stack(columns, 1).astype(np.float32)


def clip_softs(
    images: Sequence[np.ndarray | None],
    latents: Sequence[torch.Tensor],
    config: MaskConfig,
    size: tuple[int, int],
    scaled: tuple[int, int] | None = None,
    view: Window | None = None,
) -> torch.Tensor:
    """Soft masks (frames, C, H, W) of a clip, before PAMR: blended between its latent frames, then shared along time.

    images: the clip's frames (H, W, 3) uint8; if they are not known, None for each, and nothing is shared along time.
    latents: the soft masks (C, h, w) of its latent frames. size, scaled, view: as in `enlarge`.
    """
    large = torch.stack([enlarge(soft, size, config, scaled, view) for soft in latents])
    soft = torch.tensordot(torch.from_numpy(frame_weights(len(images), len(latents))), large, 1)
    shown = [image for image in images if image is not None]
    if not shown:
        return soft
    return along_time(soft, shown)


def along_time(soft: torch.Tensor, images: Sequence[np.ndarray]) -> torch.Tensor:
    """Soft masks (frames, C, H, W) after ROUNDS rounds, in which each pixel shares its values with the frames before
    and after it, the less the more its colour changes. images: (H, W, 3) uint8 each."""
    change = np.abs(np.diff(np.stack(images).astype(np.int16), axis=0)).mean(3) / 255
    same = torch.from_numpy(np.exp(-change / SAME_COLOUR)).float()[:, None]  # (frames − 1, 1, H, W)
    weight = torch.ones_like(soft[:, :1])
    weight[1:] += same
    weight[:-1] += same
    for _ in range(ROUNDS):
        total = soft.clone()
        total[1:] += same * soft[:-1]
        total[:-1] += same * soft[1:]
        soft = total / weight
    return soft
