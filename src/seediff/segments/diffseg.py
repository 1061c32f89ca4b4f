"""DiffSeg: segments of a photograph from its self-attention alone (Tian et al., "Diffuse, Attend, and Segment", CVPR
2024).

Adapted from google/diffseg (`segmentor.py`), Copyright 2023 Google LLC, MIT License. The steps are the same, but in
float64; the original compares in float16 in the first round.

`proposals` merges rows in rounds (section 3.3); `merge` is one round.

Aggregation (section 3.2): self-attention of all resolutions becomes one matrix (N, N), where N is
the number of positions of the latents (size L).

Adapted from google/diffseg (`aggregate_weights`), Copyright 2023 Google LLC, MIT License. There are two differences:
each resolution's layers were already averaged during capture, and coarse resolutions are added up before they are
tiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch

from ..attention.maps import Grid, grid_text
from ..errors import UserError
from .kmeans import kmeans

FLOOR = 1e-12
"""Probabilities are raised to this minimum before their logarithms are taken."""
BAND = 512
"""Number of rows that are converted to float64 at a time, to save memory."""


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
    of each round; the paper has 1.1 for COCO-Stuff-27 and 0.9 for Cityscapes. refine: run K-Means on the rows, starting
    from the proposals. Raises UserError for more anchors than positions.
    """
    if rows.device.type == "mps":
        rows = rows.cpu()  # it has no float64
    segments = proposals(rows, size, num_points, kl_thresholds)
    if refine:
        segments = refine_segments(rows, segments)
    return segments.unflatten(1, size)


def proposals(rows: torch.Tensor, size: Grid, num_points: int, kl_thresholds: Sequence[float]) -> torch.Tensor:
    """Object proposals (P, N) float64 from iterative attention merging (section 3.3). Each is a mean of rows. The
    arguments are those of `diffseg`."""
    # 1. Round 1: every anchor becomes the mean of all rows that are closer to it than τ.
    anchors = rows[anchor_positions(size, num_points, rows.device)]
    members = (symmetric_kl(anchors, rows) < kl_thresholds[0]).double()
    means = torch.zeros(len(anchors), rows.shape[1], dtype=torch.float64, device=rows.device)
    for band, members_in_band in zip(rows.split(BAND), members.split(BAND, 1), strict=True):
        means.addmm_(members_in_band, band.double())
    means /= members.sum(1, keepdim=True)

    # 2. Rounds 2 … N: proposals absorb each other.
    for threshold in kl_thresholds[1:]:
        means = merge(means, threshold)
    return means


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


def merge(maps: torch.Tensor, threshold: float) -> torch.Tensor:
    """The proposals (≤ P, N) after one of the later rounds. Proposals take turns: each absorbs all proposals that are
    closer than τ, and becomes their mean. An absorbed proposal gets no turn; as in the original program, others can
    absorb it again.

    maps: the proposals (P, N) before the round. threshold: τ.
    """
    closer = (symmetric_kl(maps, maps) < threshold).cpu()
    absorbed = closer.new_zeros(len(maps))
    merged: list[torch.Tensor] = []  # the proposals in each mean
    for index, near in enumerate(closer):
        if not absorbed[index]:
            absorbed |= near
            merged.append(near.nonzero().squeeze(1))
    members = torch.cat(merged).to(maps.device).split([len(group) for group in merged])
    return torch.stack([maps[group].mean(0) for group in members])


def refine_segments(rows: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """The proposals (≤ P, N) after K-Means on the rows (N, N), without empty clusters. maps: the proposals (P, N) from
    which K-Means starts."""
    labels, centres = kmeans(rows, len(maps), initial=maps)
    return centres[labels.bincount(minlength=len(centres)) > 0].to(rows.device)


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


Weights = Literal["proportional", "uniform"] | Sequence[float]
"""The weight of each resolution; `level_weights` explains the values."""


def level_weights(grids: Iterable[Grid], latent_size: Grid, weights: Weights = "proportional") -> dict[Grid, float]:
    """Size (height, width) of a resolution → its share in the aggregate, which is above 0. Shares sum to 1. The finest
    resolution comes first.

    grids: the sizes of the captured maps. latent_size: the size of L, which must be the same multiple of a map's height
    and width. weights: "proportional" to the side, "uniform", or one number for each of the levels L, L/2, L/4, …;
    missing numbers at the end count as 0. Raises UserError for a number of a level that was not captured.
    """
    levels = {latent_size[0] // grid[0]: grid for grid in sorted(grids, reverse=True)}
    if not levels:
        raise UserError(
            "no self-attention was captured", fix="use maps that have it, as capture(pipe, keep='all') makes them"
        )
    for level, grid in levels.items():
        if any(side * level != whole for side, whole in zip(grid, latent_size, strict=True)):
            problem = f"does not divide latents of {grid_text(latent_size)}: it cannot be aggregated"
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
    self_attention: Mapping[Grid, torch.Tensor], latent_size: Grid, weights: Weights = "proportional"
) -> torch.Tensor:
    """Aggregated self-attention (N, N) float32 of the N = H·W positions of L. A row belongs to a query and sums to 1.

    Each row at each resolution is a map (h, w). It is upsampled bilinearly to (H, W), divided by its sum, and added to
    the rows of all positions of L that the coarse query covers.

    self_attention: (h, w) → (h·w, h·w) float32, plain means. latent_size: (H, W). weights: as for `level_weights`.
    Raises UserError as `level_weights` does, and if the attention is not finite.
    """
    shares = level_weights(self_attention, latent_size, weights)
    last, *finer = sorted(shares)
    total, sums = _level(self_attention[last], last, latent_size, shares[last])
    extremes = [*sums.aminmax()]
    for grid in finer:  # from coarse to fine: `total` has a row for each query of the grid `last`
        rows, sums = _level(self_attention[grid], grid, latent_size, shares[grid])
        extremes += sums.aminmax()
        tile, width, keys = grid[1] // last[1], last[1], rows.shape[1]
        # A query of `last` covers tile × tile queries of this grid. Axes: height of `last`, tile, width, tile, keys.
        rows.view(-1, tile, width, tile, keys).add_(total.view(-1, 1, width, 1, keys))
        total, last = rows, grid
    numbers = torch.stack(extremes).tolist()  # once, because it waits for the GPU
    if not all(0 < number < float("inf") for number in numbers):
        raise UserError("attention holds NaN or infinite values, or nothing but zeros; capture it again in float32")
    if last == latent_size:
        return total
    # Each position of L has the row of its query. The same axes, with the keys of L.
    (height, width), keys, tile = last, total.shape[1], latent_size[0] // last[0]
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
