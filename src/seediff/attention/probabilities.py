"""Head means of softmax(QKᵀ), added into running maps in blocks that fit the cache.

Shape letters: B images, H heads, N queries, T keys, D channels a head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch


def add_probabilities(
    total: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    scale: float,
    bias: torch.Tensor | None = None,
    *,
    normalize: bool,
    per_column: bool,
    upcast: bool = False,
) -> torch.Tensor:
    """`total += mean over heads of softmax(scale · QKᵀ + bias)`, divided by its maximum when asked (eq. 5), in place.

    Args:
        total: (B, N, T) float32. query: (B, H, N, D). key: (B, H, T, D). bias: (B, H, 1 or N, T) or None.
        normalize: divide each image's map by its maximum.
        per_column: that maximum is of each key's column (cross-attention: over all tokens it would always be the start
            token's and flatten the others) instead of the whole map.
        upcast: compute scores and probabilities in float32, for models whose scores are too large for half precision.

    Returns: the sum of the maxima, a scalar tensor that is NaN when any probability is.
    """
    images, heads, queries, _ = query.shape
    keys = key.shape[2]
    kind = torch.float32 if upcast else query.dtype
    limit = BLOCK_BYTES.get(query.device.type, BLOCK_BYTES["cuda"]) // kind.itemsize
    group = max(1, min(images, limit // (heads * queries * keys)))  # images at a time: several small maps, or one large
    rows = max(1, min(queries, limit // (group * heads * keys)))
    block = query.new_empty(2, group * heads * rows * keys, dtype=kind)  # scores and probabilities
    scratch = torch.empty_like(total[:group])  # freed on return: the UNet's own peak is elsewhere, and this one hides under it
    peaks = query.new_zeros((), dtype=torch.float32)
    for first in range(0, images, group):
        some = slice(first, min(first + group, images))
        head_means = scratch[: some.stop - some.start]
        transposed_keys = key[some].to(kind).flatten(0, 1).transpose(1, 2)  # (group · H, D, T)
        for start in range(0, queries, rows):
            part = slice(start, min(start + rows, queries))
            shape = (len(transposed_keys), part.stop - part.start, keys)
            scores, probabilities = (x[: math.prod(shape)].view(shape) for x in block)
            torch.baddbmm(scores, query[some, :, part].to(kind).flatten(0, 1), transposed_keys, beta=0, alpha=scale, out=scores)
            if bias is not None:
                scores.unflatten(0, (-1, heads)).add_(bias[some] if bias.shape[2] == 1 else bias[some, :, part])
            torch.softmax(scores, -1, out=probabilities)
            torch.mean(probabilities.unflatten(0, (-1, heads)), 1, dtype=torch.float32, out=head_means[:, part])
        peak = head_means.amax(1 if per_column else (1, 2), keepdim=True)
        peaks += peak.sum()
        if normalize:
            total[some].addcdiv_(head_means, peak.clamp_min_(torch.finfo(torch.float32).tiny))
        else:
            total[some] += head_means
    return peaks


def add_joint_probabilities(
    totals: Sequence[tuple[torch.Tensor, slice, bool, bool]],
    query: torch.Tensor,
    key: torch.Tensor,
    scale: float,
    visible: torch.Tensor | None = None,
    *,
    normalize: bool,
) -> torch.Tensor:
    """The same for parts of the columns of one softmax, in float32.

    Args:
        totals: of each part, its running map (B, N, width), its columns, whether the maximum that it is divided by is of each
            column, and whether the softmax is over this part's columns alone instead of all.
        query: (B, H, N, D). key: (B, H, T, D), of all columns. visible: (B, T) bool, False where a column is padding, or None.
        normalize: divide each image's map of each part by its maximum.

    Returns: the sum of the maxima, a scalar tensor that is NaN when any probability is.
    """
    if len(totals) == 1 and totals[0][3]:  # a softmax that needs no other columns
        total, columns, per_column, _ = totals[0]
        key, visible = key[:, :, columns], None if visible is None else visible[:, columns]
        totals = [(total, slice(None), per_column, False)]
    images, heads, queries, _ = query.shape
    keys = key.shape[2]
    limit = BLOCK_BYTES.get(query.device.type, BLOCK_BYTES["cuda"]) // torch.float32.itemsize
    group = max(1, min(images, limit // (heads * queries * keys)))
    rows = max(1, min(queries, limit // (group * heads * keys)))
    block = query.new_empty(group * heads * rows * keys, dtype=torch.float32)
    scratch = [torch.empty_like(total[:group]) for total, *_ in totals]
    peaks = query.new_zeros((), dtype=torch.float32)
    for first in range(0, images, group):
        some = slice(first, min(first + group, images))
        transposed_keys = key[some].float().flatten(0, 1).transpose(1, 2)  # (group · H, D, T)
        hidden = None if visible is None else ~visible[some, None, None]
        for start in range(0, queries, rows):
            part = slice(start, min(start + rows, queries))
            shape = (len(transposed_keys), part.stop - part.start, keys)
            scores = block[: math.prod(shape)].view(shape)
            torch.baddbmm(scores, query[some, :, part].float().flatten(0, 1), transposed_keys, beta=0, alpha=scale, out=scores)
            if hidden is not None:
                scores.unflatten(0, (-1, heads)).masked_fill_(hidden, -torch.inf)
            whole = None
            for (_, columns, _, alone), means in zip(totals, scratch, strict=True):
                if alone:
                    found = torch.softmax(scores[:, :, columns], -1)
                else:
                    whole = torch.softmax(scores, -1) if whole is None else whole
                    found = whole[:, :, columns]
                torch.mean(found.unflatten(0, (-1, heads)), 1, out=means[: some.stop - some.start, part])
        for (total, _, per_column, _), means in zip(totals, scratch, strict=True):
            head_means = means[: some.stop - some.start]
            peak = head_means.amax(1 if per_column else (1, 2), keepdim=True)
            peaks += peak.sum()
            if normalize:
                total[some].addcdiv_(head_means, peak.clamp_min_(torch.finfo(torch.float32).tiny))
            else:
                total[some] += head_means
    return peaks


BLOCK_BYTES = {"cpu": 8 << 20, "mps": 32 << 20, "cuda": 64 << 20}
"""How much of the scores is held at once: on a CPU what its cache holds, on a GPU what keeps it busy."""
