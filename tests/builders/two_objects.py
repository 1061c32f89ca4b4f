"""Self-attention of a picture of two objects, its left and right halves, which touch along the middle."""

from __future__ import annotations

import numpy as np

GRID = (8, 12)


def two_objects(noise: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Rows (N, N), in which each half attends only to itself except for noise, and (h, w) bool: True in the right half."""
    half = np.tile(np.arange(GRID[1]) >= GRID[1] // 2, (GRID[0], 1))
    flat = half.ravel()
    rows = (flat[:, None] == flat) + noise * np.random.default_rng(0).random((flat.size, flat.size))
    return rows / rows.sum(1, keepdims=True), half
