"""K-Means for a GPU: the decisions of `kmeans.py`, taken where the rows are, with the host looking on now and then.

There every iteration asks which rows are in doubt, which changed and whether to stop, and a GPU is waited for at each. Here an iteration
has no answer that the host needs: it goes over all rows, whose sums are exact in any order; a fixed number of rows in doubt is decided
term by term; and once it should have stopped, nothing changes any more. The host looks after 4 iterations, after 8 more, 16 more and so
on. What cannot be done so (more rows in doubt, an empty cluster) stops it as well, and the host does that one iteration.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from .sums import LARGE_BAND, in_units, whole_unit

DOUBTFUL = 64
"""Rows of a band that are decided term by term: with products in float64, ties and next to nothing else."""

FIRST_LOOK = 4
"""Iterations after which the host looks for the first time; each time after twice as many."""

Careful = Callable[[torch.Tensor], torch.Tensor]
"""From centres (k, M) to the label of every row, clusters that would be empty filled; it may wait for the device."""


class State(NamedTuple):
    """Of Lloyd's iterations. totals: sums of the clusters' rows in units. done, stuck, count: of iterations, on the device."""

    centres: torch.Tensor
    labels: torch.Tensor
    totals: torch.Tensor
    done: torch.Tensor
    stuck: torch.Tensor
    count: torch.Tensor


def lloyd(
    rows: torch.Tensor, squares: torch.Tensor, centres: torch.Tensor, careful: Careful, *, max_iterations: int, tolerance: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels (N,) and centres (k, M) float64 as `kmeans` describes them, from the first centres.

    rows: (N, M) float32. squares: (N,) float64, |x|² of each.
    """
    unit = whole_unit(rows)
    labels, stuck, totals = _assign(rows, squares, centres, unit)
    state = State(centres, labels, totals, torch.zeros_like(stuck), stuck | (_counts(labels, len(centres)) == 0).any(), stuck.long() * 0)
    if bool(state.stuck):
        labels = careful(centres)
        state = state._replace(labels=labels, totals=_totals(rows, labels, len(centres), unit), stuck=torch.zeros_like(stuck))
    mean = state.totals.sum(0) * (unit / len(rows))
    enough = tolerance * (squares.mean() - mean.square().sum()) / rows.shape[1]
    look = FIRST_LOOK
    count = 0
    while count < max_iterations:
        for _ in range(min(look, max_iterations - count)):
            state = _iterate(rows, squares, state, unit, enough)
        done, stuck_now, count = torch.stack([state.done.long(), state.stuck.long(), state.count]).tolist()
        if done or count == max_iterations:
            break
        if stuck_now:
            state = _after(rows, state, careful(means(state.totals, state.labels, unit, state.centres)), unit, enough)
            count += 1
            if bool(state.done):
                break
        look *= 2
    return state.labels, means(state.totals, state.labels, unit, state.centres)


def _iterate(rows: torch.Tensor, squares: torch.Tensor, state: State, unit: float, enough: torch.Tensor) -> State:
    """The state after one iteration more, or the same one where it is done or stuck, or gets stuck."""
    centres = means(state.totals, state.labels, unit, state.centres)
    labels, doubts, totals = _assign(rows, squares, centres, unit)
    stuck = state.stuck | (~state.done & (doubts | (_counts(labels, len(centres)) == 0).any()))
    stays = state.done | stuck
    found = State(centres, labels, totals, _stops(state, centres, labels, enough), stuck, state.count + 1)
    kept = [torch.where(stays, old, new) for old, new in zip(state, found, strict=True)]
    return State(*kept)._replace(stuck=stuck)


def _after(rows: torch.Tensor, state: State, labels: torch.Tensor, unit: float, enough: torch.Tensor) -> State:
    """The state after an iteration that gave these labels."""
    centres = means(state.totals, state.labels, unit, state.centres)
    totals = _totals(rows, labels, len(centres), unit)
    return State(centres, labels, totals, _stops(state, centres, labels, enough), torch.zeros_like(state.stuck), state.count + 1)


def _stops(state: State, centres: torch.Tensor, labels: torch.Tensor, enough: torch.Tensor) -> torch.Tensor:
    movements = (centres - state.centres).square().sum(1)
    return (labels == state.labels).all() | (movements.sum() <= enough)


