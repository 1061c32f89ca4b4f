"""Scores for masks, attention maps and images: pure functions on arrays."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.stats import rankdata

BOUNDARY_TOLERANCE = 0.0075  # of the image's diagonal: 0.75 %, as in DAVIS and VOC boundary measures


def boundary_tolerance(height: int, width: int) -> int:
    """Maximum distance in pixels at which two boundaries still agree: 0.75 % of the diagonal, rounded up, at least 1."""
    return max(1, math.ceil(BOUNDARY_TOLERANCE * math.hypot(height, width)))


def boundary(mask: np.ndarray) -> np.ndarray:
    """Boundary pixels of a mask (H, W) bool: mask pixels with a 4-neighbour outside. The image's edge is not a boundary."""
    return mask & ~np.asarray(binary_erosion(mask, border_value=1))


def boundary_f(predicted: np.ndarray, exact: np.ndarray) -> float:
    """Boundary F-score of two masks (H, W) bool: harmonic mean of the share of predicted boundary pixels that lie within
    `boundary_tolerance` of the exact boundary (precision) and the reverse (recall). 1 if neither has a boundary."""
    tolerance = boundary_tolerance(*exact.shape)
    predicted_edge, exact_edge = boundary(predicted), boundary(exact)
    if not predicted_edge.any() or not exact_edge.any():
        return float(predicted_edge.any() == exact_edge.any())
    to_theirs, to_ours = np.asarray(distance_transform_edt(~exact_edge)), np.asarray(distance_transform_edt(~predicted_edge))
    precision = float((to_theirs[predicted_edge] <= tolerance).mean())
    recall = float((to_ours[exact_edge] <= tolerance).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def auc(scores: np.ndarray, mask: np.ndarray) -> float:
    """Area under the ROC curve of scores against a mask (same shape, bool), by ranks, ties averaged; NaN if one side is empty."""
    return float(auc_rows(np.asarray(scores).reshape(1, -1), np.asarray(mask).ravel())[0])


def auc_rows(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(n,) areas under the ROC curve: each row of `scores` (n, N) against one mask (N,) bool."""
    mask = np.asarray(mask, bool)
    inside = int(mask.sum())
    outside = mask.size - inside
    if not inside or not outside:
        return np.full(len(scores), math.nan)
    ranks = rankdata(scores, axis=1)
    return (ranks[:, mask].sum(1) - inside * (inside + 1) / 2) / (inside * outside)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images of one shape; infinite when equal."""
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return math.inf if error == 0 else float(10 * math.log10(255**2 / error))
