"""Trains on latents of half the side first, which teaches shapes at two fifths of the cost or less.

Where an object is and how its parts fit is decided at that size. Averaging 2 × 2 noisy latents gives noisy latents of
half the side at the same timestep: a·pool(x) + b·pool(ε). In a UNet, the inner levels denoise these, between two small
convolutions that replace the outer level. Every other weight keeps its role, its input's size and its timestep, so the
whole UNet continues from these weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import nn


class CoarseHeads(nn.Module):
    """Replaces the outer level while the inner levels are trained: `enter` for its way down, `leave` for its way up."""

    def __init__(self, channels: tuple[int, ...], groups: int, latent_channels: int = 4) -> None:
        super().__init__()
        self.enter = nn.Conv2d(latent_channels, channels[0], 3, padding=1)
        self.leave = nn.Sequential(
            nn.GroupNorm(groups, channels[1]), nn.SiLU(), nn.Conv2d(channels[1], latent_channels, 3, padding=1)
        )


def pooled(latents: torch.Tensor) -> torch.Tensor:
    """(B, 4, L, L) → (B, 4, L/2, L/2): means of 2 × 2 positions."""
    return F.avg_pool2d(latents, 2)


def predict_coarse(
    unet: UNet2DConditionModel, heads: CoarseHeads, noisy: torch.Tensor, timesteps: torch.Tensor, words: torch.Tensor
) -> torch.Tensor:
    """The inner levels' prediction (B, 4, L/2, L/2) for pooled noisy latents of that shape, timesteps (B,) and words
    (B, T, width).
    """
    embedded = unet.time_embedding(unet.time_proj(timesteps).to(noisy.dtype))
    sample = heads.enter(noisy)
    skips = (sample,)
    for block in unet.down_blocks[1:]:
        sample, more = block(hidden_states=sample, temb=embedded, encoder_hidden_states=words)
        skips += more
    sample = unet.mid_block(sample, embedded, encoder_hidden_states=words)  # type: ignore[misc]
    for block in unet.up_blocks[:-2]:
        block_skips, skips = skips[-len(block.resnets) :], skips[: -len(block.resnets)]  # type: ignore[arg-type]
        sample = block(
            hidden_states=sample, temb=embedded, res_hidden_states_tuple=block_skips, encoder_hidden_states=words
        )
    middle = unet.up_blocks[-2]
    # Without its upsampler, which belongs to the outer level.
    for resnet, attention, skip in zip(middle.resnets, middle.attentions, reversed(skips), strict=True):  # type: ignore[arg-type]
        sample = resnet(torch.cat([sample, skip], 1), embedded)
        sample = attention(sample, encoder_hidden_states=words, return_dict=False)[0]
    return heads.leave(sample)
