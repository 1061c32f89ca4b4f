"""Head means of softmax(QKᵀ), added into running maps in blocks that fit the cache.

Queries and keys come in the model's number format; scores and probabilities are float32 whatever that is. So does fused attention make
the picture: scores are never rounded to half precision there, and some models' are too large for it.

Shape letters: B images, H heads, N queries, T keys, D channels a head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch


class Part(NamedTuple):
    """Some of the columns of one softmax, and the running map that they are added to.

    total: (B, N, width) float32. columns: which, of T. per_column: whether the maximum that a map is divided by is of each column
    (cross-attention: over all tokens it would always be the start token's and flatten the others) instead of the whole map. alone:
    whether the softmax is over these columns instead of all.
    """

    total: torch.Tensor
    columns: slice = slice(None)
    per_column: bool = False
    alone: bool = False


def add_probabilities(
    parts: Sequence[Part], query: torch.Tensor, key: torch.Tensor, scale: float, bias: torch.Tensor | None = None, *, normalize: bool
) -> torch.Tensor:
    """`total += mean over heads of softmax(scale · QKᵀ + bias)`, divided by its maximum when asked (eq. 5), in place, for every part.

    Args:
        query: (B, H, N, D). key: (B, H, T, D). bias: (B, H or 1, N or 1, T) or None; −inf hides a column.
        normalize: divide each image's map of each part by its maximum.

    Returns: the sum of the maxima, a scalar tensor that is NaN when any probability is.
    """
    if len(parts) == 1 and parts[0].alone:  # no other columns are needed
        ((total, columns, per_column, _),) = parts
        key, bias = key[:, :, columns], None if bias is None else bias[..., columns]
        parts = [Part(total, slice(None), per_column)]
    images, heads, queries, _ = query.shape
    keys = key.shape[2]
    limit = BLOCK_BYTES.get(query.device.type, BLOCK_BYTES["cuda"]) // torch.float32.itemsize
    group = max(1, min(images, limit // (heads * queries * keys)))  # images at a time: several small maps, or one large
    rows = max(1, min(queries, limit // (group * heads * keys)))
    block = query.new_empty(2, group * heads * rows * keys, dtype=torch.float32)  # scores and probabilities
    scratch = [torch.empty_like(part.total[:group]) for part in parts]  # freed on return: the network's own peak is elsewhere
    peaks = query.new_zeros((), dtype=torch.float32)
    for first in range(0, images, group):
        some = slice(first, min(first + group, images))
        transposed_keys = key[some].float().flatten(0, 1).transpose(1, 2)  # (group · H, D, T)
        for start in range(0, queries, rows):
            here = slice(start, min(start + rows, queries))
            shape = (len(transposed_keys), here.stop - here.start, keys)
            scores, probabilities = (x[: math.prod(shape)].view(shape) for x in block)
            torch.baddbmm(scores, query[some, :, here].float().flatten(0, 1), transposed_keys, beta=0, alpha=scale, out=scores)
            if bias is not None:
                scores.unflatten(0, (-1, heads)).add_(bias[some] if bias.shape[2] == 1 else bias[some, :, here])
            if not all(part.alone for part in parts):
                torch.softmax(scores, -1, out=probabilities)
            for part, means in zip(parts, scratch, strict=True):
                found = torch.softmax(scores[..., part.columns], -1) if part.alone else probabilities[..., part.columns]
                torch.mean(found.unflatten(0, (-1, heads)), 1, out=means[: some.stop - some.start, here])
        for part, means in zip(parts, scratch, strict=True):
            head_means = means[: some.stop - some.start]
            peak = head_means.amax(1 if part.per_column else (1, 2), keepdim=True)
            peaks += peak.sum()
            if normalize:
                part.total[some].addcdiv_(head_means, peak.clamp_min_(torch.finfo(torch.float32).tiny))
            else:
                part.total[some] += head_means
    return peaks


BLOCK_BYTES = {"cpu": 8 << 20, "mps": 32 << 20, "cuda": 64 << 20}
"""How much of the scores is held at once: on a CPU what its cache holds, on a GPU what keeps it busy."""
