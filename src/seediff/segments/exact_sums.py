"""Reliable sums and products over many attention rows: exact, or with a bound on the error.

BLAS adds in an order that depends on threads, alignment and device. Sums here are of whole numbers that float64 holds without rounding,
so any order gives the same bytes. Products come with an error bound for any order. So a decision is certain where the bound allows it,
and is checked exactly elsewhere.
"""

from __future__ import annotations

import math

import torch

BLOCK = 256
"""Columns per product: the error of a sum of K terms grows with K, the error of block sums with BLOCK + K / BLOCK."""

BAND = 128
"""Rows per operation: few enough for the cache, enough for BLAS."""

LARGE_BAND = 4096
"""BAND on a GPU: few enough for its memory, enough to outweigh the overhead."""


def add_product(out: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """`out += left · rightᵀ` in place, for out (A, M), left (A, K), right (M, K), in blocks of columns."""
    for a, b in zip(left.split(BLOCK, 1), right.split(BLOCK, 1), strict=True):
        out.addmm_(a, b.T)
    return out


def product_error(terms: int, dtype: torch.dtype) -> float:
    """γ: products of `add_product` with `terms` = K (of all calls into one `out`) differ from the exact ones of the same values by at
    most γ Σ_k |left_k right_k|, in whatever order BLAS adds. This does not hold for TF32 or bfloat16 products, which PyTorch does not
    use by default."""
    return (min(BLOCK, terms) + math.ceil(terms / BLOCK) + 2) * torch.finfo(dtype).eps / 2


def whole_unit(rows: torch.Tensor) -> float:
    """The unit for turning rows (N, M) into whole numbers: a power of two, coarse enough that N of them add up without rounding.

    At most 2^(⌈log2 N⌉ − 51) of the largest value, 2^-39 for 4096 rows: float32 loses nothing down to 2^-15 of the largest value.
    """
    low, high = torch.stack(rows.aminmax()).tolist()
    exponent = math.frexp(max(-low, high))[1]  # |x| < 2^exponent
    room = 52 - math.ceil(math.log2(len(rows)))
    return 2.0 ** (exponent - room)


def in_units(rows: torch.Tensor, unit: float) -> torch.Tensor:
    """Rows as whole numbers of `unit` in float64, rounded to nearest."""
    return rows.to(torch.float64, copy=True).mul_(1 / unit).round_()


def sums_of_members(rows: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    """`Σ_{i: members[a, i]} rows[i]` for every a, (A, M) float64, from rows (N, M) and members (A, N) bool; exact but for rounding
    each row to `whole_unit`.

    On a CPU, rows are sorted by their first set. Such rows mostly belong to the same sets, so a band of rows concerns few sets, and only
    these are multiplied. On other devices whole products are faster.
    """
    unit = whole_unit(rows)
    totals = torch.zeros(len(members), rows.shape[1], dtype=torch.float64, device=rows.device)
    if rows.device.type != "cpu":
        for band, of in zip(rows.split(LARGE_BAND), members.split(LARGE_BAND, 1), strict=True):
            totals.addmm_(of.double(), in_units(band, unit))
        return totals.mul_(unit)
    order = members.to(torch.uint8).argmax(0).argsort(stable=True)
    for band in order.split(BAND):
        concerned = members[:, band].any(1).nonzero().squeeze(1)
        chosen = members[concerned][:, band].double()
        totals.index_add_(0, concerned, chosen @ in_units(rows[band], unit))
    return totals.mul_(unit)
