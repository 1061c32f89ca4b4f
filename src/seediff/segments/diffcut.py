"""DiffCut: divides an image by a recursive normalised cut (`cut_features`) of the features of a UNet's encoder. Uses no
attention maps and no classes.

    with capture_features(pipe.unet, latents.shape[-2:]) as found:
        pipe.unet(latents, 50, encoder_hidden_states=embeddings)
    (features,) = found  # (B, C, h, w)

The method is Couairon, Shukor, Haugeard, Cord and Thome's ("DiffCut: Catalyzing Zero-Shot Semantic Segmentation with
Diffusion Features and Recursive Normalized Cut", NeurIPS 2024). This module restates the arithmetic of their program,
PaulCouairon/DiffCut (MIT License, © 2024 Paul Couairon), in float64. As there, features are the outputs of the last
self-attention module (`attn1`) of an encoder level, before they are added to the hidden states. A forward hook reads
them and does not change the UNet's results.

The number of threads may change the last digits of sums. These digits must not decide which of two equal costs is
taken, which sign an eigenvector has, and which vector belongs to equal eigenvalues: values within TIE count as equal.

Shape letters: C channels, N = h·w positions, K segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import torch

from ..config.methods import SegmentConfig
from ..errors import UserError, not_finite
from ..masks.arithmetic import ROUNDING
from ..models.families.unet import attention_layers
from ..models.layers import grid_at

COARSEST_SIDE = 16
"""Minimum number of positions on the features' longer side. The published program takes the encoder's last attention,
which has 32 positions a side at 1024² pixels. The embedded model's last attention has only 8. On its tuning scenes,
segments of the next finer level reach a mIoU of 0.44 instead of 0.30."""


@contextmanager
def capture_features(unet: Any, lattice: Sequence[int]) -> Iterator[list[torch.Tensor]]:
    """A list to which each UNet call inside the `with` block appends the encoder's features, (B, C, h, w) float32. They
    come from the last level with attention whose longer side has at least COARSEST_SIDE positions; if no level has so
    many, from the first level with attention.

    unet: the network. lattice: (height, width) of L. Raises UserError if the encoder has no self-attention, and at
    the end of the block for features that are not finite.
    """
    layers = encoder_layers(unet)
    if not layers:
        raise UserError("the UNet's encoder has no self-attention to take features from; use SD 1.x or 2.x")
    fine = (level for level in layers if max(lattice) // level >= COARSEST_SIDE)
    level = max(fine, default=min(layers))
    grid = grid_at((lattice[0], lattice[1]), level)
    found: list[torch.Tensor] = []

    def record(_attention: Any, _args: Any, output: torch.Tensor) -> None:
        """Forward hook of the self-attention module: keep its output (B, N, C)."""
        copy = output.detach().to(torch.float32, copy=True)
        found.append(copy.transpose(1, 2).unflatten(2, grid).contiguous())

    handle = unet.get_submodule(layers[level]).register_forward_hook(record)
    try:
        yield found
    finally:
        handle.remove()
    if not all(bool(features.isfinite().all()) for features in found):
        raise not_finite("features", str(unet.dtype))


def encoder_layers(unet: Any) -> dict[int, str]:
    """Level → the name of the encoder's last self-attention module at L / level, the finest level first. Every encoder
    block but the last halves both sides at its end, so block i works at L / 2^i."""
    layers = {}
    for name, attention in attention_layers(unet).items():
        if name.startswith("down_blocks.") and not attention.is_cross_attention:
            layers[2 ** int(name.split(".")[1])] = name
    return dict(sorted(layers.items()))


LARGEST_SIDE = 64
"""A graph has at most the positions of a square with this side: the N × N weights of 64² positions take 128 MiB."""
TIE = 1e-9
"""Values this close count as equal: far above float64 rounding, far below float32 precision."""
DENSE = 128
"""Up to this number of positions, the whole matrix is decomposed, because Lanczos iterations fail on the smallest
graphs."""
CUTS = 100
"""The eigenvector is cut at this number of values, which are evenly spaced over 99 % of its range."""


def cut_features(features: torch.Tensor, config: SegmentConfig) -> torch.Tensor:
    """Proposals (K, h, w) float64: how much each position resembles each of K segments. The value is the cosine of the
    position's feature and the segment's mean direction, times this mean's length (the "masked spatial marginal mean" of
    the authors' program).

    features: (C, h, w). config: `cut_power` and `cut_threshold`. Raises UserError for too many positions.
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
    """The graph's weights (N, N): the cosines of all pairs of positions, stretched to [0, 1] and raised to `power`. If
    all cosines are equal, all weights are 1. directions: the positions' features as unit columns (C, N)."""
    cosine = directions.T @ directions
    low, high = cosine.min(), cosine.max()
    if high - low <= ROUNDING:
        return np.ones_like(cosine)
    scaled = (cosine - low) / (high - low)
    scaled[scaled < TIE] = 0  # exact zeros, which `recursive_cut` treats differently
    np.fill_diagonal(scaled, 1)  # already 1 except for rounding and for features of length 0
    return scaled**power


