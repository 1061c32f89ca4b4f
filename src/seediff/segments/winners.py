"""Turns soft proposals into a label map: each pixel of a photograph belongs to the proposal with the highest value
(DiffSeg section 3.4), also where several windows overlap.

1. Segments of neighbouring windows are compared where the windows overlap. The nearest are joined.
2. Each window gives every pixel a share for each of its segments. In overlaps these shares are mixed, with less weight
   towards a window's border, so edges cross windows without a seam.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product

import numpy as np
import torch
import torch.nn.functional as F

from ..attention.windows import Window
from ..masks.arithmetic import TINY
from .diffseg import symmetric_kl

CHUNK, ROWS = 2**18, 2**22
"""Pixels per operation (1 MiB, few enough for the cache), and elements of proposals per band of rows."""
PRESENT = 0.01
"""Minimum share of the overlap on which a segment is highest; of smaller ones only the faint tail of their attention
reaches into the overlap, and all tails look alike."""

Links = Callable[[torch.Tensor, torch.Tensor], list[tuple[int, int]]]
"""From maps (P, M), (Q, M) of two windows at the M points of their overlap to the pairs to join, one per segment."""


def label(proposals: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Label map (H, W) int32 on the CPU: the proposal with the highest value at each pixel, the first of equals.

    proposals: (P, h, w), resized to `size` (H, W) bilinearly (align_corners=False). Ids are 0 … n − 1 in the order of
    the proposals, without those that win no pixel.
    """
    maps = proposals.float()
    if maps.device.type == "mps":
        maps = maps.cpu()  # it has no float64
    height, width = size
    return torch.from_numpy(_label([Window(0, 0, height, width)], [maps], [torch.arange(len(maps))], (height, width)))


def merge_proposals(
    windows: Sequence[Window], proposals: Sequence[torch.Tensor], shape: tuple[int, int], *, kl_threshold: float
) -> np.ndarray:
    """Label map (H, W) int32 of a photograph from soft proposals: ids 0 … n − 1, −1 outside all windows.

    windows: from `windows.windows`: neighbours in the list are neighbours in the photograph. proposals: for each window
    (P, h, w), each a distribution over its positions. Two segments of neighbouring windows are joined if, restricted to
    the overlap and renormalised, their symmetric KL divergence is below τ and each is the other's nearest.
    """

    def links(p: torch.Tensor, q: torch.Tensor) -> list[tuple[int, int]]:
        distances = symmetric_kl(p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True))
        absent = (_territory(p).mean(1) < PRESENT)[:, None] | (_territory(q).mean(1) < PRESENT)
        distances[absent] = float("inf")
        nearest, back = distances.argmin(1).tolist(), distances.argmin(0).tolist()
        return [(i, j) for i, j in enumerate(nearest) if back[j] == i and distances[i, j] < kl_threshold]

    return _merge(windows, [maps.float().cpu() for maps in proposals], shape, links)


def merge_labels(windows: Sequence[Window], labels: Sequence[torch.Tensor], shape: tuple[int, int]) -> np.ndarray:
    """`merge_proposals` for methods with hard labels (h, w) from 0 to P − 1 per window (K-Means, DiffCut), at positions
    or finer. Two segments are joined if their IoU in the overlap is above ½, which at most one pair can reach.
    """

    def links(p: torch.Tensor, q: torch.Tensor) -> list[tuple[int, int]]:
        mine, theirs = _territory(p), _territory(q)
        both = mine @ theirs.T
        either = mine.sum(1)[:, None] + theirs.sum(1) - both
        return [(i, j) for i, j in (2 * both > either).nonzero().tolist()]

    def one_hot(of_window: torch.Tensor) -> torch.Tensor:
        return (of_window.cpu() == torch.arange(int(of_window.max()) + 1)[:, None, None]).float()

    return _merge(windows, [one_hot(of_window) for of_window in labels], shape, links)


def _merge(windows: Sequence[Window], maps: Sequence[torch.Tensor], shape: tuple[int, int], links: Links) -> np.ndarray:
    """An id for every segment of every window, that of its counterpart in the window before or a new one; then the
    label map."""
    count = len(maps[0])
    ids = [torch.arange(count)]
    for (before, window), (earlier, own) in zip(pairwise(windows), pairwise(maps), strict=True):
        ids.append(torch.arange(count, count + len(own)))
        count += len(own)
        overlap = _overlap(before, window)
        if overlap is not None:
            for i, j in links(_restricted(earlier, before, overlap, own), _restricted(own, window, overlap, own)):
                ids[-1][j] = ids[-2][i]
    return _label(windows, maps, ids, shape)


