"""DiffSeg: segments of a photograph from its self-attention alone (Tian et al., "Diffuse, Attend, and Segment", CVPR
2024).

Adapted from google/diffseg (`segmentor.py`), Copyright 2023 Google LLC, MIT License. The steps are the same, but in
float64; the original compares in float16 in the first round.

`merge_rows` makes proposals of rows in rounds (section 3.3); `merge` is one of the later rounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import UserError
from ..models.layers import Grid
from .kmeans import kmeans

FLOOR = 1e-12
"""Probabilities are raised to this minimum before their logarithms are taken."""
BAND = 512
"""Number of rows that are converted to float64 at a time, to save memory."""


def diffseg(
    rows: torch.Tensor, size: Grid, *, num_points: int = 16, kl_thresholds: Sequence[float], refine: bool = False
) -> torch.Tensor:
    """Object proposals (P, h, w) float64, each a distribution over positions. `label` turns them into segments.

    rows: (N, N) float32, from `aggregate`. size: (h, w) of L. num_points: anchors on the longer side. kl_thresholds: τ
    of each round; the paper has 1.1 for COCO-Stuff-27 and 0.9 for Cityscapes. refine: run K-Means on the rows, starting
    from the proposals. Raises UserError for more anchors than positions.
    """
    if rows.device.type == "mps":
        rows = rows.cpu()  # it has no float64
    proposals = merge_rows(rows, size, num_points, kl_thresholds)
    if refine:
        labels, centres = kmeans(rows, len(proposals), initial=proposals)
        proposals = centres[labels.bincount(minlength=len(centres)) > 0].to(rows.device)  # no empty clusters
    return proposals.unflatten(1, size)


def merge_rows(rows: torch.Tensor, size: Grid, num_points: int, kl_thresholds: Sequence[float]) -> torch.Tensor:
    """Object proposals (P, N) float64 from iterative attention merging (section 3.3). Each is a mean of rows. The
    arguments are those of `diffseg`."""
    # 1. Round 1: every anchor becomes the mean of all rows that are closer to it than τ.
    anchors = rows[anchor_positions(size, num_points, rows.device)]
    members = (symmetric_kl(anchors, rows) < kl_thresholds[0]).double()
    proposals = torch.zeros(len(anchors), rows.shape[1], dtype=torch.float64, device=rows.device)
    for band, members_in_band in zip(rows.split(BAND), members.split(BAND, 1), strict=True):
        proposals.addmm_(members_in_band, band.double())
    proposals /= members.sum(1, keepdim=True)

    # 2. Rounds 2 … N: proposals absorb each other.
    for threshold in kl_thresholds[1:]:
        proposals = merge(proposals, threshold)
    return proposals


def anchor_positions(size: Grid, num_points: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Indexes (A,) of the anchors among the positions of L, an even, centred grid. For example, 16 points on a side of
    64 are 1, 5, …, 61.

    size: (h, w) of L. num_points: anchors on the longer side; the shorter side has as many as fit at the same distance.
    Raises UserError if num_points is not from 2 to the longer side.
    """
    longer = max(size)
    if not 2 <= num_points <= longer:
        problem = f"{num_points} must be from 2 to {longer}, the longer side of the latents"
        raise UserError("segment.num_points", problem)
    down, across = (_line(side, max(1, round(num_points * side / longer)), device) for side in size)
    return (down[:, None] * size[1] + across).flatten()


def _line(side: int, count: int, device: torch.device | str) -> torch.Tensor:
    """The anchors' positions on one side (count,)."""
    step = (side - 1) // max(count - 1, 1)
    start = (side - 1 - step * (count - 1)) // 2
    return start + step * torch.arange(count, device=device)


def merge(proposals: torch.Tensor, threshold: float) -> torch.Tensor:
    """The proposals (≤ P, N) after one of the later rounds. Proposals take turns: each absorbs all proposals that are
    closer than τ, and becomes their mean. An absorbed proposal gets no turn; as in the original program, others can
    absorb it again.

    proposals: (P, N), before the round. threshold: τ.
    """
    closer = (symmetric_kl(proposals, proposals) < threshold).cpu()
    absorbed = closer.new_zeros(len(proposals))
    merged: list[torch.Tensor] = []  # the proposals in each mean
    for index, near in enumerate(closer):
        if not absorbed[index]:
            absorbed |= near
            merged.append(near.nonzero().squeeze(1))
    members = torch.cat(merged).to(proposals.device).split([len(group) for group in merged])
    return torch.stack([proposals[group].mean(0) for group in members])


def symmetric_kl(anchors: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The distance `D(p, q) = ½ (KL(p‖q) + KL(q‖p))` of every anchor p and row q, (A, M) float64, in nats.

    It takes two matrix products: with h(p) = Σ p log p, `2 D = h(p) + h(q) − p·log q − q·log p`. anchors: (A, N).
    rows: (M, N). Every row of both sums to 1, and may have zeros.
    """
    anchors = anchors.double()
    anchor_logs, anchor_entropies = _log_and_entropy(anchors)
    columns = []
    for band in map(torch.Tensor.double, rows.split(BAND)):
        logs, entropies = _log_and_entropy(band)
        columns.append(anchor_entropies[:, None] + entropies - anchors @ logs.T - anchor_logs @ band.T)
    return torch.cat(columns, 1).div_(2)


def _log_and_entropy(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(log p, h(p)) of each row p."""
    logs = rows.clamp_min(FLOOR).log_()
    return logs, (rows * logs).sum(1)
