"""How well each layer's self-attention agrees with what one layer's features say of which positions are alike (GoCA's weight of a layer).

    w_l = Σ_ij SA_l(i, j) · R(i, j),   R = softmax(f fᵀ / √d)

f: (N, d), a row per position, of the layer that `Family.reference` names. Here SA_l is resized to f's side, and its rows are divided by
their sums, so that layers of all sides compare: the weight of self-attention that is uniform is 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F


def agreement(
    self_layers: Mapping[tuple[int, int], Mapping[str, torch.Tensor]], features: torch.Tensor, grid: tuple[int, int]
) -> dict[str, float]:
    """Layer → w_l ≥ 0. self_layers: {(h, w): {layer: (N, N)}}. features: (M, d) at the M positions of `grid`."""
    alike = (features @ features.T / features.shape[1] ** 0.5).softmax(1)
    return {name: float((_rows(rows, of, grid) * alike).sum()) for of, layers in self_layers.items() for name, rows in layers.items()}


def _rows(attention: torch.Tensor, of: tuple[int, int], grid: tuple[int, int]) -> torch.Tensor:
    """(N, N) at another size, (M, M), with rows that sum to 1: keys and queries resized in turn."""
    if of != grid:
        for _ in range(2):
            maps = attention.unflatten(1, of)[None]
            resized = F.interpolate(maps, grid, mode="area") if grid < of else F.interpolate(maps, grid, mode="bilinear")
            attention = resized[0].flatten(1).T
    return attention / attention.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