def _label(
    windows: Sequence[Window], maps: Sequence[torch.Tensor], ids: Sequence[torch.Tensor], shape: tuple[int, int]
) -> np.ndarray:
    """Label map (H, W) int32 from the windows' maps (P, h, w) and the ids (P,) of their segments, renumbered without
    gaps; −1 outside.
    """
    # 1. Pixels: region by region, where a region is covered by the same windows, in bands of rows.
    labels = np.full(shape, -1, np.int32)
    used = np.zeros(int(max(map(torch.max, ids))) + 1, bool)
    for region, over in _regions(windows):
        rows = max(1, min(CHUNK // region.width, ROWS // sum(len(maps[i]) * maps[i].shape[2] for i in over)))
        for top in range(region.top, region.top + region.height, rows):
            band = Window(top, region.left, min(rows, region.top + region.height - top), region.width)
            winners = _winners(band, [(windows[i], maps[i], ids[i]) for i in over]).numpy()
            used[winners] = True
            labels[band.slices] = winners

    # 2. Ids without gaps, in the order of windows and their segments.
    consecutive = np.append(used.cumsum() - 1, -1).astype(np.int32)
    for row in labels:
        row[:] = consecutive[row]
    return labels


def _overlap(a: Window, b: Window) -> Window | None:
    """The overlap of two windows."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    height, width = min(a.top + a.height, b.top + b.height) - top, min(a.left + a.width, b.left + b.width) - left
    if height <= 0 or width <= 0:
        return None
    return Window(top, left, height, width)


def _restricted(maps: torch.Tensor, window: Window, overlap: Window, like: torch.Tensor) -> torch.Tensor:
    """A window's maps (P, h, w) at points of an overlap, about as many as positions of `like` in it: (P, M) float64,
    bilinear.
    """
    axes = []
    for start, length, first, whole, positions in (
        (overlap.left, overlap.width, window.left, window.width, like.shape[2]),
        (overlap.top, overlap.height, window.top, window.height, like.shape[1]),
    ):
        points = max(1, round(positions * length / whole))
        pixels = start - first + (torch.arange(points, dtype=torch.float64) + 0.5) * length / points
        axes.append(pixels * 2 / whole - 1)  # grid_sample's coordinates: the window's edges are -1 and 1
    grid = torch.stack(torch.meshgrid(*axes, indexing="xy"), -1)[None]
    return F.grid_sample(maps[None].double(), grid, padding_mode="border", align_corners=False)[0].flatten(1)


def _territory(maps: torch.Tensor) -> torch.Tensor:
    """Ones where each of maps (P, M) is highest (the first of equals), else zeros: (P, M)."""
    return F.one_hot(maps.argmax(0), len(maps)).T.double()


def _regions(windows: Sequence[Window]) -> Iterator[tuple[Window, list[int]]]:
    """The rectangles into which the windows' edges cut the photograph, and the windows over each, if any."""
    ys = sorted({w.top for w in windows} | {w.top + w.height for w in windows})
    xs = sorted({w.left for w in windows} | {w.left + w.width for w in windows})
    for (top, bottom), (left, right) in product(pairwise(ys), pairwise(xs)):
        region = Window(top, left, bottom - top, right - left)
        over = [i for i, window in enumerate(windows) if _overlap(window, region) == region]
        if over:
            yield region, over


def _winners(band: Window, over: Sequence[tuple[Window, torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """The id at each pixel of a band (h, w), from the windows over it with their maps and ids; the first of equals."""
    # A band is stored as columns (w, h), so that widening it copies whole runs.
    here = torch.cat([ids for _, _, ids in over]).unique()
    if len(over) == 1:  # non-maximum suppression as without tiles
        window, maps, here = over[0]
        scores = _columns(maps, window, band)
    else:
        scores = torch.zeros(len(here), band.width, band.height)
        for window, maps, ids in over:
            total = next(_columns(maps.sum(0, keepdim=True), window, band))
            weight = _tent(window, band).T / total.clamp_min_(TINY)
            places = torch.searchsorted(here, ids).tolist()
            for index, score in zip(places, _columns(maps, window, band), strict=True):
                scores[index].addcmul_(score, weight)
    highest = torch.full((band.width, band.height), float("-inf"), device=over[0][1].device)
    winner = torch.zeros_like(highest, dtype=torch.int32)
    for index, score in enumerate(scores):
        winner.masked_fill_(score > highest, index)
        torch.maximum(highest, score, out=highest)
    return here[winner.cpu().T]


def _columns(maps: torch.Tensor, window: Window, band: Window) -> Iterator[torch.Tensor]:
    """Each of a window's maps (P, h, w) at the pixels of a band within it, bilinear (align_corners=False), transposed:
    (w, h).
    """
    above, below, down = _taps(maps.shape[1], window.height, band.top - window.top, band.height, maps.device)
    left, right, across = _taps(maps.shape[2], window.width, band.left - window.left, band.width, maps.device)
    rows = maps[:, above] * (1 - down[:, None]) + maps[:, below] * down[:, None]
    for row_map in rows.transpose(1, 2).contiguous():
        yield (row_map[left] * (1 - across[:, None])).add_(row_map[right].mul_(across[:, None]))


def _taps(
    positions: int, pixels: int, start: int, count: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of `count` of `pixels` pixels from `start`: the positions before and after each, and the weight of the latter."""
    along = torch.arange(start, start + count, dtype=torch.float64, device=device)
    points = ((along + 0.5) * positions / pixels - 0.5).clamp(0, positions - 1)
    before = points.long()
    return before, (before + 1).clamp_max(positions - 1), (points - before).float()


def _tent(window: Window, band: Window) -> torch.Tensor:
    """A window's weight at each pixel of a band (h, w), proportional to the distances from its borders."""
    y = torch.arange(band.height) + (band.top - window.top + 0.5)
    x = torch.arange(band.width) + (band.left - window.left + 0.5)
    return torch.minimum(y, window.height - y)[:, None] * torch.minimum(x, window.width - x)
