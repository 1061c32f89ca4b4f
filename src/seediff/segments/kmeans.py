"""K-Means on attention rows, in PyTorch: DiffSeg's baselines K-Means-C and K-Means-S, and its optional refinement.

Lloyd's iterations with scikit-learn's rules for stopping and for empty clusters. Assignments equal those in float64, and sums are exact,
so the result depends on `seed` but not on threads.
"""

from __future__ import annotations

import math

import torch

from ..attention.maps import Grid
from ..config.constants import SegmentConfig
from ..errors import UserError
from .exact_sums import BAND, add_product, in_units, product_error, whole_unit
from .methods import Seen, SegmentMethod, aggregated

CHUNK = 2**18
"""Elements per operation (1 MiB), so that products stay in the cache."""


def kmeans_proposals(rows: torch.Tensor, k: int, size: Grid | None = None, *, seed: int = 0) -> torch.Tensor:
    """K-Means-C (k = 6) or K-Means-S (k = number of segments in the ground truth): each cluster's positions as zeros and ones, (k, h, w)
    float32.

    rows: aggregated attention (N, N). size: (h, w) of L, with N positions; None: a square. Raises UserError as `kmeans` does.
    """
    labels, _ = kmeans(rows, k, seed=seed)
    side = math.isqrt(len(labels))
    return (labels == torch.arange(k)[:, None]).unflatten(1, size or (side, side)).float()


