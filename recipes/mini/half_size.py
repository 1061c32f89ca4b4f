"""Shapes are learnt at half the latents' side first, at two fifths of the cost and less.

Where an object stands and how its parts fit is decided there. Averaging 2 × 2 noisy latents gives noisy latents of half the side at
the same timestep: a·pool(x) + b·pool(ε). Of a UNet the inner levels denoise those, between two small convolutions that take the outer
level's place; every other weight keeps its role, its input's size and its timestep, so that the whole UNet goes on from them. A
transformer denoises them as it stands, with a quarter of the tokens, each at the middle of the four whose place it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import PatchEmbed
from torch import nn


class CoarseHeads(nn.Module):
    """What stands for the outer level while the inner ones are trained: `enter` for its way down, `leave` for its way up."""

    def __init__(self, channels: tuple[int, ...], groups: int, latent_channels: int = 4) -> None:
        super().__init__()
        self.enter = nn.Conv2d(latent_channels, channels[0], 3, padding=1)
        self.leave = nn.Sequential(nn.GroupNorm(groups, channels[1]), nn.SiLU(), nn.Conv2d(channels[1], latent_channels, 3, padding=1))


def pooled(latents: torch.Tensor) -> torch.Tensor:
    """(B, 4, L, L) → (B, 4, L/2, L/2): means of 2 × 2 positions."""
    return F.avg_pool2d(latents, 2)


def predict_coarse(
    unet: UNet2DConditionModel, heads: CoarseHeads, noisy: torch.Tensor, timesteps: torch.Tensor, words: torch.Tensor
) -> torch.Tensor:
    """What the inner levels predict for pooled noisy latents: (B, 4, L/2, L/2), with timesteps (B,) and words (B, T, width)."""
    embedded = unet.time_embedding(unet.time_proj(timesteps).to(noisy.dtype))
    sample = heads.enter(noisy)
    skips = (sample,)
    for block in unet.down_blocks[1:]:
        sample, more = block(hidden_states=sample, temb=embedded, encoder_hidden_states=words)
        skips += more
    sample = unet.mid_block(sample, embedded, encoder_hidden_states=words)  # type: ignore[misc]
    for block in unet.up_blocks[:-2]:
        block_skips, skips = skips[-len(block.resnets) :], skips[: -len(block.resnets)]  # type: ignore[arg-type]
        sample = block(hidden_states=sample, temb=embedded, res_hidden_states_tuple=block_skips, encoder_hidden_states=words)
    middle = unet.up_blocks[-2]
    # Without its upsampler, which belongs to the outer level.
    for resnet, attention, skip in zip(middle.resnets, middle.attentions, reversed(skips), strict=True):  # type: ignore[arg-type]
        sample = resnet(torch.cat([sample, skip], 1), embedded)
        sample = attention(sample, encoder_hidden_states=words, return_dict=False)[0]
    return heads.leave(sample)


@contextmanager
def half_side(embed: PatchEmbed) -> Iterator[None]:
    """Within, a transformer's tokens of latents of half the side stand where those of the whole side do: at the means of 2 × 2 places."""
    places = embed.cropped_pos_embed

    def middles(height: int, width: int) -> torch.Tensor:
        """(1, N, D) for latents of height × width."""
        rows, columns = 2 * height // embed.patch_size, 2 * width // embed.patch_size
        whole = places(2 * height, 2 * width).unflatten(1, (rows, columns)).permute(0, 3, 1, 2)
        return F.avg_pool2d(whole, 2).flatten(2).transpose(1, 2)

    embed.cropped_pos_embed = middles  # type: ignore[method-assign]
    try:
        yield
    finally:
        del embed.cropped_pos_embed  # the class's own again
