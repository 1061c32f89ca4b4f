"""Attention boundary divergence of TRACE (Jo, ICLR 2026, arXiv 2503.07982): where self-attention changes from one position to the next.

    ABDiv(i, j) = KL(S[i+1, j] ‖ S[i−1, j]) + KL(S[i, j+1] ‖ S[i, j−1])

S[i, j] is the row of position (i, j). Within an object, the neighbours on both sides attend alike; across an edge they do not. Written
from the equation; at the picture's border the position itself replaces the missing neighbour.

Shape letters: (h, w) of the map, N = h·w positions.
"""

from __future__ import annotations

import numpy as np

from ..attention.maps import AttentionMaps, Grid
from ..segments.divergence import FLOOR


def attention_rows(maps: AttentionMaps, level: int) -> np.ndarray:
    """(N, N) float64: self-attention at L / level, each row divided by its sum. Raises UserError if that level was not captured."""
    rows = maps.self_at(level).cpu().double().numpy()
    return rows / np.maximum(rows.sum(1, keepdims=True), FLOOR)


def boundary_divergence(rows: np.ndarray, grid: Grid) -> np.ndarray:
    """(h, w) float64 ABDiv of rows (N, N) float64 that sum to 1."""
    logs = np.log(np.maximum(rows, FLOOR))
    positions = np.arange(len(rows)).reshape(grid)
    total = np.zeros(grid)
    for axis in (0, 1):
        padded = np.pad(positions, 1, mode="edge")
        last, middle = slice(2, None), slice(1, -1)
        after, before = (padded[last, middle], padded[:-2, middle]) if axis == 0 else (padded[middle, last], padded[middle, :-2])
        for row in range(grid[0]):  # one row of positions at a time, to save memory
            p, q = after[row], before[row]
            total[row] += (rows[p] * (logs[p] - logs[q])).sum(1)
    return total


def edges(divergence: np.ndarray, inside: np.ndarray, strength: float) -> np.ndarray:
    """(h, w) bool: positions whose ABDiv is above μ + strength · σ of those inside (h, w) bool."""
    values = divergence[inside]
    return divergence > values.mean() + strength * values.std() if values.size else np.zeros(divergence.shape, bool)
