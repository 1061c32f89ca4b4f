"""Soft masks of the frames of a clip. A video model's latents have fewer frames than the clip, and so has its
attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..attention.windows import Window
from ..config.methods import MaskConfig
from .make_masks import enlarge

SAME_COLOUR = 0.05
"""The mean difference of R, G and B, in [0, 1], at which a pixel's value in the next frame has a weight of 1/e."""
ROUNDS = 4
"""How often pixels share their values with the frames before and after; a value spreads over this number of frames."""


def frame_weights(frames: int, latents: int) -> np.ndarray:
    """The weight of each latent frame in each frame, (frames, latents) float32; rows sum to 1. Weights are linear
    between the latent frames' centres in time. An autoencoder turns the first latent frame into one frame, and each
    other latent frame into the same number of frames."""
    stride = (frames - 1) / max(latents - 1, 1)
    centres = np.maximum(np.arange(latents) * stride - (stride - 1) / 2, 0)
    columns = [np.interp(np.arange(frames), centres, unit) for unit in np.eye(latents)]
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
    Those of a single image are as `enlarge` returns them.

    images: the clip's frames (H, W, 3) uint8. If they are not known, each is None, and nothing is shared along time.
    latents: the soft masks (C, h, w) of the latent frames. config: constants for `enlarge`. size, scaled, view: as in
    `enlarge`.
    """
    large = torch.stack([enlarge(soft, size, config, scaled, view) for soft in latents])
    soft = torch.tensordot(torch.from_numpy(frame_weights(len(images), len(latents))), large, 1)
    shown = [image for image in images if image is not None]
    if not shown:
        return soft
    return along_time(soft, shown)


def along_time(soft: torch.Tensor, images: Sequence[np.ndarray]) -> torch.Tensor:
    """Soft masks (frames, C, H, W) after ROUNDS rounds. In each round, a pixel's value is averaged with its values in
    the frame before and in the frame after. The more the pixel's colour differs in such a frame, the less that frame's
    value counts.

    soft: the masks before the first round. images: the frames, (H, W, 3) uint8 each."""
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
