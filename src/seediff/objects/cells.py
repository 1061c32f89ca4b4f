"""Parts of a mask at attention's positions, and at pixels. A part map holds the number of each position's part, −1 outside the mask."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import binary_dilation, distance_transform_edt
from scipy.ndimage import label as pieces_of

from ..attention.maps import Grid
from ..masks.arithmetic import resize

NEIGHBOURS = np.ones((3, 3), bool)


def at_grid(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Values (H, W) averaged at the positions of `grid`: (h, w) float64."""
    return resize(torch.from_numpy(values.astype(np.float32))[None], grid)[0].double().numpy()


def connected(parts: np.ndarray) -> np.ndarray:
    """The connected pieces of each part, numbered from 0; positions that meet at a corner are connected."""
    pieces = np.full(parts.shape, -1)
    for part in range(parts.max(initial=-1) + 1):
        labels, _ = pieces_of(parts == part, NEIGHBOURS)  # type: ignore[misc]
        pieces[labels > 0] = labels[labels > 0] + pieces.max(initial=-1)
    return pieces


def absorb(parts: np.ndarray, rows: np.ndarray, least: int, loose: np.ndarray | None = None) -> np.ndarray:
    """Parts (h, w) in which positions of parts with fewer than `least` positions, and `loose` positions (h, w) bool, have joined others.

    In waves, each of these positions that touches parts joins the part among them that attends to it most. Positions from which no part
    can be reached join the part of all that attends to them most. The largest part stays, however small.

    rows: (N, N), self-attention.
    """
    inside = parts >= 0
    kept = parts if loose is None else np.where(loose, -1, parts)
    if not (kept >= 0).any():
        return np.where(inside, 0, -1)
    sizes = np.bincount(kept[kept >= 0])
    large = np.flatnonzero(sizes >= least) if (sizes >= least).any() else np.array([sizes.argmax()])
    kept = np.where(np.isin(kept, large), np.searchsorted(large, kept), -1)
    attended = np.stack([rows[(kept == part).ravel()].mean(0).reshape(parts.shape) for part in range(len(large))])  # (K, h, w)
    while (waiting := inside & (kept < 0)).any():
        grown = np.stack([binary_dilation(kept == part, NEIGHBOURS) for part in range(len(large))])
        touched = np.logical_and(grown, waiting)
        touched = touched if touched.any() else waiting[None].repeat(len(large), 0)
        kept = np.where(touched.any(0), np.where(touched, attended, -1).argmax(0), kept)
    return kept


def at_pixels(parts: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W): the part of each pixel in a mask (H, W) bool, −1 outside. Positions outside all parts (h, w) first take the nearest part;
    then parts are enlarged bilinearly, and the highest wins."""
    if not (parts >= 0).any():
        return np.where(mask, 0, -1)
    nearest = np.asarray(distance_transform_edt(parts < 0, return_distances=False, return_indices=True))
    filled = torch.from_numpy(parts[tuple(nearest)])
    shares = torch.stack([(filled == part).float() for part in range(int(parts.max()) + 1)])
    return np.where(mask, resize(shares, mask.shape).argmax(0).numpy(), -1)
