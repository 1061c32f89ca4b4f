"""Non-maximum suppression (DiffSeg section 3.4): each pixel belongs to the proposal with the highest value."""

from __future__ import annotations

from collections.abc import Sequence

import torch

CHUNK = {"cpu": 2**18, "cuda": 2**24}
"""Pixels per operation: 1 MiB, few enough for the cache, so that 200 megapixels need no more memory than one. On a GPU
64 MiB, because each operation waits for it."""

ROWS = {"cpu": 2**22, "cuda": 2**28}
"""Elements of proposals per band of rows (16 MiB; 1 GiB on a GPU). With many proposals on a narrow photograph, these
exceed its pixels.
"""


def label(proposals: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Label map (H, W) int32 on the CPU: the proposal with the highest value at each pixel, the first if several are
    equal.

    proposals: (P, h, w), resized to `size` (H, W) bilinearly (align_corners=False). Ids are 0 … n − 1 in the order of
    the proposals, without those that win no pixel.
    """
    height, width = size
    maps = proposals.float()
    labels = torch.empty(height, width, dtype=torch.int32)
    if maps.device.type == "mps":
        maps = maps.cpu()  # it has no float64
    above, below, down = taps(maps.shape[1], height, device=maps.device)
    left, right, across = taps(maps.shape[2], width, device=maps.device)
    down, across = down[:, None], across[:, None]
    rows = band_rows(width, len(maps) * maps.shape[2], maps.device.type)
    bands = [slice(top, top + rows) for top in range(0, height, rows)]
    wins = torch.zeros(len(maps), dtype=torch.int64)
    for here in bands:
        # A band is stored as columns (W, rows), so that widening it copies whole runs.
        band = maps[:, above[here]] * (1 - down[here]) + maps[:, below[here]] * down[here]
        columns = band.transpose(1, 2).contiguous()
        highest = columns.new_full((width, columns.shape[2]), float("-inf"))
        winner = torch.zeros_like(highest, dtype=torch.int32)
        for index, proposal in enumerate(columns):
            pixels = (proposal[left] * (1 - across)).add_(proposal[right].mul_(across))
            winner.masked_fill_(pixels > highest, index)
            torch.maximum(highest, pixels, out=highest)
        winner = winner.cpu()
        wins += winner.flatten().bincount(minlength=len(maps))
        labels[here] = winner.T
    if not wins.all():
        ids = ((wins > 0).cumsum(0) - 1).to(torch.int32)
        for here in bands:
            labels[here] = ids[labels[here]]
    return labels


def band_rows(width: int, elements: int, device: str = "cpu") -> int:
    """Number of rows per operation, for a map `width` pixels wide. elements: those of all proposals at one row."""
    chunk, rows = (limits.get(device, limits["cuda"]) for limits in (CHUNK, ROWS))
    return max(1, min(chunk // width, rows // elements))


def taps(
    positions: int, pixels: int, start: int = 0, count: int | None = None, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For `count` (or all) of `pixels` pixels from `start`: the positions before and after each, and the weight of the
    latter.
    """
    along = torch.arange(start, pixels if count is None else start + count, dtype=torch.float64, device=device)
    points = ((along + 0.5) * positions / pixels - 0.5).clamp(0, positions - 1)
    before = points.long()
    return before, (before + 1).clamp_max(positions - 1), (points - before).float()