def recursive_cut(affinity: np.ndarray, tau: float) -> np.ndarray:
    """The number of each position's segment (N,), from 0 in order of appearance. The graph is cut in two, and each side
    again, while the cut's cost is below `tau`.

    As in the authors' program, a position whose affinity to some other position is exactly 0 takes part only in the
    first cut. For example, the first cut gives segments 0 and 1, and such a position is in segment 1. If segment 1 is
    cut again into 1 and 2, the position stays in 1. affinity: the graph's weights (N, N)."""
    parts = np.zeros(len(affinity), np.int64)
    if affinity.min() == affinity.max():  # nothing tells positions apart
        return by_appearance(parts)
    linked = np.asarray((affinity > 0).all(1))
    everything = np.arange(len(affinity))
    waiting = [(everything, everything)]  # (members, cuttable): a segment's positions, and which of them take part
    while waiting:
        members, cuttable = waiting.pop()
        if len(cuttable) < 2:
            continue
        cost, side = bipartition(affinity[np.ix_(cuttable, cuttable)])
        if cost < tau:
            part = cuttable[side]
            rest = np.setdiff1d(members, part, assume_unique=True)  # keeps its number
            parts[part] = parts.max() + 1
            waiting += [(segment, segment[linked[segment]]) for segment in (part, rest)]
    return by_appearance(parts)


def bipartition(affinity: np.ndarray) -> tuple[float, np.ndarray]:
    """(cost, side) of the cheapest of CUTS cuts of the second eigenvector (Shi and Malik 2000). cost: `cut / volume(S)
    + cut / volume(T)`, in [0, 2]. Here cut is the affinity between the sides S and T, and the volume of a side is its
    affinity to the whole graph. side: (N,) bool, true in S and false in T; neither is empty."""
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
    """The eigenvector y (N,) for the second smallest λ of `(D − A) y = λ D y`. It is not normalised; its largest entry
    is positive.

    The first eigenvector is constant and has λ = 0. It is moved to the other end of the spectrum, so that the wanted
    eigenvector comes first. It is then perpendicular to the constant one even if the graph has several pieces, for
    which several λ are 0.

    affinity: A (N, N). degrees: the diagonal of D (N,).
    """
    roots = np.sqrt(degrees)
    normalized = affinity / roots[:, None] / roots  # its eigenvalues are 1 − λ
    constant = roots / np.linalg.norm(roots)
    normalized -= 2 * np.outer(constant, constant)  # its eigenvalue becomes −1 instead of 1
    vector = _largest_eigenvector(normalized) / roots
    largest = np.flatnonzero(np.abs(vector) >= np.abs(vector).max() * (1 - TIE))[0]
    return vector * np.sign(vector[largest])


def _largest_eigenvector(matrix: np.ndarray) -> np.ndarray:
    """An eigenvector for the largest eigenvalue of a symmetric matrix, always the same one if there are several."""
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
