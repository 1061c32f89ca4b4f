"""Graphs of a picture's positions, and segments from dividing them. Each solver has its own file: diffcut.py, falcon.py, autosc.py.

`SegmentConfig.graph` names the weights between positions:

features: cosine of the encoder's features, min-max, to the power `cut_power` (DiffCut).
self: self-attention A of all levels (DiffSeg's aggregate), `(A + Aᵀ) / 2`.
walk: `(A^k + (A^k)ᵀ) / 2`, where A^k says where walks of k = `walk_steps` steps along self-attention end. Ivanova et al., "Unsupervised
    Segmentation by Diffusing, Walking and Cutting" (WACV 2026).
rows: cosine of A's rows, min-max and to a power as in `features`.

Everything is float64. A solver returns the part (N,) of each position of a graph, numbered from 0. Then each part has the mean direction
of its positions' features, or rows of A or A^k, and pixels take the part with the most similar direction, as in DiffCut.

Shape letters: C channels (N for rows), N = h·w positions, K segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import torch

from ..attention.maps import Grid, grid_text
from ..config.constants import SegmentConfig
from ..errors import UserError
from ..masks.arithmetic import ROUNDING
from .methods import Seen, SegmentMethod, aggregated, imported

LARGEST_SIDE = 64
"""Maximum side of a square graph, or the same number of positions otherwise. N × N weights of 64² positions take 128 MiB, and several are
held at once."""
TIE = 1e-9
"""Values this close count as equal: far above float64 rounding, far below float32 precision."""
MOST = 32
"""Maximum number of segments when eigenvalues decide it."""
DENSE = 128
"""Up to this number of positions, all eigenvectors are computed: as fast as Lanczos, which fails on the smallest graphs."""
FLOOR = 1e-12
"""The lowest weight of attention: positions without any link would have no degree to divide by."""


@dataclass(frozen=True)
class Graph:
    """weights: (N, N), symmetric, at least 0. directions: (C, N), a unit vector per position. size: (h, w) of the N positions."""

    weights: np.ndarray
    directions: np.ndarray
    size: Grid

    @cached_property
    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """The MOST + 1 largest eigenvalues and their eigenvectors, from `spectrum`."""
        return spectrum(self.weights, MOST + 1)


def build_graph(seen: Seen, config: SegmentConfig) -> Graph:
    """The graph `config.divided` of one picture. Raises UserError for too many positions, and for features that are not finite."""
    if isinstance(seen, torch.Tensor):
        directions = _unit_columns(_columns(seen))
        return Graph(affinity(directions, config.cut_power), directions, (seen.shape[1], seen.shape[2]))
    attention, size = aggregated(seen, config)
    rows = np.linalg.matrix_power(attention.cpu().double().numpy(), config.walk_steps if config.divided == "walk" else 1)
    directions = _unit_columns(rows.T)
    weights = affinity(directions, config.cut_power) if config.divided == "rows" else np.maximum((rows + rows.T) / 2, FLOOR)
    return Graph(weights, directions, size)


def affinity(directions: np.ndarray, alpha: float) -> np.ndarray:
    """(N, N): cosine of unit columns (C, N), min-max over all pairs, to the power alpha. All ones if all cosines are equal."""
    cosine = directions.T @ directions
    low, high = cosine.min(), cosine.max()
    if high - low <= ROUNDING:
        return np.ones_like(cosine)
    scaled = (cosine - low) / (high - low)
    scaled[scaled < TIE] = 0  # exact zeros, which `recursive_cut` treats differently
    np.fill_diagonal(scaled, 1)  # already 1 except for rounding and for features of length 0
    return scaled**alpha


def divide_graph(graph: Graph, config: SegmentConfig) -> torch.Tensor:
    """Proposals (K, h, w) float64 of the method's solver."""
    return scores(graph, by_appearance(imported(config.facts.solver)(graph, config)))