def _assign(
    rows: torch.Tensor, squares: torch.Tensor, centres: torch.Tensor, unit: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Every row's nearest centre, the first of equals, as float64 decides term by term; whether too many rows are in doubt; totals.

    Products in float64 err, in whatever order they are added, by at most γ |x||c| with γ = M units and some.
    """
    halves = centres.square().sum(1) / 2
    longest = (halves.max() * 2).sqrt()
    relative = 1.01 * (rows.shape[1] + 8) * torch.finfo(torch.float64).eps
    labels = []
    many = torch.zeros((), dtype=torch.bool, device=rows.device)
    totals = torch.zeros_like(centres)
    for band, lengths in zip(rows.split(LARGE_BAND), squares.split(LARGE_BAND), strict=True):
        exact = band.double()
        scores = halves - exact @ centres.T
        first, nearest = scores.min(1)
        close = scores <= (first + 2 * relative * longest * (lengths.sqrt() + longest))[:, None]
        doubtful = close.sum(1) > 1
        which = doubtful.float().topk(min(DOUBTFUL, len(band))).indices  # all that are, where they are no more
        some = exact[which]
        distances = torch.stack([(some - centre).square_().sum(1) for centre in centres], 1)
        chosen = distances.masked_fill(~close[which], float("inf")).argmin(1)
        nearest = nearest.scatter(0, which, torch.where(doubtful[which], chosen, nearest[which]))
        many = many | (doubtful.sum() > len(which))
        totals.addmm_(_members(nearest, len(centres)), in_units(band, unit))
        labels.append(nearest)
    return torch.cat(labels), many, totals


def _totals(rows: torch.Tensor, labels: torch.Tensor, k: int, unit: float) -> torch.Tensor:
    totals = torch.zeros(k, rows.shape[1], dtype=torch.float64, device=rows.device)
    for band, of in zip(rows.split(LARGE_BAND), labels.split(LARGE_BAND), strict=True):
        totals.addmm_(_members(of, k), in_units(band, unit))
    return totals


def _members(labels: torch.Tensor, k: int) -> torch.Tensor:
    """(k, n) float64, 1 where a row is of a cluster."""
    return (labels == torch.arange(k, device=labels.device)[:, None]).double()


def _counts(labels: torch.Tensor, k: int) -> torch.Tensor:
    return _members(labels, k).sum(1)


def means(totals: torch.Tensor, labels: torch.Tensor, unit: float, centres: torch.Tensor) -> torch.Tensor:
    """Means (k, M) of clusters from their totals; an empty cluster keeps its centre."""
    counts = _counts(labels, len(totals))[:, None]
    return torch.where(counts > 0, totals * unit / counts.clamp_min(1), centres)


def plus_plus(rows: torch.Tensor, k: int, seed: int) -> torch.Tensor:
    """Indexes (k,) of rows on their device, as `kmeans` chooses its first centres: the same random numbers, all drawn beforehand.

    Distances are added up as whole numbers, 2^-40 of the largest: sums of a GPU's scan of fractions are different every time.
    """
    generator = torch.Generator().manual_seed(seed)
    tries = 2 + int(math.log(k))
    first = torch.randint(len(rows), (1,), generator=generator)
    shares = [torch.rand(tries, generator=generator, dtype=torch.float64) for _ in range(k - 1)]
    drawn = torch.cat([first.double(), *shares]).to(rows.device)
    chosen = [drawn[:1].long()]
    distances = _squared_distances(rows, chosen[0])[0]
    for share in drawn[1:].split(tries) if k > 1 else ():
        whole = (distances * (2.0**40 / distances.max().clamp_min(torch.finfo(torch.float64).tiny))).round_().long()
        reach = whole.cumsum(0)
        trials = torch.searchsorted(reach.double(), share * reach[-1]).clamp_max(len(rows) - 1)
        reached = torch.minimum(distances, _squared_distances(rows, trials))
        best = reached.sum(1).argmin(0, keepdim=True)
        chosen.append(trials.gather(0, best))
        distances = reached.index_select(0, best)[0]
    return torch.cat(chosen)


def _squared_distances(rows: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """`|rows[c] − rows[i]|²`, (len(chosen), N) float64."""
    return torch.stack([(rows - centre).square_().sum(1) for centre in rows.index_select(0, chosen)]).double()
