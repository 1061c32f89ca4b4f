"""The floor under every segmentation of photographs: K-Means on plain colour and position, no model at all.

A method that sees more than colours must score above it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ..dataset.native import encode_mask, write_atomic
from ..errors import UserError
from ..evaluate.label_maps import resize_nearest
from ..evaluate.labels import LabelSet
from ..evaluate.matching import count_segments
from ..photos import find_photos, read_photo

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


def run_floor(photos: Path, out: Path, k: int | Literal["truth"], *, labels: LabelSet | None = None, seed: int = 0) -> int:
    """Write `out/labels/<name>.png` for every photograph below a folder, or with `labels` for those that have one; how many there are.

    k: clusters of each photograph, at most 255; "truth": as many as its label shows segments, at least one (K-Means-S).
    """
    if k == "truth" and labels is None:
        raise UserError("-k truth: needs --labels, whose segments are counted")
    if k != "truth" and not 1 <= k <= 255:
        raise UserError(f"-k {k}: must be between 1 and 255, or truth")
    written = 0
    for photo in find_photos([photos], exclude=out).photos:
        label = labels.find(photo.name) if labels else None
        if labels is not None and label is None:
            continue
        count = max(1, count_segments(labels.read(label))) if k == "truth" and labels is not None and label else k
        path = out / "labels" / f"{photo.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, encode_mask(floor_segments(read_photo(photo.path), int(count), seed=seed).astype(np.uint8)))
        written += 1
    if not written:
        raise UserError(f"{photos}: none of its photographs has a label")
    return written