def scores(graph: Graph, parts: np.ndarray) -> torch.Tensor:
    """How much each position resembles each part, (K, h, w) float64: cosines times the length of the part's mean direction (DiffCut's
    "masked spatial marginal mean"). parts: (N,) from 0 to K − 1."""
    members = np.equal.outer(np.arange(parts.max() + 1), parts).astype(np.float64)  # (K, N)
    concepts = members @ graph.directions.T / members.sum(1, keepdims=True)  # (K, C)
    return torch.from_numpy(concepts @ graph.directions).unflatten(1, graph.size)


def spectrum(weights: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues (n,) of `D^-½ W D^-½`, descending from 1, and their eigenvectors (N, n): count of them, or N if that is
    less. D holds the degrees, the sums of W's rows. K parts without links between them have K eigenvalues of 1.

    Lanczos gets the matrix plus 1: its tolerance is relative to each eigenvalue, and those near 0, of which walks have many, would
    never be exact enough.
    """
    roots = np.sqrt(weights.sum(1))
    normalized = weights / roots[:, None] / roots
    if len(weights) > max(DENSE, 2 * count):
        start = np.random.default_rng(0).standard_normal(len(weights))
        try:
            values, vectors = scipy.sparse.linalg.eigsh(normalized + np.eye(len(weights)), k=count, which="LA", v0=start, tol=TIE)  # pyright: ignore[reportArgumentType]
            order = np.argsort(-values)
            return values[order] - 1, vectors[:, order]
        except scipy.sparse.linalg.ArpackError:
            pass
    values, vectors = scipy.linalg.eigh(normalized)
    return values[::-1][:count], vectors[:, ::-1][:, :count]


def cluster_qr(vectors: np.ndarray) -> np.ndarray:
    """The part (N,) of each position from the eigenvectors (N, K) of the K largest eigenvalues, in any basis of their space.

    Pivoted QR picks K positions that differ most; the rotation nearest to their rows turns the eigenvectors into indicators of parts, and
    each position takes its largest (Damle, Minden and Ying, "Simple, direct and efficient multi-way spectral clustering", 2019).
    """
    count = vectors.shape[1]
    pivots = scipy.linalg.qr(vectors.T, mode="r", pivoting=True)[-1][:count]
    rotation = scipy.linalg.polar(vectors[pivots].T)[0]
    return np.abs(vectors @ rotation).argmax(1)


def by_appearance(labels: np.ndarray) -> np.ndarray:
    """Labels of any shape as int32, 0..n-1 in the order in which they first appear."""
    _, first, number = np.unique(labels.ravel(), return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[number].astype(np.int32).reshape(labels.shape)


def _unit_columns(values: np.ndarray) -> np.ndarray:
    return values / np.maximum(np.linalg.norm(values, axis=0), np.finfo(np.float32).tiny)


def _columns(features: torch.Tensor) -> np.ndarray:
    """Features (C, h, w) as (C, N) float64."""
    if features.ndim != 3 or not features.numel():
        raise ValueError(f"features must be (C, h, w), not {tuple(features.shape)}")
    if features.shape[1] * features.shape[2] > LARGEST_SIDE**2:
        raise UserError(
            f"features of {features.shape[1]} × {features.shape[2]} positions are too many for a normalised cut, "
            f"{LARGEST_SIDE} × {LARGEST_SIDE} at most: take a coarser level of the encoder, or a smaller image"
        )
    if not features.isfinite().all():
        raise UserError("features are not numbers: half precision overflowed; use --dtype float32 or bfloat16")
    return features.detach().cpu().double().flatten(1).numpy()


def _check(latent_size: Grid, config: SegmentConfig) -> None:
    if not config.divides_features and latent_size[0] * latent_size[1] > LARGEST_SIDE**2:
        raise UserError(
            f"size: latents of {grid_text(latent_size)} have too many positions for graph {config.divided}, {LARGEST_SIDE}×{LARGEST_SIDE} "
            "at most; use a smaller --size, or --graph features"
        )


def _propose(seen: Seen, config: SegmentConfig, k: int | None, seed: int) -> torch.Tensor:
    return divide_graph(build_graph(seen, config), config)


GRAPH = SegmentMethod(_propose, clarity=lambda cosines: cosines.amax(0).clamp(0, 1), check=_check)
