"""Falcon: divides a graph into K parts at once, and improves their normalised cut position by position ("Falcon", ICLR 2026).

Written from the paper's equations; its code is not public. With one-hot X (N, K), weights W and degrees d it increases

    f(X) = Σ_k q_k / v_k,   q_k = x_kᵀ W x_k,   v_k = dᵀ x_k,

which is K − Ncut. Each position i takes the part with the highest `μ_ik + τ X_ik`, where

    μ_ik = 2 ((W X)_ik / v_k − d_i q_k / v_k²),

and τ, the price of a move, rises until f does. The paper leaves open the start and all constants but K's threshold κ; those below are this
project's choice. Symmetric bad divisions are fixed points, so the start matters: it is `cluster_qr` of the K largest eigenvectors.
"""

from __future__ import annotations

import numpy as np

from ..config.constants import SegmentConfig
from .graph import MOST, TIE, Graph, cluster_qr

START, FACTOR = 2.0**-10, 2.0
"""τ starts at this share of μ's range, because μ becomes smaller with the parts' volumes, and grows by this factor. At the whole range
nothing moves."""
DELTA = 0.1
"""f has to rise by at least this share of (τ / 2) ‖ΔX‖²."""
ROUNDS = 200


def divide(graph: Graph, config: SegmentConfig) -> np.ndarray:
    """The part (N,) of each position. K: the number of eigenvalues of `D^-½ W D^-½` above `config.eigenvalue`, from 1
    to MOST."""
    values, vectors = graph.spectrum
    count = max(1, int((values[:MOST] > config.eigenvalue).sum()))
    return refine(graph.weights, cluster_qr(vectors[:, :count]))


def refine(weights: np.ndarray, parts: np.ndarray, tau: float | None = None) -> np.ndarray:
    """Parts (N,), 0 to K − 1, whose f is at least that of `parts`. A part may lose all its positions.

    tau: where τ starts; None: START.
    """
    degrees, kinds = weights.sum(1), np.eye(parts.max() + 1)
    value, gradient = objective(weights, degrees, kinds[parts])
    if tau is None:
        tau = START * float(np.ptp(gradient[:, np.isfinite(gradient[0])]))  # −∞ for an empty part
    for _ in range(ROUNDS):
        moved = (gradient + tau * kinds[parts]).argmax(1)
        change = 2 * int((moved != parts).sum())  # ‖ΔX‖²
        if not change:
            break
        reached, there = objective(weights, degrees, kinds[moved])
        if reached - value >= max(DELTA * tau / 2 * change, TIE):
            parts, value, gradient = moved, reached, there
        else:
            tau *= FACTOR
    return parts


def objective(weights: np.ndarray, degrees: np.ndarray, x: np.ndarray) -> tuple[float, np.ndarray]:
    """f and μ (N, K) at one-hot x (N, K). An empty part adds nothing to f, and its μ is −∞: nothing moves there again."""
    shared, volumes = weights @ x, degrees @ x
    inside, there = np.einsum("nk,nk->k", x, shared), volumes > 0
    volumes = np.where(there, volumes, 1)
    gradient = 2 * (shared / volumes - np.outer(degrees, inside / volumes**2))
    return float((inside / volumes).sum()), np.where(there, gradient, -np.inf)