def kmeans(
    rows: torch.Tensor,
    k: int,
    *,
    seed: int = 0,
    initial: torch.Tensor | None = None,
    max_iterations: int = 300,
    tolerance: float = 1e-4,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels (N,) int64 from 0 to k − 1, and centres (k, M) float64, the means of their rows. Everything is computed on the CPU.

    Args:
        rows: (N, M) float32, any finite values.
        k: number of clusters.
        seed: for k-means++ (greedy, as in scikit-learn); not used with `initial`.
        initial: the first centres (k, M) instead.
        max_iterations: maximum number of Lloyd iterations.
        tolerance: stop once the centres' squared movements sum to at most this share of the mean variance of a column, or when no label
            changes.

    An empty cluster gets the row that is farthest from its own centre. If all rows equal their centres, it stays empty and keeps its
    last centre. Raises UserError if k is below 1 or above N.
    """
    if not 1 <= k <= len(rows):
        raise UserError(f"k = {k} must be from 1 to {len(rows)}, the number of positions")
    if initial is not None and initial.shape != (k, rows.shape[1]):
        raise ValueError(f"initial must be ({k}, {rows.shape[1]}), not {tuple(initial.shape)}")
    rows = rows.cpu()  # on the CPU, because each iteration would otherwise wait for the GPU
    initial = None if initial is None else initial.cpu()
    squares = _squares(rows)
    unit = whole_unit(rows)
    centres = (rows[_plus_plus(rows, k, seed)] if initial is None else initial).double()

    # 1. Every row to its nearest centre; totals of all.
    labels, slack = _nearest(rows, squares, centres, torch.arange(len(rows)))
    labels, slack = _fill_empty(rows, centres, labels, slack)
    totals = torch.zeros_like(centres)
    for band, of in zip(rows.split(BAND), labels.split(BAND), strict=True):
        totals.index_add_(0, of, in_units(band, unit))
    mean = totals.sum(0) * (unit / len(rows))
    enough = tolerance * float(squares.mean() - mean.square().sum()) / rows.shape[1]

    # 2. Centres move to the means of their rows; totals are updated for rows that change sides.
    for _ in range(max_iterations):
        before, centres = centres, _means(totals, labels, unit, centres)
        movements = (centres - before).square().sum(1)
        # Another centre can be nearer now only where the centres moved by more than it was farther (Hamerly 2010).
        slack -= movements.sqrt()[labels] + movements.max().sqrt()
        unsure = (slack <= 0).nonzero().squeeze(1)
        nearest = labels.clone()
        nearest[unsure], slack[unsure] = _nearest(rows, squares, centres, unsure)
        nearest, slack = _fill_empty(rows, centres, nearest, slack)
        changed = (nearest != labels).nonzero().squeeze(1)
        for changed_rows in changed.split(BAND):
            values = in_units(rows[changed_rows], unit)
            totals.index_add_(0, labels[changed_rows], values, alpha=-1).index_add_(0, nearest[changed_rows], values)
        labels = nearest
        if not len(changed) or float(movements.sum()) <= enough:
            break
    return labels, _means(totals, labels, unit, centres)


def _means(totals: torch.Tensor, labels: torch.Tensor, unit: float, centres: torch.Tensor) -> torch.Tensor:
    """Means (k, M) of clusters from their totals in `unit`; an empty cluster keeps its centre."""
    counts = labels.bincount(minlength=len(totals))[:, None]
    return torch.where(counts > 0, totals * unit / counts.clamp_min(1), centres)


def _nearest(rows: torch.Tensor, squares: torch.Tensor, centres: torch.Tensor, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest centre (k, M) float64 for rows[which], (n,) int64, as float64 decides, the first if several are equal. Also the slack
    (n,) float64: every other centre is farther by at least this much.

    which: (n,), ascending. squares: |x|² of all rows.

    `½|c|² − x·c` orders centres as |x − c|² does. Its products have an error of at most γ |x||c|. If another centre is within twice this
    error of the best, the distances are computed term by term in float64.
    """
    rounded, halves = centres.to(rows.dtype), centres.square().sum(1) / 2
    longest = float(halves.max() * 2) ** 0.5
    relative = 1.01 * (product_error(rows.shape[1], rows.dtype) + 4 * torch.finfo(rows.dtype).eps)
    labels = torch.empty_like(which)
    slack = torch.empty(len(which), dtype=torch.float64)
    for start in range(0, len(which), BAND):
        here = slice(start, start + BAND)
        chosen = which[here]
        first_row, last_row = int(chosen[0]), int(chosen[-1])
        together = last_row - first_row == len(chosen) - 1  # avoids a copy
        band, lengths = rows[first_row : last_row + 1] if together else rows[chosen], squares[chosen]
        scores = halves - add_product(band.new_zeros(len(band), len(centres)), band, rounded).double()
        error = relative * longest * (lengths.sqrt() + longest)
        first, labels[here] = scores.min(1)
        close = scores <= (first + 2 * error)[:, None]
        doubtful = (close.sum(1) > 1).nonzero().squeeze(1)
        if len(doubtful):
            labels[start + doubtful] = _nearest_term_by_term(band[doubtful], centres, close[doubtful])
        second = scores.scatter(1, labels[here, None], float("inf")).amin(1)
        error += torch.finfo(rows.dtype).eps * lengths  # the error of |x|² itself
        squared = lengths + 2 * torch.stack([first + error, second - error])
        slack[here] = squared.clamp_min_(0).sqrt_().diff(dim=0)
    return labels, slack


def _nearest_term_by_term(rows: torch.Tensor, centres: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
    """The nearest centre for each row (n, M), among the centres that `among` (n, k) bool allows."""
    distances = torch.full(among.shape, float("inf"), dtype=torch.float64)
    for of_row, of_centre in (chunk.unbind(1) for chunk in among.nonzero().split(max(1, CHUNK // rows.shape[1]))):
        distances[of_row, of_centre] = (rows[of_row].double() - centres[of_centre]).square_().sum(1)
    return distances.argmin(1)


def _fill_empty(rows: torch.Tensor, centres: torch.Tensor, labels: torch.Tensor, slack: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels and slack after giving the rows farthest from their centres to empty clusters."""
    empty = (labels.bincount(minlength=len(centres)) == 0).nonzero().squeeze(1)
    if not len(empty):
        return labels, slack
    bands = zip(rows.split(BAND), labels.split(BAND), strict=True)
    distances = torch.cat([(band.double() - centres[of]).square_().sum(1) for band, of in bands])
    farthest = distances.argsort(descending=True, stable=True)[: len(empty)]
    away = distances[farthest] > 0
    return labels.index_copy(0, farthest[away], empty[away]), slack.index_fill(0, farthest[away], 0)


def _plus_plus(rows: torch.Tensor, k: int, seed: int) -> list[int]:
    """Indexes of k rows from k-means++ (Arthur and Vassilvitskii 2007): each is drawn with a probability proportional to the squared
    distance to earlier ones, the best of 2 + ln k draws."""
    generator = torch.Generator().manual_seed(seed)
    chosen = [int(torch.randint(len(rows), (1,), generator=generator))]
    distances = _squared_distances(rows, chosen)[0]
    while len(chosen) < k:
        reach = distances.cumsum(0)
        draws = torch.rand(2 + int(math.log(k)), generator=generator, dtype=torch.float64) * reach[-1]
        trials = torch.searchsorted(reach, draws).clamp_max(len(rows) - 1).tolist()
        reached = torch.minimum(distances, _squared_distances(rows, trials))
        best = int(reached.sum(1).argmin())
        chosen.append(trials[best])
        distances = reached[best]
    return chosen


def _squared_distances(rows: torch.Tensor, chosen: list[int]) -> torch.Tensor:
    """`|rows[c] − rows[i]|²`, (len(chosen), N) float64 on the CPU, summed in a fixed order."""
    bands = rows.split(max(1, CHUNK // rows.shape[1]))
    near = [torch.stack([(band - rows[c]).square_().sum(1) for c in chosen]) for band in bands]
    return torch.cat(near, 1).double().cpu()


def _squares(rows: torch.Tensor) -> torch.Tensor:
    """`|rows[i]|²`, (N,) float64, precise to one unit of the rows' precision."""
    return torch.cat([band.square().sum(1, dtype=torch.float64) for band in rows.split(max(1, CHUNK // rows.shape[1]))])


def _propose(seen: Seen, config: SegmentConfig, k: int | None, seed: int) -> torch.Tensor:
    assert k is not None
    rows, size = aggregated(seen, config)
    return kmeans_proposals(rows, k, size, seed=seed)


def _check_k(latent_size: Grid, config: SegmentConfig) -> None:
    if isinstance(config.k, int) and config.k > (positions := latent_size[0] * latent_size[1]):
        raise UserError(f"k = {config.k} must be from 1 to {positions}, the number of positions")


KMEANS = SegmentMethod(_propose, check=_check_k)
