"""GoCA's layer weights: how well each layer's self-attention agrees with the similarity between the features of one reference layer.

    w_l = Σ_ij SA_l(i, j) · R(i, j),   R = softmax(f fᵀ / √d)

f: (N, d), one row per position, of the layer that `Family.reference` names. Here SA_l is resized to f's side and its rows are divided by
their sums, so that weights of layers with different sides are comparable: uniform self-attention has weight 1.
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
    """Self-attention (N, N) at size `of`, resized to (M, M) at `grid`: first its keys, then its queries. Rows sum to 1."""
    if of != grid:
        for _ in range(2):
            maps = attention.unflatten(1, of)[None]
            resized = F.interpolate(maps, grid, mode="area") if grid < of else F.interpolate(maps, grid, mode="bilinear")
            attention = resized[0].flatten(1).T
    return attention / attention.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
