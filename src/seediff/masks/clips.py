"""Soft masks of the frames of a clip. A video model's latents have fewer frames than the clip, and so has its
attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..config.methods import MaskConfig
from ..view import View
from .make_masks import enlarge, soft_masks
from .steps import SoftMask

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
    views: Sequence[View],
    maps: Sequence[AttentionMaps],
    words: Mapping[str, tuple[int, ...]],
    names: Sequence[str],
    config: MaskConfig,
) -> list[tuple[Sequence[SoftMask], torch.Tensor]]:
    """For each frame of a clip, what `refine_and_label` takes: each word's soft mask in the frame's latent frame, and
    the words' soft masks (C, H, W), blended between latent frames, then shared along time.

    views: where each frame was drawn; if their pixels are not known, nothing is shared along time. maps: of each frame.
    Frames of one latent frame share one object. words: word → its text columns. names: the words in the order of the
    masks. config: as for `make_masks`.
    """
    latents = {id(shared): replace(shared, words=words) for shared in maps}
    softs = {latent: soft_masks(each, names, config) for latent, each in latents.items()}
    large = torch.stack([enlarge(of_latent, views[0], config) for of_latent in softs.values()])
    soft = torch.tensordot(torch.from_numpy(frame_weights(len(views), len(softs))), large, 1)
    shown = [view.pixels for view in views if view.pixels is not None]
    if shown:
        soft = along_time(soft, shown)
    return [(softs[id(shared)], frame) for shared, frame in zip(maps, soft, strict=True)]


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
