"""Baselines that divide a class's mask into objects by self-attention. Like connected pieces, they are what `peaks.py` has to beat.

Shape letters: (h, w) of the map, N = h·w positions, K positions inside the mask.
"""

from __future__ import annotations

import numpy as np
import torch

from ..segments.diffcut import recursive_cut, second_eigenvector
from ..segments.diffseg import diffseg
from ..segments.graph import affinity
from .cells import absorb, connected

MOST = 3
"""Maximum number of objects that `maskcut_parts` cuts out, as in MaskCut."""
UNLIKE = 1e-5
"""Weight between two dissimilar positions, as in MaskCut."""


def diffseg_parts(inside: np.ndarray, rows: np.ndarray, *, threshold: float, least: int) -> np.ndarray:
    """(h, w) parts: connected pieces of DiffSeg's segments within the mask (h, w) bool. rows: (N, N) float64 that sum to 1. threshold: τ
    of DiffSeg. least: minimum number of positions of a part."""
    proposals = diffseg(torch.from_numpy(rows).float(), inside.shape, num_points=min(16, max(inside.shape)), kl_thresholds=(threshold,) * 3)
    return _within(proposals.argmax(0).cpu().numpy(), inside, rows, least)


def diffcut_parts(inside: np.ndarray, rows: np.ndarray, *, power: float, cost: float, least: int) -> np.ndarray:
    """`diffseg_parts` with DiffCut's recursive cut. The graph's weights are the cosines of attention rows, not of features, to `power`."""
    return _within(recursive_cut(affinity(_units(rows).T, power), cost).reshape(inside.shape), inside, rows, least)


def maskcut_parts(inside: np.ndarray, rows: np.ndarray, *, similarity: float, cost: float, least: int) -> np.ndarray:
    """The idea of MaskCut (Wang, Girdhar, Yu, Misra: "Cut and Learn for Unsupervised Object Detection and Instance Segmentation", CVPR
    2023) within a mask: cut out one object, then another from the rest. Written from the paper's description.

    The graph joins positions whose rows have a cosine above `similarity`. Its second generalised eigenvector is cut at its mean. The side
    with the largest absolute value is the object, of which the connected piece with that position is taken. New here: an object is cut
    out only if the normalised cut costs less than `cost` (0 to 2), since a mask may be a single object.
    """
    where = np.flatnonzero(inside)
    units = _units(rows[where])
    weights = np.where(units @ units.T > similarity, 1.0, UNLIKE)
    parts = np.where(inside, 0, -1)
    for number in range(1, MOST + 1):
        left = np.flatnonzero(parts.ravel()[where] == 0)
        if len(left) < 2 * least:
            break
        side, seed = _foreground(weights[np.ix_(left, left)], cost)
        if not side.any():
            break
        flat = np.full(inside.size, -1)
        flat[where[left[side]]] = 0
        pieces = connected(flat.reshape(inside.shape)).ravel()
        parts.ravel()[pieces == pieces[where[left[seed]]]] = number
    return _within(parts, inside, rows, least)


def _foreground(weights: np.ndarray, cost: float) -> tuple[np.ndarray, int]:
    """(K,) bool: the object's side of a graph (K, K), none if the cut costs too much; and the position of the largest absolute value."""
    degrees = weights.sum(1)
    vector = second_eigenvector(weights, degrees)
    seed = int(np.abs(vector).argmax())
    side = vector > vector.mean()
    side = side if side[seed] else ~side
    cut, volume = weights[np.ix_(side, ~side)].sum(), degrees[side].sum()
    other = degrees.sum() - volume
    return (side, seed) if other > 0 and cut / volume + cut / other < cost else (np.zeros_like(side), seed)


def _within(segments: np.ndarray, inside: np.ndarray, rows: np.ndarray, least: int) -> np.ndarray:
    return absorb(connected(np.where(inside, segments, -1)), rows, least)


def _units(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
