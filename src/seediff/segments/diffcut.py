"""DiffCut: divides an image by a recursive normalised cut of the encoder's features. Uses no attention maps and no
classes.

The method is Couairon, Shukor, Haugeard, Cord and Thome's ("DiffCut: Catalyzing Zero-Shot Semantic Segmentation with
Diffusion Features and Recursive Normalized Cut", NeurIPS 2024); their program, PaulCouairon/DiffCut, is MIT-licensed, ©
2024 Paul Couairon, and its arithmetic is restated here, in float64.

The number of threads may change the last digits of sums, which must not decide ties: of costs, of the eigenvector's
sign, and between vectors of equal eigenvalues.

Shape letters: C channels, N = h·w positions, K segments.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import torch

from ..config.method_constants import SegmentConfig
from ..errors import UserError
from ..masks.arithmetic import ROUNDING

LARGEST_SIDE = 64
"""Maximum side of a square graph: N × N weights of 64² positions take 128 MiB."""
TIE = 1e-9
"""Values this close count as equal: far above float64 rounding, far below float32 precision."""
DENSE = 128
"""Up to this number of positions, the matrix is decomposed: Lanczos fails on the smallest graphs."""
CUTS = 100
"""The eigenvector is cut at this number of values, which are evenly spaced over 99 % of its range."""


def cut_features(features: torch.Tensor, config: SegmentConfig) -> torch.Tensor:
    """Proposals (K, h, w) float64 of features (C, h, w): how much each position resembles each part, its cosine times
    the length of the part's mean direction (the program's "masked spatial marginal mean").

    Raises UserError for too many positions.
    """
    height, width = features.shape[1:]
    if height * width > LARGEST_SIDE**2:
        raise UserError(
            f"features of {height} × {width} positions are too many for a normalised cut, "
            f"{LARGEST_SIDE} × {LARGEST_SIDE} at most: take a coarser level of the encoder, or a smaller image"
        )
    columns = features.detach().cpu().double().flatten(1).numpy()
    directions = columns / np.maximum(np.linalg.norm(columns, axis=0), np.finfo(np.float32).tiny)
    parts = recursive_cut(feature_affinity(directions, config.cut_power), config.cut_threshold)
    members = np.equal.outer(np.arange(parts.max() + 1), parts).astype(np.float64)  # (K, N)
    concepts = members @ directions.T / members.sum(1, keepdims=True)  # (K, C)
    return torch.from_numpy(concepts @ directions).unflatten(1, (height, width))


def feature_affinity(directions: np.ndarray, power: float) -> np.ndarray:
    """(N, N): the cosines of all pairs of unit columns (C, N), min-max, raised to `power`; all ones if all are
    equal."""
    cosine = directions.T @ directions
    low, high = cosine.min(), cosine.max()
    if high - low <= ROUNDING:
        return np.ones_like(cosine)
    scaled = (cosine - low) / (high - low)
    scaled[scaled < TIE] = 0  # exact zeros, which `recursive_cut` treats differently
    np.fill_diagonal(scaled, 1)  # already 1 except for rounding and for features of length 0
    return scaled**power


def recursive_cut(affinity: np.ndarray, tau: float) -> np.ndarray:
    """(N,): the part of each position, from 0 in order of appearance. The graph is cut in two, and each side again,
    while the cut's cost is below tau. As in the authors' program, a position whose affinity to some
    other position is exactly 0 takes part in the first cut only; later it stays with the side that keeps its number."""
    parts = np.zeros(len(affinity), np.int64)
    linked = np.asarray((affinity > 0).all(1))
    everything = np.arange(len(affinity))
    waiting = [(everything, everything)]  # positions to cut, and those of them that take part
    while waiting and affinity.min() < affinity.max():
        whole, graph = waiting.pop()
        if len(graph) < 2:
            continue
        cost, side = bipartition(affinity[np.ix_(graph, graph)])
        if cost < tau:
            part = graph[side]
            rest = np.setdiff1d(whole, part, assume_unique=True)
            parts[part] = parts.max() + 1
            waiting += [(side_part, side_part[linked[side_part]]) for side_part in (part, rest)]
    return by_appearance(parts)


def bipartition(affinity: np.ndarray) -> tuple[float, np.ndarray]:
    """(cost, side) of the cheapest of CUTS cuts of the second eigenvector. cost: `cut / volume(S) + cut / volume(T)`,
    in [0, 2], where cut is the affinity between S and T, and volume the affinity of one side to the whole graph (Shi
    and Malik 2000). side: (N,) bool, neither all true nor all false."""
    degrees = affinity.sum(1)
    vector = second_eigenvector(affinity, degrees)
    thresholds = np.linspace(vector.min() * 0.99, vector.max() * 0.99, CUTS)
    sides = vector > thresholds[:, None]  # (CUTS, N)
    chosen = sides.astype(np.float64)
    volumes = chosen @ degrees
    cuts = volumes - np.einsum("tn,tn->t", chosen @ affinity, chosen)
    costs = cuts / volumes + cuts / (degrees.sum() - volumes)
    first = int(np.argmax(costs <= costs.min() + TIE))
    return float(costs[first]), sides[first]


def second_eigenvector(affinity: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """(N,) y with the second smallest λ of `(D − A) y = λ D y`, its largest entry positive; not normalised.

    The first eigenvector is constant and has λ = 0. It is moved to the other end of the spectrum: then the wanted
    eigenvector is extreme, and perpendicular to it even if the graph falls apart and several λ are 0.
    """
    roots = np.sqrt(degrees)
    normalized = affinity / roots[:, None] / roots  # its eigenvalues are 1 − λ
    constant = roots / np.linalg.norm(roots)
    normalized -= 2 * np.outer(constant, constant)
    vector = _largest_eigenvector(normalized) / roots
    largest = np.flatnonzero(np.abs(vector) >= np.abs(vector).max() * (1 - TIE))[0]
    return vector * np.sign(vector[largest])


def _largest_eigenvector(matrix: np.ndarray) -> np.ndarray:
    """An eigenvector for the largest eigenvalue of a symmetric matrix; always the same if there are several."""
    start = np.random.default_rng(0).standard_normal(len(matrix))
    if len(matrix) > DENSE:
        try:
            values, vectors = scipy.sparse.linalg.eigsh(matrix, k=2, which="LA", v0=start)
        except scipy.sparse.linalg.ArpackError:
            pass
        else:
            if np.ptp(values) > TIE:
                return vectors[:, np.argmax(values)]
    values, vectors = scipy.linalg.eigh(matrix)
    space = vectors[:, values >= values[-1] - TIE]
    return space @ (space.T @ start)


def by_appearance(labels: np.ndarray) -> np.ndarray:
    """Labels of any shape, renumbered from 0 in the order in which they first appear, as int32."""
    _, first, number = np.unique(labels.ravel(), return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[number].astype(np.int32).reshape(labels.shape)
