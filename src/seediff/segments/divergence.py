"""Symmetric Kullback–Leibler divergence of attention rows, with which DiffSeg decides whether two positions belong together.

`2 D(p, q) = h(p) + h(q) − p·log q − q·log p` with `h(p) = Σ p log p`: two matrix products instead of a broadcast over all pairs
and positions. float32 products have larger errors than float64, so pairs close to a threshold are computed again, term by term in
float64. Then no decision depends on the order of BLAS's sums: not on threads, alignment, or other rows.
"""

from __future__ import annotations

import math

import torch

from .exact_sums import add_product, product_error

FLOOR = 1e-12
"""Smaller probabilities are replaced by this inside the logarithm."""

BAND = 256
"""Rows whose logarithms are held at a time: few enough for the cache, enough for BLAS."""

CHUNK = 2**19
"""Elements per operation when pairs are computed term by term."""

MANY = 2**13
"""From this number of doubtful pairs, float64 products are faster than computing each pair."""


def symmetric_kl(anchors: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """`D(p, q) = ½ (KL(p‖q) + KL(q‖p))` of every anchor p and row q, (A, M), in nats; within `kl_error` of the exact value.

    anchors: (A, N), rows: (M, N), float32 or float64 alike; each sums to 1, zeros allowed.
    """
    anchor_logs = _log(anchors)
    anchor_entropies = (anchors * anchor_logs).sum(1, dtype=torch.float64).to(rows.dtype)[:, None]
    if rows is anchors:  # then each product serves both directions
        cross = add_product(rows.new_zeros(len(rows), len(rows)), rows, anchor_logs)
        return (anchor_entropies + anchor_entropies.T).sub_(cross + cross.T).div_(2)
    distances = rows.new_empty(len(anchors), len(rows))
    scratch = rows.new_empty(min(BAND, len(rows)), rows.shape[1])
    for columns, band in zip(distances.split(BAND, 1), rows.split(BAND), strict=True):
        logs = torch.clamp_min(band, FLOOR, out=scratch[: len(band)]).log_()
        cross = rows.new_zeros(columns.shape)
        add_product(cross, anchors, logs)
        add_product(cross, anchor_logs, band)
        entropies = logs.mul_(band).sum(1, dtype=torch.float64).to(rows.dtype)
        torch.add(anchor_entropies, entropies, out=columns)
        columns.sub_(cross).div_(2)
    return distances


def closer_than(anchors: torch.Tensor, rows: torch.Tensor, threshold: float) -> torch.Tensor:
    """Whether `D(p, q) < threshold`, (A, M) bool, for anchors (A, N) and rows (M, N) as in `symmetric_kl`.

    Every decision equals the decision in float64 on `½ Σ (p − q)(log p − log q)`.
    """
    distances = symmetric_kl(anchors, rows)
    closer = distances < threshold
    doubtful = distances.sub_(threshold).abs_() <= kl_error(rows.shape[1], threshold, rows.dtype)
    pairs = doubtful.nonzero()
    if len(pairs) > MANY and rows.dtype == torch.float32:
        return closer_than(anchors.double(), rows.double(), threshold)
    for of_anchor, of_row in (chunk.unbind(1) for chunk in pairs.split(max(1, CHUNK // rows.shape[1]))):
        closer[of_anchor, of_row] = _term_by_term(anchors[of_anchor], rows[of_row]) < threshold
    return closer


def kl_error(positions: int, threshold: float, dtype: torch.dtype) -> float:
    """Farther than this from the threshold τ, `symmetric_kl` of rows with N positions is certainly on the right side.

    The terms p log q and q log p have one sign, so the products err by at most γ S with S = −p·log q − q·log p =
    2 D − h(p) − h(q) ≤ 2 D + 2 log N; entropies (summed in float64), logarithms (2 units) and the last additions err by 8 units
    of S at most. So |ΔD| ≤ (γ + 8 u)(D + log N), which at D = τ is 1.7e-4 for N = 4096 and τ = 1.1 in float32. Farther away
    the error grows with D more slowly than the distance from τ.
    """
    unit = torch.finfo(dtype).eps / 2
    return 1.01 * (product_error(2 * positions, dtype) + 8 * unit) * (threshold + math.log(positions))


def _term_by_term(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """D for pairs (K, N) and (K, N): (K,) float64."""
    p, q = p.double(), q.double()
    return (_log(p) - _log(q)).mul_(p - q).sum(1) / 2


def _log(rows: torch.Tensor) -> torch.Tensor:
    return rows.clamp_min(FLOOR).log_()
