"""The floor under every segmentation of photographs: K-Means on plain colour and position, no model at all.

A method that sees more than colours must score above it.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from ...errors import UserError
from ...files.label_maps import resize_nearest

GRID = 64  # positions along a side, as many as attention has in Stable Diffusion at 512²
POSITION_WEIGHT = 0.5  # of x and y in [0, 1] beside red, green and blue in [0, 1]: chosen once, not tuned
ITERATIONS = 100


def kmeans(points: np.ndarray, k: int, *, seed: int = 0) -> np.ndarray:
    """(n,) int: which of at most k clusters each of the points (n, d) belongs to. Lloyd's iterations from k-means++ centres."""
    rng = np.random.default_rng(seed)
    centres = points[rng.integers(len(points))][None]
    distance = ((points - centres[0]) ** 2).sum(1)
    while len(centres) < k and distance.any():  # with fewer distinct points than clusters there is nothing left to draw
        chosen = points[rng.choice(len(points), p=distance / distance.sum())]
        centres = np.concatenate([centres, chosen[None]])
        distance = np.minimum(distance, ((points - chosen) ** 2).sum(1))
    labels = np.full(len(points), -1)
    for _ in range(ITERATIONS):
        nearest = ((centres**2).sum(1) - 2 * points @ centres.T).argmin(1)
        if (nearest == labels).all():
            break
        labels = nearest
        for cluster in np.unique(labels):  # one that has lost all its points keeps its centre
            centres[cluster] = points[labels == cluster].mean(0)
    return labels


def floor_segments(image: np.ndarray, k: int, *, seed: int = 0) -> np.ndarray:
    """(H, W) int32: at most k segments of a photograph (H, W, 3) uint8, found on a grid of 64 × 64 and enlarged (nearest).

    Raises UserError unless 1 ≤ k ≤ 64².
    """
    if not 1 <= k <= GRID * GRID:
        raise UserError(f"k = {k}: must be between 1 and {GRID * GRID}, the positions of the grid")
    colours = np.asarray(Image.fromarray(image).resize((GRID, GRID), Image.Resampling.BOX), np.float64) / 255  # (64, 64, 3)
    along = (np.arange(GRID) + 0.5) / GRID
    position = np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1)
    points = np.concatenate([colours, POSITION_WEIGHT * position], axis=-1).reshape(GRID * GRID, 5)
    labels = kmeans(points, k, seed=seed).reshape(GRID, GRID).astype(np.int32)
    return resize_nearest(labels, *image.shape[:2])
