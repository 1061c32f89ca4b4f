"""K-Means on attention rows: DiffSeg's baselines K-Means-C and K-Means-S, and its optional refinement.

Lloyd's iterations are scipy's, in float64. The first centres (k-means++) and the rules for stopping and for empty
clusters are scikit-learn's.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from scipy.cluster import vq
from scipy.spatial import distance

from ..errors import UserError

MAX_ITERATIONS = 300
TOLERANCE = 1e-4
"""Iterations stop once the centres' squared movements sum to at most this share of the mean variance of a column."""


def kmeans(
    rows: torch.Tensor, k: int, *, seed: int = 0, initial: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(labels, centres) on the CPU. labels: (N,) int64, the cluster of each row, from 0 to k − 1. centres: (k, M)
    float64, the mean of the rows in each cluster. An empty cluster gets the row that is farthest from its own centre.

    rows: (N, M). k: the number of clusters. seed: for k-means++, which draws the first centres. initial: (k, M), the
    first centres; None: k-means++ draws them. Raises UserError if k is below 1 or above N.
    """
    check_k(k, len(rows))
    rows = rows.cpu().double()
    if initial is None:
        initial = rows[_plus_plus(rows, k, seed)]
    points = rows.numpy()
    centres = initial.cpu().double().numpy()
    enough = TOLERANCE * float(points.var(0).mean())
    labels = np.zeros(len(points), np.int32)
    for _ in range(MAX_ITERATIONS):
        before = centres
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of an empty cluster
            centres, labels = vq.kmeans2(points, before, 1, minit="matrix", check_finite=False)
        empty = np.flatnonzero(np.bincount(labels, minlength=k) == 0)
        if len(empty):
            distances = np.square(points - centres[labels]).sum(1)
            centres[empty] = points[distances.argsort(kind="stable")[::-1][: len(empty)]]
        if np.square(centres - before).sum() <= enough:
            break
    return torch.from_numpy(labels).long(), torch.from_numpy(centres)


def check_k(k: int, positions: int) -> None:
    """Raise UserError unless the number of segments is from 1 to the number of positions."""
    if not 1 <= k <= positions:
        raise UserError("segment.k", f"{k} must be from 1 to {positions}, the number of positions")


def _plus_plus(rows: torch.Tensor, k: int, seed: int) -> list[int]:
    """Indexes of k rows as first centres, from k-means++ (Arthur and Vassilvitskii 2007). Each centre is the best of
    2 + ln k random rows. A row's probability is proportional to its squared distance to the nearest earlier centre."""
    generator = torch.Generator().manual_seed(seed)
    chosen = [int(torch.randint(len(rows), (1,), generator=generator, device=rows.device))]
    (distances,) = _squared_distances(rows, chosen)
    while len(chosen) < k:
        cumulative = distances.cumsum(0)
        draws = cumulative.new_empty(2 + int(math.log(k))).uniform_(generator=generator) * cumulative[-1]
        trials = torch.searchsorted(cumulative, draws).clamp_max(len(rows) - 1).tolist()
        after_trial = torch.minimum(distances, _squared_distances(rows, trials))  # (trials, N)
        best = int(after_trial.sum(1).argmin())
        chosen.append(trials[best])
        distances = after_trial[best]
    return chosen


def _squared_distances(rows: torch.Tensor, chosen: list[int]) -> torch.Tensor:
    """The squared distances of the chosen rows to all rows, (len(chosen), N)."""
    return torch.from_numpy(distance.cdist(rows[chosen].numpy(), rows.numpy(), "sqeuclidean"))
