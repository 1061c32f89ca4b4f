"""Attention aggregation (DiffSeg section 3.2): self-attention of all resolutions as one map (N, N), N the positions of
the latent's size L.

Adapted from google/diffseg (`aggregate_weights`), Copyright 2023 Google LLC, MIT License. Each resolution's layers are
averaged first, as there, but during capture; and the coarse resolutions are added up before they are tiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch

from ..attention.maps import Grid, grid_text
from ..errors import UserError

Weights = Literal["proportional", "uniform"] | Sequence[float]

BAND_BYTES = {"cpu": 0, "cuda": 256 << 20}
"""Bytes of upsampled rows per operation: on a CPU few enough for the cache, elsewhere enough to outweigh the
overhead.
"""


def level_weights(grids: Iterable[Grid], latent_size: Grid, weights: Weights = "proportional") -> dict[Grid, float]:
    """Each resolution's share in the aggregate, {(height, width): weight > 0}, finest first, summing to 1.

    grids: the captured sizes. latent_size: (height, width) of L, the same multiple of each grid on both sides. weights:
    "proportional" to the side (64² latents: 0.533, 0.267, 0.133, 0.067), "uniform", or one number per level L, L/2,
    L/4, … (levels left out at the end have none).

    Raises UserError for a number of a level that was not captured.
    """
    levels = {latent_size[0] // grid[0]: grid for grid in sorted(grids, reverse=True)}
    if not levels:
        raise UserError("no self-attention was captured: there is nothing to aggregate")
    for level, grid in levels.items():
        if any(side * level != whole for side, whole in zip(grid, latent_size, strict=True)):
            problem = f"does not divide latents of {grid_text(latent_size)}: it cannot be aggregated"
            raise UserError(f"self-attention of {grid_text(grid)} {problem}")
    if isinstance(weights, str):
        given = {grid: float(grid[0]) if weights == "proportional" else 1.0 for grid in levels.values()}
    else:
        numbers = {2**index: float(weight) for index, weight in enumerate(weights) if weight}
        if absent := [level for level in numbers if level not in levels]:
            problem = f"{', '.join(f'{w:g}' for w in weights)}: the model has no self-attention at L/{absent[0]}"
            raise UserError("segment.weights", problem, f"levels there: {', '.join(map(str, levels))}")
        given = {levels[level]: weight for level, weight in numbers.items()}
    total = sum(given.values())
    return {grid: weight / total for grid, weight in given.items()}


def aggregate(
    self_attention: Mapping[Grid, torch.Tensor], latent_size: Grid, weights: Weights = "proportional"
) -> torch.Tensor:
    """Aggregated self-attention (N, N) float32 of L's N = H·W positions; row = query; rows sum to 1.

    Each row at each resolution is treated as a map, upsampled bilinearly to (H, W) and divided by its sum. A coarse
    position stands for all positions of L that it covers.

    self_attention: {(h, w): (h·w, h·w)} float32, plain means over heads and layers (`CaptureConfig(normalize=False)`).
    latent_size: (H, W) of L, the same multiple of (h, w) on both sides. weights: as in `level_weights`.

    Raises UserError as `level_weights` does, or if the attention is not finite.
    """
    shares = level_weights(self_attention, latent_size, weights)
    sums: list[torch.Tensor] = []
    last, *finer = sorted(shares)
    # Of the levels so far, (h·w, N).
    total = _add_level(None, last, self_attention[last], last, shares[last], latent_size, sums)
    for grid in finer:
        total = _add_level(total, last, self_attention[grid], grid, shares[grid], latent_size, sums)
        last = grid
    lowest, highest = torch.stack(torch.cat(sums).aminmax()).tolist()  # once, because it waits for the GPU
    if not 0 < lowest <= highest < float("inf"):
        raise UserError(
            "attention holds NaN or infinite values: half precision overflowed; capture it again with --dtype float32"
        )
    return total if last == latent_size else _tile(total, last, latent_size)


def _add_level(
    coarser: torch.Tensor | None,
    coarse_grid: Grid,
    attention: torch.Tensor,
    grid: Grid,
    share: float,
    latent_size: Grid,
    row_sums: list[torch.Tensor],
) -> torch.Tensor:
    """`share · upsampled rows / their sums` for attention (h·w, h·w), plus the coarser levels' total repeated over the
    positions that each coarse position covers: (h·w, N). Appends the sums to `row_sums`.

    Works in bands of queries that share rows of coarse positions, so that on a CPU the upsampled rows stay in the
    cache.
    """
    height, width = grid
    coarse_width = coarse_grid[1]
    tile, keys = width // coarse_width, latent_size[0] * latent_size[1]
    result = attention.new_empty(len(attention), keys)
    most = BAND_BYTES.get(attention.device.type, BAND_BYTES["cuda"])
    together = max(1, most // (tile * width * keys * attention.itemsize))
    rows = together * tile * width
    for number, (band, summed) in enumerate(zip(attention.split(rows), result.split(rows), strict=True)):
        maps = upsample(band.view(-1, height, width), latent_size[0] // height).view(-1, keys)
        sums = maps.sum(1, keepdim=True)
        row_sums.append(sums)
        torch.mul(maps, share / sums, out=summed)
        if coarser is not None:
            covering = coarser[number * together * coarse_width : (number + 1) * together * coarse_width]
            summed.view(-1, tile, coarse_width, tile, keys).add_(covering.view(-1, 1, coarse_width, 1, keys))
    return result


def upsample(maps: torch.Tensor, factor: int) -> torch.Tensor:
    """Maps (B, h, w) upsampled bilinearly (align_corners=False) by a whole factor: (B, h·factor, w·factor).

    Each phase of the finer grid has one weight. This uses single products and sums, whose rounding does not depend on
    the processor's instructions, as `F.interpolate`'s may. It is also several times as fast.
    """
    if factor == 1:
        return maps
    return _upsample(_upsample(maps, factor, 2), factor, 1)


def _upsample(maps: torch.Tensor, factor: int, dim: int) -> torch.Tensor:
    """(B, h, w) upsampled by `factor` along one dimension."""
    length = maps.shape[dim]
    # Beyond the border, use the nearest value.
    padded = torch.cat([maps.narrow(dim, 0, 1), maps, maps.narrow(dim, length - 1, 1)], dim)
    finer = maps.new_empty(*maps.shape[: dim + 1], factor, *maps.shape[dim + 1 :])
    for phase in range((factor + 1) // 2):  # and its mirror image, with the same weights
        beside = 0.5 - (phase + 0.5) / factor
        near, far = maps * (1 - beside), padded * beside
        torch.add(near, far.narrow(dim, 0, length), out=finer.select(dim + 1, phase))
        torch.add(near, far.narrow(dim, 2, length), out=finer.select(dim + 1, factor - 1 - phase))
    return finer.flatten(dim, dim + 1)


def _tile(maps: torch.Tensor, grid: Grid, latent_size: Grid) -> torch.Tensor:
    """Queries (h·w, K) repeated over the positions of L that they cover: (N, K)."""
    (height, width), keys = grid, maps.shape[1]
    tile = latent_size[0] // height
    return maps.view(height, 1, width, 1, keys).expand(-1, tile, -1, tile, -1).reshape(-1, keys)
