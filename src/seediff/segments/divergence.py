"""Symmetric Kullback–Leibler divergence of attention rows, with which DiffSeg decides whether two positions belong
together.

`2 D(p, q) = h(p) + h(q) − p·log q − q·log p` with `h(p) = Σ p log p`: two matrix products instead of a broadcast over
all pairs and positions.
"""

from __future__ import annotations

import torch

FLOOR = 1e-12
"""Smaller probabilities are replaced by this inside the logarithm."""
BAND = 512
"""Rows that are held in float64 at a time."""


def symmetric_kl(anchors: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """`D(p, q) = ½ (KL(p‖q) + KL(q‖p))` of every anchor p and row q, (A, M) float64, in nats.

    anchors: (A, N), rows: (M, N); each sums to 1, zeros allowed.
    """
    anchors = anchors.double()
    anchor_logs, anchor_entropies = _log_and_entropy(anchors)
    columns = []
    for band in map(torch.Tensor.double, rows.split(BAND)):
        logs, entropies = _log_and_entropy(band)
        columns.append(anchor_entropies[:, None] + entropies - anchors @ logs.T - anchor_logs @ band.T)
    return torch.cat(columns, 1).div_(2)


def _log_and_entropy(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logs = rows.clamp_min(FLOOR).log_()
    return logs, (rows * logs).sum(1)
