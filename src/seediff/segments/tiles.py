"""One segmentation of a photograph from those of overlapping windows: which segments are one, and whose each pixel is.

1. Segments of neighbouring windows are compared where the windows overlap, as DiffSeg compares proposals; the nearest are one.
2. Each window says how much of every pixel belongs to each of its segments. In overlaps these shares are mixed, a window counting
   less towards its border, and the segment with the highest has the pixel. So edges pass from window to window without a seam.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F

from ..attention.windows import Window
from .divergence import symmetric_kl
from .suppression import band_rows, taps

PRESENT = 0.01
"""Of the overlap: a segment that is the highest on less of it is not there, and is compared with nothing. What reaches into the
overlap is then only the faint rest of its attention, and the rests of all segments look alike once each is made to sum to 1."""

Links = Callable[[torch.Tensor, torch.Tensor], list[tuple[int, int]]]
"""From maps (P, M) and (Q, M) of two windows at the M points of their overlap to the pairs that are one segment, at most one each."""


def merge_proposals(
    windows: Sequence[Window], proposals: Sequence[torch.Tensor], shape: tuple[int, int], *, kl_threshold: float
) -> np.ndarray:
    """Label map (H, W) int32 of a photograph from soft proposals: ids 0 … n − 1, −1 where no window is.

    windows: in order, as `windows.windows` gives them: neighbours in the list are neighbours in the photograph. One is enough.
    proposals: of each window (P, h, w), a distribution over its positions each, as `methods.diffseg.diffseg` makes them.
    kl_threshold: τ. Two segments of neighbouring windows are one when, restricted to the overlap and renormalised, their symmetric
    KL divergence is below τ and each is the other's nearest.

    "Nearest" is needed beside τ: restricted to the overlap, segments of one window often come closer to each other than τ, and through
    the neighbour's everything would become one. So a segment never has two parts that one window tells apart.
    """

    def links(p: torch.Tensor, q: torch.Tensor) -> list[tuple[int, int]]:
        distances = symmetric_kl(p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True))
        absent = (_territory(p).mean(1) < PRESENT)[:, None] | (_territory(q).mean(1) < PRESENT)
        distances[absent] = float("inf")
        nearest, back = distances.argmin(1).tolist(), distances.argmin(0).tolist()
        return [(i, j) for i, j in enumerate(nearest) if back[j] == i and distances[i, j] < kl_threshold]

    return _merge(windows, [maps.float().cpu() for maps in proposals], shape, links)


def merge_labels(windows: Sequence[Window], labels: Sequence[torch.Tensor], shape: tuple[int, int]) -> np.ndarray:
    """`merge_proposals` for methods that give each window hard labels (h, w) of 0 … P − 1 (K-Means, DiffCut), at positions or finer.

    Two segments of neighbouring windows are one when they agree on more than half of what either has of the overlap (IoU > ½, which
    at most one can with each). A divergence says little about labels: one position outside the other's territory makes it as
    large as its floor for zeros allows.
    """

    def links(p: torch.Tensor, q: torch.Tensor) -> list[tuple[int, int]]:
        mine, theirs = _territory(p), _territory(q)
        both = mine @ theirs.T
        either = mine.sum(1)[:, None] + theirs.sum(1) - both
        return [(i, j) for i, j in (2 * both > either).nonzero().tolist()]

    return _merge(windows, [_one_hot(window_labels.cpu()) for window_labels in labels], shape, links)


def _merge(windows: Sequence[Window], maps: Sequence[torch.Tensor], shape: tuple[int, int], links: Links) -> np.ndarray:
    if not len(windows) == len(maps) > 0:
        raise ValueError(f"{len(windows)} windows and segments of {len(maps)}: one each is needed, and at least one")

    # 1. An id for every segment of every window, that of its counterpart in the window before where it has one.
    ids = [torch.arange(len(maps[0]))]
    count = len(maps[0])
    for number in range(1, len(windows)):
        ids.append(torch.arange(count, count + len(maps[number])))
        count += len(maps[number])
        overlap = _overlap(windows[number - 1], windows[number])
        if overlap is not None:
            p, q = (_restricted(maps[n], windows[n], overlap, maps[number]) for n in (number - 1, number))
            for i, j in links(p, q):
                ids[number][j] = ids[number - 1][i]

    # 2. Pixels, one region of the photograph that the same windows cover after the other, in bands of rows.
    labels = np.full(shape, -1, np.int32)
    used = np.zeros(count, bool)
    for region, over in _regions(windows):
        rows = band_rows(region.width, sum(len(maps[i]) * maps[i].shape[2] for i in over))
        for top in range(region.top, region.top + region.height, rows):
            band = Window(top, region.left, min(rows, region.top + region.height - top), region.width)
            winners = _winners(band, [(windows[i], maps[i], ids[i]) for i in over]).numpy()
            used[winners] = True
            labels[band.slices] = winners

    # 3. Ids without gaps, in the order of windows and their segments.
    consecutive = np.append(used.cumsum() - 1, -1).astype(np.int32)
    for row in labels:
        row[:] = consecutive[row]
    return labels


def _overlap(a: Window, b: Window) -> Window | None:
    """What both windows cover."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    height, width = min(a.top + a.height, b.top + b.height) - top, min(a.left + a.width, b.left + b.width) - left
    return Window(top, left, height, width) if height > 0 and width > 0 else None


