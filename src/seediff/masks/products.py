"""Products of attention and vectors whose bits depend on the values alone.

BLAS's matrix–vector product rounds differently with the alignment of its operands in memory and with the number of threads;
then maps read from a file could give another mask than the same maps fresh from the model. These sums have a fixed order.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

BLOCK = 128
"""Rows summed at a time: blocks run in parallel, and short sums lose less to rounding than one long one."""

CHUNK = 2**19
"""Elements multiplied at a time (2 MiB): the products never leave the cache."""


def sum_of_rows(matrix: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """`Σ_{i ∈ rows} w_i · matrix[i]`, (M,), of matrix (N, M); weights in the order of rows, 1 if not given.

    The rows are summed where they lie (`embedding_bag`) instead of being gathered first.
    """
    if rows.device.type == "mps":  # torch has it there from 2.10 on
        return sum_gathered(matrix, rows, weights)
    blocks = torch.arange(0, len(rows), BLOCK, device=rows.device)
    return F.embedding_bag(rows, matrix, blocks, mode="sum", per_sample_weights=weights).sum(0)


def sum_gathered(matrix: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """The same, of rows gathered a block at a time."""
    total = torch.zeros(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    for first in range(0, len(rows), BLOCK):
        block = matrix[rows[first : first + BLOCK]]
        total += (block if weights is None else block * weights[first : first + BLOCK, None]).sum(0)
    return total


def times_vector(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """`matrix · v`, (N,), of matrix (N, M) and v (M,)."""
    rows = max(1, CHUNK // matrix.shape[1])
    return torch.cat([(band * vector).sum(1) for band in matrix.split(rows)])
