"""Aggregation (DiffSeg, section 3.2): self-attention of all resolutions becomes one matrix (N, N), where N is the
number of positions of the latents (size L).

Adapted from google/diffseg (`aggregate_weights`), Copyright 2023 Google LLC, MIT License. There are two differences:
each resolution's layers were already averaged during capture, and coarse resolutions are added up before they are
tiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch

from ..errors import UserError
from ..models.layers import Grid, grid_text

Weights = Literal["proportional", "uniform"] | Sequence[float]
"""The weight of each resolution; `level_weights` explains the values."""


def level_weights(grids: Iterable[Grid], lattice: Grid, weights: Weights) -> dict[Grid, float]:
    """Size (height, width) of a resolution → its share in the aggregate, which is above 0. Shares sum to 1. The finest
    resolution comes first.

    grids: the sizes of the captured maps. lattice: the size of L, which must be the same multiple of a map's height
    and width. weights: "proportional" to the side, "uniform", or one number for each of the levels L, L/2, L/4, …;
    missing numbers at the end count as 0. Raises UserError for a number of a level that was not captured.
    """
    levels = {lattice[0] // grid[0]: grid for grid in sorted(grids, reverse=True)}
    if not levels:
        raise UserError(
            "no self-attention was captured", fix="use maps that have it, as capture(pipe, keep='all') makes them"
        )
    for level, grid in levels.items():
        if any(side * level != whole for side, whole in zip(grid, lattice, strict=True)):
            problem = f"does not divide latents of {grid_text(lattice)}: it cannot be aggregated"
            raise UserError(f"self-attention of {grid_text(grid)} {problem}")
    if weights == "uniform":
        given = dict.fromkeys(levels.values(), 1.0)
    elif weights == "proportional":
        given = {grid: float(grid[0]) for grid in levels.values()}
    else:
        numbers = {2**index: float(weight) for index, weight in enumerate(weights) if weight}
        absent = [level for level in numbers if level not in levels]
        if absent:
            problem = f"{', '.join(f'{w:g}' for w in weights)}: the model has no self-attention at L/{absent[0]}"
            raise UserError("segment.weights", problem, f"levels there: {', '.join(map(str, levels))}")
        given = {levels[level]: weight for level, weight in numbers.items()}
    total = sum(given.values())
    return {grid: weight / total for grid, weight in given.items()}


def aggregate(
    self_attention: Mapping[Grid, torch.Tensor], lattice: Grid, weights: Weights = "proportional"
) -> torch.Tensor:
    """Aggregated self-attention (N, N) float32 of the N = H·W positions of L. A row belongs to a query and sums to 1.

    Each row at each resolution is a map (h, w). It is upsampled bilinearly to (H, W), divided by its sum, and added to
    the rows of all positions of L that the coarse query covers.

    self_attention: (h, w) → (h·w, h·w) float32, plain means. lattice: (H, W). weights: as for `level_weights`.
    Raises UserError as `level_weights` does, and if the attention is not finite.
    """
    shares = level_weights(self_attention, lattice, weights)
    last, *finer = sorted(shares)
    total, sums = _level(self_attention[last], last, lattice, shares[last])
    extremes = [*sums.aminmax()]
    for grid in finer:  # from coarse to fine: `total` has a row for each query of the grid `last`
        rows, sums = _level(self_attention[grid], grid, lattice, shares[grid])
        extremes += sums.aminmax()
        tile = grid[1] // last[1]
        width = last[1]
        keys = rows.shape[1]
        # A query of `last` covers tile × tile queries of this grid. Axes: height of `last`, tile, width, tile, keys.
        rows.view(-1, tile, width, tile, keys).add_(total.view(-1, 1, width, 1, keys))
        total, last = rows, grid
    numbers = torch.stack(extremes).tolist()  # once, because it waits for the GPU
    if not all(0 < number < float("inf") for number in numbers):
        raise UserError(
            "attention", "holds NaN or infinite values, or nothing but zeros", "capture it again in float32"
        )
    if last == lattice:
        return total
    # Each position of L has the row of its query. The same axes, with the keys of L.
    height, width = last
    keys = total.shape[1]
    tile = lattice[0] // last[0]
    return total.view(height, 1, width, 1, keys).expand(-1, tile, -1, tile, -1).reshape(-1, keys)


def _level(attention: torch.Tensor, grid: Grid, size: Grid, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, sums) of one resolution's attention (h·w, h·w). rows: (h·w, N), upsampled to L and scaled, so that each
    row sums to `share`. sums: (h·w, 1), the sums of the upsampled rows before they were scaled."""
    rows = upsample(attention.view(-1, *grid), size[0] // grid[0]).view(len(attention), -1)
    sums = rows.sum(1, keepdim=True)
    return rows * (share / sums), sums


def upsample(maps: torch.Tensor, factor: int) -> torch.Tensor:
    """Maps (B, h, w) upsampled bilinearly (align_corners=False) by a whole factor: (B, h·factor, w·factor).

    There is one weight for each of the `factor` places inside a coarse cell, so that results are single products and
    sums, which every processor rounds equally. `F.interpolate` may round differently on different processors.
    """
    if factor == 1:
        return maps
    return _upsample(_upsample(maps, factor, 2), factor, 1)


def _upsample(maps: torch.Tensor, factor: int, dim: int) -> torch.Tensor:
    """Maps upsampled along one dimension, `dim`. For example, with factor 2 both places inside a cell have ¾ of the
    cell's value: the first ¼ of the cell before, the second ¼ of the cell after."""
    length = maps.shape[dim]
    # Beyond the border, use the nearest value.
    padded = torch.cat([maps.narrow(dim, 0, 1), maps, maps.narrow(dim, length - 1, 1)], dim)
    finer = maps.new_empty(*maps.shape[: dim + 1], factor, *maps.shape[dim + 1 :])
    # A place in the first half of a cell, and its mirror image in the second half, have the same weights.
    for place in range((factor + 1) // 2):
        neighbour = 0.5 - (place + 0.5) / factor  # the neighbouring cell's weight
        near, far = maps * (1 - neighbour), padded * neighbour
        before, after = far.narrow(dim, 0, length), far.narrow(dim, 2, length)
        torch.add(near, before, out=finer.select(dim + 1, place))
        torch.add(near, after, out=finer.select(dim + 1, factor - 1 - place))
    return finer.flatten(dim, dim + 1)