def _restricted(maps: torch.Tensor, window: Window, overlap: Window, like: torch.Tensor) -> torch.Tensor:
    """A window's maps (P, h, w) at the points of an overlap, about as many as positions of `like` lie in it: (P, M) float64, bilinear."""
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
    """Where each of maps (P, M) is the highest, the first of equals: ones and zeros (P, M)."""
    return F.one_hot(maps.argmax(0), len(maps)).T.double()


def _one_hot(labels: torch.Tensor) -> torch.Tensor:
    """(h, w) labels as maps (P, h, w) of ones and zeros."""
    return (labels == torch.arange(int(labels.max()) + 1)[:, None, None]).float()


def _regions(windows: Sequence[Window]) -> list[tuple[Window, list[int]]]:
    """The rectangles that the windows' edges cut the photograph into, and the windows over each; those under none are left out."""
    ys = sorted({y for w in windows for y in (w.top, w.top + w.height)})
    xs = sorted({x for w in windows for x in (w.left, w.left + w.width)})
    regions = []
    for top, bottom in pairwise(ys):
        for left, right in pairwise(xs):
            region = Window(top, left, bottom - top, right - left)
            over = [i for i, window in enumerate(windows) if _overlap(window, region) == region]
            if over:
                regions.append((region, over))
    return regions


def _winners(band: Window, over: Sequence[tuple[Window, torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """The id with each pixel of a band (h, w), from the windows over it with their maps and ids; the first of equals."""
    # A band is kept as columns (w, h), so that bringing it to its width copies whole runs.
    here = torch.cat([ids for _, _, ids in over]).unique()
    if len(over) == 1:  # non-maximum suppression as without tiles
        window, maps, here = over[0]
        scores = _columns(maps, window, band)
    else:
        scores = torch.zeros(len(here), band.width, band.height)
        for window, maps, ids in over:
            total = next(_columns(maps.sum(0, keepdim=True), window, band))
            weight = _tent(window, band).T / total.clamp_min_(torch.finfo(torch.float32).tiny)
            for index, scores_of_map in zip(torch.searchsorted(here, ids).tolist(), _columns(maps, window, band), strict=True):
                scores[index].addcmul_(scores_of_map, weight)
    highest = torch.full((band.width, band.height), float("-inf"))
    winner = torch.zeros(band.width, band.height, dtype=torch.int64)
    for index, score in enumerate(scores):
        winner.masked_fill_(score > highest, index)
        torch.maximum(highest, score, out=highest)
    return here[winner.T]


def _columns(maps: torch.Tensor, window: Window, band: Window) -> Iterator[torch.Tensor]:
    """Each of a window's maps (P, h, w) at the pixels of a band within it, bilinear (align_corners=False), transposed: (w, h)."""
    above, below, down = taps(maps.shape[1], window.height, band.top - window.top, band.height)
    left, right, across = taps(maps.shape[2], window.width, band.left - window.left, band.width)
    rows = maps[:, above] * (1 - down[:, None]) + maps[:, below] * down[:, None]
    for row_map in rows.transpose(1, 2).contiguous():
        yield (row_map[left] * (1 - across[:, None])).add_(row_map[right].mul_(across[:, None]))


def _tent(window: Window, band: Window) -> torch.Tensor:
    """How much a window counts at each pixel of a band (h, w): in proportion to the distances from its borders."""
    y = torch.arange(band.height) + (band.top - window.top + 0.5)
    x = torch.arange(band.width) + (band.left - window.left + 0.5)
    return torch.minimum(y, window.height - y)[:, None] * torch.minimum(x, window.width - x)
