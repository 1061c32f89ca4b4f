"""Expansion: a region grows from its seeds to the positions that they attend to, by self-attention (SeeDiff eq. 7)."""

from __future__ import annotations

import torch

from .products import sum_of_rows


def expand(self_attention: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """`M'[·] = 1/|S| Σ_{i ∈ S} SA[i, ·]` (eq. 7): the mean of the seeds' rows, (h, w).

    self_attention: (N, N) float32, row = query. seeds: (h, w) bool with at least one True.
    """
    rows = seeds.flatten().nonzero().squeeze(1)
    if len(rows) == 0:
        raise ValueError("expand needs at least one seed")
    return (sum_of_rows(self_attention, rows) / len(rows)).reshape(seeds.shape)
