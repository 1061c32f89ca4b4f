"""Attention aggregation (DiffSeg section 3.2): self-attention of all resolutions as one map of L² positions by L² positions.

Adapted from google/diffseg (`aggregate_weights`), Copyright 2023 Google LLC, MIT License. There each resolution's layers are
averaged first, too; here the capture has done that, and the coarse resolutions are added up before they are tiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch

from ..errors import UserError

Weights = Literal["proportional", "uniform"] | Sequence[float]

BAND_BYTES = {"cpu": 0, "cuda": 256 << 20}
"""Of upsampled rows that are worked on at a time: on a CPU as few as can be, which its cache holds, elsewhere enough to outweigh the
calls."""


def level_weights(sides: Iterable[int], latent_side: int, weights: Weights = "proportional") -> dict[int, float]:
    """Each side's share in the aggregate, {side: weight > 0}, finest first, summing to 1.

    Args:
        sides: those that were captured; each must divide latent_side.
        weights: "proportional" to the side (64² latents: 0.533, 0.267, 0.133, 0.067), "uniform", or one number per level
            L, L/2, L/4, … (levels left out at the end have none).

    Raises UserError when a number is negative or not finite, none is positive, there are more numbers than levels, or one is
    given to a level that was not captured.
    """
    sides = sorted(sides, reverse=True)
    if not sides:
        raise UserError("no self-attention was captured: there is nothing to aggregate")
    for side in sides:
        if side < 1 or latent_side % side:
            raise UserError(f"self-attention of side {side} does not divide the latent side {latent_side}: it cannot be aggregated")
    if isinstance(weights, str):
        if weights not in ("proportional", "uniform"):
            raise UserError(f"weights = {weights!r} must be 'proportional', 'uniform' or one number per level L, L/2, L/4, …")
        given = {side: float(side) if weights == "proportional" else 1.0 for side in sides}
    else:
        given = _by_level(sides, latent_side, weights)
    total = sum(given.values())
    return {side: weight / total for side, weight in given.items()}


def _by_level(sides: Sequence[int], latent_side: int, weights: Sequence[float]) -> dict[int, float]:
    """{side: weight > 0} of one number per level L, L/2, L/4, …"""
    shown = f"weights = {', '.join(f'{w:g}' for w in weights)}"
    levels = (latent_side // sides[-1]).bit_length()
    if len(weights) > levels:
        raise UserError(f"{shown}: {len(weights)} numbers, but the model has only {levels} levels (L to L/{latent_side // sides[-1]})")
    if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise UserError(f"{shown} must be numbers of at least 0, one of them positive")
    names = {latent_side >> level: f"L/{2**level}" if level else "L" for level in range(levels)}
    there = ", ".join(names[side] for side in sides if side in names)
    given = {}
    for level, weight in enumerate(weights):
        side = latent_side >> level
        if weight and side not in sides:
            raise UserError(f"{shown}: the model has no self-attention at {names[side]}; levels there: {there}")
        if weight:
            given[side] = float(weight)
    return given


def aggregate(self_attention: Mapping[int, torch.Tensor], latent_side: int, weights: Weights = "proportional") -> torch.Tensor:
    """Aggregated self-attention (L², L²) float32; row = query; rows sum to 1.

    Each row of each resolution is seen as a map, upsampled bilinearly to (L, L) and divided by its sum; a position of a coarse
    resolution stands for all positions of L² that it covers.

    Args:
        self_attention: {R: (R², R²)} float32, plain means over heads and layers (`CaptureConfig(normalize=False)`).
        latent_side: L; every R must divide it.
        weights: as in `level_weights`.

    Raises UserError as `level_weights` does, or when the attention is not finite.
    """
    shares = level_weights(self_attention, latent_side, weights)
    total: torch.Tensor | None = None  # of the levels so far, (R², L²) with R the side of the last
    sums: list[torch.Tensor] = []
    for side in sorted(shares):
        total = _add_level(total, self_attention[side], shares[side], latent_side, sums)
    assert total is not None  # there is at least one level
    lowest, highest = torch.stack(torch.cat(sums).aminmax()).tolist()  # once: a GPU is waited for
    if not 0 < lowest <= highest < float("inf"):
        raise UserError("attention holds NaN or infinite values: half precision overflowed; capture it again with --dtype float32")
    return total if len(total) == latent_side**2 else _tile(total, latent_side)


def _add_level(
    coarser: torch.Tensor | None, attention: torch.Tensor, share: float, latent_side: int, row_sums: list[torch.Tensor]
) -> torch.Tensor:
    """`share · upsampled rows / their sums` of attention (R², R²), plus the coarser levels' total (r², L²), each of its positions
    for all that it covers: (R², L²). The sums that were divided by are added to the list `row_sums`.

    Queries that share a row of coarse positions, or several of them, are one band: on a CPU the upsampled rows never leave the cache.
    """
    side = round(len(attention) ** 0.5)
    coarse_side = side if coarser is None else round(len(coarser) ** 0.5)
    tile, keys = side // coarse_side, latent_side**2
    result = attention.new_empty(len(attention), keys)
    together = max(1, BAND_BYTES.get(attention.device.type, BAND_BYTES["cuda"]) // (tile * side * keys * attention.itemsize))
    rows = together * tile * side
    for number, (band, summed) in enumerate(zip(attention.split(rows), result.split(rows), strict=True)):
        maps = upsample(band.view(-1, side, side), latent_side // side).view(-1, keys)
        sums = maps.sum(1, keepdim=True)
        row_sums.append(sums)
        torch.mul(maps, share / sums, out=summed)
        if coarser is not None:
            covering = coarser[number * together * coarse_side : (number + 1) * together * coarse_side]
            summed.view(-1, tile, coarse_side, tile, keys).add_(covering.view(-1, 1, coarse_side, 1, keys))
    return result


def upsample(maps: torch.Tensor, factor: int) -> torch.Tensor:
    """Maps (B, R, R) bilinearly (align_corners=False) at a whole multiple of their side: (B, R·factor, R·factor).

    Each phase of the finer grid has one weight. Written as single products and sums, whose rounding does not depend on which
    of a processor's instructions does them, as `F.interpolate`'s may; and several times as fast.
    """
    if factor == 1:
        return maps
    return _upsample(_upsample(maps, factor, 2), factor, 1)


def _upsample(maps: torch.Tensor, factor: int, dim: int) -> torch.Tensor:
    """(B, h, w) with one dimension `factor` times as long."""
    length = maps.shape[dim]
    padded = torch.cat([maps.narrow(dim, 0, 1), maps, maps.narrow(dim, length - 1, 1)], dim)  # beyond the border the nearest counts
    finer = maps.new_empty(*maps.shape[: dim + 1], factor, *maps.shape[dim + 1 :])
    for phase in range((factor + 1) // 2):  # and its mirror image, with the same weights
        beside = 0.5 - (phase + 0.5) / factor
        near, far = maps * (1 - beside), padded * beside
        torch.add(near, far.narrow(dim, 0, length), out=finer.select(dim + 1, phase))
        torch.add(near, far.narrow(dim, 2, length), out=finer.select(dim + 1, factor - 1 - phase))
    return finer.flatten(dim, dim + 1)


def _tile(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Queries (R², K) repeated over the positions that they cover: (side², K)."""
    coarse_side, keys = round(len(maps) ** 0.5), maps.shape[1]
    tile = side // coarse_side
    return maps.view(coarse_side, 1, coarse_side, 1, keys).expand(-1, tile, -1, tile, -1).reshape(side * side, keys)
