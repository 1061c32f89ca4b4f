"""Self-attention with regions in it, as a photograph's has: positions attend to those of like colour nearby."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def region_maps(latent_side: int = 32, seed: int = 0, levels: int = 4, floor: float = 0.1) -> dict[int, torch.Tensor]:
    """{R: (R², R²)} float32 at L, L/2, …; rows sum to 1. floor: the share of every row that is spread evenly."""
    generator = torch.Generator().manual_seed(seed)
    picture = F.interpolate(torch.rand(1, 3, 5, 5, generator=generator), (latent_side, latent_side), mode="nearest")
    maps = {}
    for level in range(levels):
        side = latent_side >> level
        colour = F.interpolate(picture, (side, side), mode="area")[0].flatten(1).T
        colour = colour + 0.03 * torch.randn(side * side, 3, generator=generator)
        line = torch.linspace(0, 1, side)
        feature = torch.cat([6 * colour, 2 * torch.cartesian_prod(line, line)], 1)
        maps[side] = (1 - floor) * (-2 * torch.cdist(feature, feature).square()).softmax(1) + floor / side**2
    return maps
