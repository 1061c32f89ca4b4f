"""Attention maps with random values and the structure that methods rely on: softmax rows, divided by maxima if
normalised.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F

from seediff.attention.maps import AttentionMaps

CLASSES = ("dog", "cat")


def random_maps(
    lattice=16,
    seed=0,
    normalized=True,
    levels=(1, 2, 4),
):
    """Self- and cross-attention for "dog" (one token) and "cat" (two tokens). lattice: a side, or both."""
    height, width = (lattice, lattice) if isinstance(lattice, int) else lattice
    generator = torch.Generator().manual_seed(seed)
    self_attention, cross_attention = {}, {}
    for level in levels:
        grid = height // level, width // level
        positions = grid[0] * grid[1]
        rows = torch.randn(positions, positions, generator=generator).mul(2).softmax(1)
        tokens = torch.randn(positions, 8, generator=generator).softmax(1)
        self_attention[grid] = rows / rows.max() if normalized else rows
        cross_attention[grid] = tokens / tokens.amax(0) if normalized else tokens
    return AttentionMaps(
        self_attention, cross_attention, (height, width), {"dog": (5,), "cat": (2, 3)}, "a cat and a dog", normalized
    )


def replaced(maps, value):
    """The maps with all of cross-attention set to one value."""
    return replace(
        maps, cross_attention={grid: torch.full_like(one, value) for grid, one in maps.cross_attention.items()}
    )


def class_map(maps, side, class_name, to):
    """Float64 cross-attention (to, to) of a class, captured at one side and enlarged to another."""
    columns = (
        maps.cross_attention[side, side][:, list(maps.words[class_name])].double().mean(1).reshape(1, 1, side, side)
    )
    return F.interpolate(columns, (to, to), mode="bilinear", align_corners=False)[0, 0].numpy()


def stretch(x):
    """Min-max normalisation to [0, 1]."""
    return (x - x.min()) / (x.max() - x.min())
