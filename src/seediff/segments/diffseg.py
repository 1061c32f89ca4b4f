"""DiffSeg: segments of a photograph from its self-attention alone (Tian et al., "Diffuse, Attend, and Segment", CVPR
2024).

Adapted from google/diffseg (`segmentor.py`), Copyright 2023 Google LLC, MIT License. The same steps in float64: the
original's first round compares in float16.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..attention.maps import Grid
from ..errors import UserError
from .kmeans import kmeans

FLOOR = 1e-12
"""Smaller probabilities are replaced by this inside the logarithm."""
BAND = 512
"""Rows that are held in float64 at a time."""


def diffseg(
    rows: torch.Tensor,
    size: Grid,
    *,
    num_points: int = 16,
    kl_thresholds: Sequence[float] = (1.1,) * 3,
    refine: bool = False,
) -> torch.Tensor:
    """Object proposals (P, h, w) float64, each a distribution over positions. `label` turns them into segments.

    rows: (N, N) float32, from `aggregate`. size: (h, w) of L. num_points: anchors on the longer side. kl_thresholds: τ
    for every round: 1.1 for COCO-Stuff-27, 0.9 for Cityscapes. refine: run K-Means on the rows, starting from the
    proposals. Raises UserError if the anchors do not fit.
    """
    if rows.device.type == "mps":
        rows = rows.cpu()  # it has no float64
    segments = proposals(rows, size, num_points, kl_thresholds)
    if refine:
        segments = refine_segments(rows, segments)
    return segments.unflatten(1, size)


def proposals(rows: torch.Tensor, size: Grid, num_points: int, kl_thresholds: Sequence[float]) -> torch.Tensor:
    """Object proposals (P, N) float64, by iterative attention merging (section 3.3); each is a mean of rows (N, N)
    float32. kl_thresholds: τ of each round."""
    # 1. Round 1: every anchor becomes the mean of all rows that are closer to it than τ.
    anchors = rows[anchor_positions(size, num_points, rows.device)]
    members = (symmetric_kl(anchors, rows) < kl_thresholds[0]).double()
    means = torch.zeros(len(anchors), rows.shape[1], dtype=torch.float64, device=rows.device)
    for band, of in zip(rows.split(BAND), members.split(BAND, 1), strict=True):
        means.addmm_(of, band.double())
    means /= members.sum(1, keepdim=True)

    # 2. Rounds 2 … N: proposals absorb each other.
    for threshold in kl_thresholds[1:]:
        means = merge(means, threshold)
    return means


def anchor_positions(size: Grid, num_points: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Flat indexes (A,) of the anchors among the positions of L (h, w): an even, centred grid (16 points on 64: 1, 5,
    …, 61).

    The longer side has num_points anchors, the shorter as many as fit at the same distance. Raises UserError if
    num_points is not from 2 to the longer side.
    """
    longer = max(size)
    if not 2 <= num_points <= longer:
        problem = f"{num_points} must be from 2 to {longer}, the longer side of the latents"
        raise UserError("segment.num_points", problem)
    down, across = (_line(side, max(1, round(num_points * side / longer)), device) for side in size)
    return (down[:, None] * size[1] + across).flatten()


def _line(side: int, count: int, device: torch.device | str) -> torch.Tensor:
    """Evenly spaced, centred positions on one side."""
    step = (side - 1) // max(count - 1, 1)
    start = (side - 1 - step * (count - 1)) // 2
    return start + step * torch.arange(count, device=device)


def merge(maps: torch.Tensor, threshold: float) -> torch.Tensor:
    """The proposals (≤ P, N) after one later round. The proposals (P, N) take turns. Each absorbs all proposals that
    are closer than τ, and becomes the mean of them; a proposal that was absorbed has no turn. As in the original
    program, it can be absorbed again.
    """
    closer = (symmetric_kl(maps, maps) < threshold).cpu()
    absorbed = torch.zeros(len(maps), dtype=torch.bool)
    merged: list[torch.Tensor] = []  # the proposals in each mean
    for index, near in enumerate(closer):
        if not absorbed[index]:
            absorbed |= near
            merged.append(near.nonzero().squeeze(1))
    members = torch.cat(merged).to(maps.device).split([len(group) for group in merged])
    return torch.stack([maps[group].mean(0) for group in members])


def refine_segments(rows: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Proposals (P, N) after K-Means on the rows (N, N), starting from them; empty clusters are dropped."""
    labels, centres = kmeans(rows, len(maps), initial=maps)
    return centres[labels.bincount(minlength=len(centres)) > 0].to(rows.device)


def symmetric_kl(anchors: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """`D(p, q) = ½ (KL(p‖q) + KL(q‖p))` of every anchor p and row q, (A, M) float64, in nats.

    anchors: (A, N), rows: (M, N); each sums to 1, zeros allowed. With h(p) = Σ p log p, `2 D = h(p) + h(q) − p·log q −
    q·log p`: two matrix products.
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
