"""K-Means on attention rows: DiffSeg's baselines K-Means-C and K-Means-S, and its optional refinement.

Lloyd's iterations in float64, with scikit-learn's k-means++ and its rules for stopping and for empty clusters.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ..errors import UserError

BAND = 64
"""Rows of which distances are computed at a time: the differences of all rows would leave the cache."""
MAX_ITERATIONS = 300
TOLERANCE = 1e-4
"""Iterations stop once the centres' squared movements sum to at most this share of the mean variance of a column."""


def kmeans(
    rows: torch.Tensor, k: int, *, seed: int = 0, initial: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels (N,) int64 from 0 to k − 1, and centres (k, M) float64, the means of their rows; on the CPU.

    rows: (N, M). seed: for k-means++; not used with `initial`, the first centres (k, M). An empty cluster gets the row
    that is farthest from its own centre. Raises UserError if k is below 1 or above N.
    """
    if not 1 <= k <= len(rows):
        raise UserError("k", f"{k} must be from 1 to {len(rows)}, the number of positions")
    rows = rows.cpu().double()
    centres = rows[_plus_plus(rows, k, seed)] if initial is None else initial.cpu().double()
    enough = TOLERANCE * float(rows.var(0, correction=0).mean())
    labels = _nearest(rows, centres)
    for _ in range(MAX_ITERATIONS):
        moved = _means(rows, labels, centres)
        movement, centres = float((moved - centres).square().sum()), moved
        before, labels = labels, _nearest(rows, centres)
        if movement <= enough or torch.equal(labels, before):
            break
    return labels, _means(rows, labels, centres)


def _means(rows: torch.Tensor, labels: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """The mean (k, M) of each cluster's rows; an empty cluster keeps its centre."""
    members = F.one_hot(labels, len(centres)).T.double()
    counts = members.sum(1, keepdim=True)
    return torch.where(counts > 0, members @ rows / counts.clamp_min(1), centres)


def _nearest(rows: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """The number of each row's nearest centre, the first of several; then one row for each centre without any."""
    labels = (centres.square().sum(1) - rows @ (2 * centres).T).argmin(1)
    empty = (labels.bincount(minlength=len(centres)) == 0).nonzero().squeeze(1)
    if len(empty):
        distances = (rows - centres[labels]).square().sum(1)
        farthest = distances.argsort(descending=True, stable=True)[: len(empty)]
        away = distances[farthest] > 0
        labels[farthest[away]] = empty[away]
    return labels


def _plus_plus(rows: torch.Tensor, k: int, seed: int) -> list[int]:
    """Indexes of k rows from k-means++ (Arthur and Vassilvitskii 2007): each is drawn with a probability proportional
    to the squared distance to earlier ones, the best of 2 + ln k draws."""
    generator = torch.Generator().manual_seed(seed)
    chosen = [int(torch.randint(len(rows), (1,), generator=generator))]
    distances = _squared_distances(rows, rows[chosen[0]])
    while len(chosen) < k:
        reach = distances.cumsum(0)
        draws = torch.rand(2 + int(math.log(k)), generator=generator, dtype=torch.float64) * reach[-1]
        trials = torch.searchsorted(reach, draws).clamp_max(len(rows) - 1).tolist()
        reached = torch.stack([torch.minimum(distances, _squared_distances(rows, rows[trial])) for trial in trials])
        best = int(reached.sum(1).argmin())
        chosen.append(trials[best])
        distances = reached[best]
    return chosen


def _squared_distances(rows: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """`|row − centre|²` of every row, (N,)."""
    return torch.cat([(band - centre).square_().sum(1) for band in rows.split(BAND)])
