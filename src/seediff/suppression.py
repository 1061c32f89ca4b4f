"""Non-maximum suppression (DiffSeg section 3.4): each pixel belongs to the proposal that is highest there."""

from __future__ import annotations

from collections.abc import Sequence

import torch

CHUNK = 2**18
"""Pixels (1 MiB) worked on at a time: few enough for a cache, and no more memory for 200 megapixels than for one."""


def label(proposals: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Label map (H, W) int32 on the CPU: the proposal that is highest at each pixel, the first of equals.

    proposals: (P, L, L), brought to `size` (H, W) bilinearly (align_corners=False). Ids are 0 … n − 1 in the order of the
    proposals, without those that win no pixel.
    """
    height, width = size
    maps = proposals.float()
    labels = torch.empty(height, width, dtype=torch.int32)
    above, below, down = (t.to(maps.device) for t in _taps(maps.shape[1], height))
    left, right, across = (t.to(maps.device) for t in _taps(maps.shape[2], width))
    down, across = down[:, None], across[:, None]
    rows = max(1, CHUNK // width)
    for top in range(0, height, rows):
        here = slice(top, top + rows)
        # A band is kept as columns (W, rows), so that bringing it to its width copies whole runs.
        band = maps[:, above[here]] * (1 - down[here]) + maps[:, below[here]] * down[here]
        columns = band.transpose(1, 2).contiguous()
        highest = columns.new_full((width, columns.shape[2]), float("-inf"))
        winner = torch.zeros_like(highest, dtype=torch.int32)
        for index, one in enumerate(columns):
            pixels = (one[left] * (1 - across)).add_(one[right].mul_(across))
            winner.masked_fill_(pixels > highest, index)
            torch.maximum(highest, pixels, out=highest)
        labels[here] = winner.T.cpu()
    used = labels.flatten().bincount(minlength=len(maps)) > 0
    return (used.cumsum(0) - 1).to(torch.int32)[labels]


def _taps(length: int, target: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each of `target` points over `length` positions: the positions before and after it, and the weight of the latter."""
    points = ((torch.arange(target, dtype=torch.float64) + 0.5) * length / target - 0.5).clamp(0, length - 1)
    before = points.long()
    return before, (before + 1).clamp_max(length - 1), (points - before).float()
