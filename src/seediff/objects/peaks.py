"""Objects by peaks of the soft mask: this project's recipe, from TRACE's edges (`edges.py`) and NERVE's walk with restart (`masks.nerve`).

1. Peaks: the highest position of the mask that is on no edge, then the highest that is more than 2 rows or columns from all before, etc.
2. Two peaks are one object if no edge lies between them and the symmetric KL divergence of their rows of self-attention is below a limit.
   The limit is a constant: a limit relative to a mask's pairs, such as their median, would divide every mask, even that of a single object.
3. Each position goes to the object that it reaches most in a walk with restart inside the mask. The walk starts from each object's share of
   the peaks' attention to the position.
4. Edges cut the objects apart. Fragments join the neighbouring part that attends to them most.
"""

from __future__ import annotations

import numpy as np
import torch

from ..masks.nerve import ALPHA
from ..segments.divergence import FLOOR, symmetric_kl
from .cells import absorb, connected
from .edges import boundary_divergence, edges

RADIUS = 2
ROUNDS = 5


def peak_parts(inside: np.ndarray, soft: np.ndarray, rows: np.ndarray, *, limit: float, strength: float, least: int) -> np.ndarray:
    """(h, w) parts. inside: (h, w) bool, the mask. soft: (h, w). rows: (N, N) float64 that sum to 1. limit: in nats. strength: of `edges`.
    least: minimum number of positions of a part."""
    edge = edges(boundary_divergence(rows, inside.shape), inside, strength)
    tops = peaks(inside & ~edge, soft)
    groups = merged(tops, rows, edge, limit)
    parts = walked(inside, tops, groups, rows)
    loose = edge & inside
    return absorb(np.where(loose, 0, connected(np.where(edge, -1, parts))), rows, least, loose)


def peaks(inside: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """(K,) positions in descending order of soft value (the first if equal), each more than RADIUS rows or columns from the others."""
    order = np.argsort(-np.where(inside, soft, -np.inf).ravel(), kind="stable")[: int(inside.sum())]
    free, kept = inside.copy(), []
    for position in order.tolist():
        i, j = divmod(position, inside.shape[1])
        if free[i, j]:
            kept.append(position)
            free[max(0, i - RADIUS) : i + RADIUS + 1, max(0, j - RADIUS) : j + RADIUS + 1] = False
    return np.array(kept, np.int64)


def merged(tops: np.ndarray, rows: np.ndarray, edge: np.ndarray, limit: float) -> np.ndarray:
    """(K,) the object of each peak, from 0."""
    of_tops = torch.from_numpy(rows[tops])
    distance = symmetric_kl(of_tops, of_tops).numpy()
    groups = np.arange(len(tops))
    for a, b in zip(*np.triu_indices(len(tops), 1), strict=True):
        if distance[a, b] < limit and not between(edge, tops[a], tops[b]):
            groups[groups == groups[b]] = groups[a]
    return np.unique(groups, return_inverse=True)[1]


def between(edge: np.ndarray, first: int, second: int) -> bool:
    """Whether the straight line between two positions crosses an edge."""
    ends = np.array([divmod(int(first), edge.shape[1]), divmod(int(second), edge.shape[1])])
    steps = int(np.abs(ends[1] - ends[0]).max())
    line = np.rint(np.linspace(ends[0], ends[1], steps + 1)).astype(np.int64)
    return bool(edge[line[:, 0], line[:, 1]].any())


def walked(inside: np.ndarray, tops: np.ndarray, groups: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(h, w) the object of each position inside, −1 outside."""
    where = np.flatnonzero(inside)
    count = int(groups.max(initial=0)) + 1
    start = np.stack([rows[tops[groups == group]][:, where].mean(0) for group in range(count)])
    start /= np.maximum(start.sum(0), FLOOR)
    steps = rows[np.ix_(where, where)]
    steps = steps / np.maximum(steps.sum(1, keepdims=True), FLOOR)
    reached = start
    for _ in range(ROUNDS):
        reached = (1 - ALPHA) * start + ALPHA * reached @ steps.T
    parts = np.full(inside.shape, -1)
    parts.ravel()[where] = np.unique(reached.argmax(0), return_inverse=True)[1]
    return parts
