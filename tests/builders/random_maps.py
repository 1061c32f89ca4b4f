"""Attention maps with random values and the structure that methods rely on: softmax rows, divided by maxima if normalised."""

from __future__ import annotations

import torch

from seediff.attention.maps import AttentionMaps

CLASSES = ("dog", "cat")


def random_maps(latent_side: int = 16, seed: int = 0, normalized: bool = True) -> AttentionMaps:
    """Self- and cross-attention at L, L/2 and L/4 for "dog" (one token) and "cat" (two tokens)."""
    generator = torch.Generator().manual_seed(seed)
    self_attention, cross_attention = {}, {}
    for side in (latent_side, latent_side // 2, latent_side // 4):
        rows = torch.randn(side**2, side**2, generator=generator).mul(2).softmax(1)
        tokens = torch.randn(side**2, 8, generator=generator).softmax(1)
        self_attention[side] = rows / rows.max() if normalized else rows
        cross_attention[side] = tokens / tokens.amax(0) if normalized else tokens
    return AttentionMaps(self_attention, cross_attention, latent_side, {"dog": (5,), "cat": (2, 3)}, "a cat and a dog", normalized)


def replaced(maps: AttentionMaps, *, self_value: float | None = None, cross_value: float | None = None) -> AttentionMaps:
    """The maps with all of self- or cross-attention set to one value."""
    self_attention = {s: t if self_value is None else torch.full_like(t, self_value) for s, t in maps.self_attention.items()}
    cross_attention = {s: t if cross_value is None else torch.full_like(t, cross_value) for s, t in maps.cross_attention.items()}
    return AttentionMaps(self_attention, cross_attention, maps.latent_side, maps.words, maps.prompt, maps.normalized)
