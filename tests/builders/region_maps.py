"""Self-attention with regions, like a photograph's: positions attend to nearby positions of similar colour."""

import torch
import torch.nn.functional as F


def region_maps(lattice=32, seed=0, levels=4):
    """{(h, w): (h·w, h·w)} float32 at L, L/2, …; rows sum to 1. lattice: a side, or (height, width). A tenth
    of every row is spread evenly over all positions."""
    size = (lattice, lattice) if isinstance(lattice, int) else lattice
    generator = torch.Generator().manual_seed(seed)
    image = F.interpolate(torch.rand(1, 3, 5, 5, generator=generator), size, mode="nearest")
    maps = {}
    for level in range(levels):
        height, width = grid = size[0] >> level, size[1] >> level
        colour = F.interpolate(image, grid, mode="area")[0].flatten(1).T
        colour = colour + 0.03 * torch.randn(height * width, 3, generator=generator)
        lines = torch.linspace(0, 1, height), torch.linspace(0, 1, width)
        feature = torch.cat([6 * colour, 2 * torch.cartesian_prod(*lines)], 1)
        maps[grid] = 0.9 * (-2 * torch.cdist(feature, feature).square()).softmax(1) + 0.1 / (height * width)
    return maps
