"""Head means of softmax(QKᵀ), added into running maps in blocks that fit the cache.

Queries and keys have the model's number format. Scores and probabilities are always float32, as in fused attention,
because some models' scores are too large for half precision.

Shape letters: B images, H heads, N queries, T keys, D channels per head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch


class Scores(NamedTuple):
    """The scores of some queries, scale · QKᵀ + bias (B, H, N, T). Their softmax over T is attention."""

    query: torch.Tensor
    """(B, H, N, D)"""
    key: torch.Tensor
    """(B, H, T, D)"""
    scale: float
    bias: torch.Tensor | None = None
    """(B, H or 1, N or 1, T); −inf hides a column. None: nothing is added."""
    sums: torch.Tensor | None = None
    """(B, H, N) log-sum-exps over the T columns, if attention has computed them."""

    def of_columns(self, columns: slice) -> Scores:
        """The scores of some columns alone."""
        bias = self.bias
        if bias is not None:
            bias = bias[..., columns]
        return self._replace(key=self.key[:, :, columns], bias=bias, sums=None)


class Part(NamedTuple):
    """Some columns of one softmax, and the running map to which they are added."""

    total: torch.Tensor
    """The running map, (B, N, width) float32."""
    columns: slice = slice(None)
    """Which of the T columns."""
    per_column: bool = False
    """Whether to divide by each column's maximum. The whole map's maximum, which is used otherwise, is always the start
    token's in cross-attention."""


class Scratch:
    """CPU memory that all layers reuse: fresh pages would cost a sixth of capture's time."""

    def __init__(self) -> None:
        self._buffer: torch.Tensor | None = None

    def take(self, numbers: int, like: torch.Tensor) -> torch.Tensor:
        """`numbers` uninitialised float32 values on the device of `like`; on a CPU in the same memory at every call."""
        if like.device.type != "cpu" or numbers > SCRATCH_BYTES // torch.float32.itemsize:
            return like.new_empty(numbers, dtype=torch.float32)
        if self._buffer is None or len(self._buffer) < numbers:
            self._buffer = None  # freed first, so that two buffers never exist at once
            with torch.inference_mode(False):  # later calls write to this memory
                self._buffer = torch.empty(numbers)
        return self._buffer[:numbers]


def add_probabilities(
    parts: Sequence[Part],
    scores: Scores,
    *,
    normalize: bool,
    finite: torch.Tensor,
    scratch: Scratch | None = None,
) -> None:
    """Add the mean over heads of the scores' softmax to the running map of every part, in place. A query without any
    visible column has probabilities of 0.

    normalize: first divide each image's map of each part by its maximum (eq. 5). finite: a float32 scalar tensor, which
    becomes NaN if any probability is, and otherwise stays finite. scratch: memory for the call; None: allocate new
    memory.
    """
    # 1. How many images, heads and queries fit a block
    query, key, scale, bias, _ = scores
    images, heads, queries, _ = query.shape
    keys, on_cpu = key.shape[2], query.device.type == "cpu"
    limit = BLOCK_BYTES.get(query.device.type, BLOCK_BYTES["cuda"]) // torch.float32.itemsize
    queries_at_once = max(1, min(queries, limit // keys))
    heads_at_once = max(1, min(heads, limit // (queries_at_once * keys)))
    images_at_once = 1
    if queries_at_once == queries:  # several images fit if all scores of each do
        images_at_once = max(1, min(images, limit // (heads * queries * keys)))

    # 2. Memory for a block of scores, and for each part's sums over heads
    block_size = images_at_once * heads_at_once * queries_at_once * keys
    sum_sizes = [part.total[:images_at_once].numel() for part in parts]
    memory = (scratch or Scratch()).take(block_size + sum(sum_sizes), query)
    score_memory, *sum_memory = memory.split([block_size, *sum_sizes])
    probability_memory = score_memory if on_cpu else torch.empty_like(score_memory)  # in place, a CPU's cache holds it
    sums = [one.view_as(part.total[:images_at_once]) for one, part in zip(sum_memory, parts, strict=True)]

    # 3. Sums over heads, block by block. Queries without a visible column are cleared in step 4, for all heads at once,
    # unless each head has a mask of its own
    hidden = None if bias is None else (bias == -torch.inf).all(-1, keepdim=True)  # (B, H or 1, N or 1, 1)
    for some_images in _slices(images, images_at_once):
        count = some_images.stop - some_images.start
        transposed_keys = key[some_images].transpose(2, 3).float()  # (images at once, H, D, T)
        if queries_at_once < queries:  # several products read it
            transposed_keys = transposed_keys.contiguous()
        for some_queries in _slices(queries, queries_at_once):
            for some_heads in _slices(heads, heads_at_once):
                some_query = query[some_images, some_heads, some_queries].float()
                shape = (*some_query.shape[:3], keys)
                block, probabilities = (
                    each[: math.prod(shape)].view(shape) for each in (score_memory, probability_memory)
                )
                if not on_cpu:
                    block.zero_()  # Metal multiplies what is there by beta = 0, and NaN stays NaN
                product = (some_query.flatten(0, 1), transposed_keys[:, some_heads].flatten(0, 1))
                torch.baddbmm(block.flatten(0, 1), *product, beta=0, alpha=scale, out=block.flatten(0, 1))
                if bias is not None:
                    block.add_(_some(bias, some_images, some_heads, some_queries))
                torch.softmax(block, -1, out=probabilities)
                if hidden is not None and hidden.shape[1] > 1:
                    probabilities.masked_fill_(_some(hidden, some_images, some_heads, some_queries), 0)
                for part, total in zip(parts, sums, strict=True):
                    added = probabilities[..., part.columns]
                    if some_heads.start == 0:
                        torch.sum(added, 1, out=total[:count, some_queries])
                    else:
                        total[:count, some_queries] += added[:, 0] if added.shape[1] == 1 else added.sum(1)

        # 4. Into the running maps
        for part, total in zip(parts, sums, strict=True):
            head_sums = total[:count]
            if hidden is not None and hidden.shape[1] == 1:
                head_sums.masked_fill_(hidden[some_images, 0], 0)
            peak = head_sums.amax(1 if part.per_column else (1, 2), keepdim=True)
            finite += peak.sum()
            if normalize:  # the number of heads cancels out
                part.total[some_images].addcdiv_(head_sums, peak.clamp_min_(torch.finfo(torch.float32).tiny))
            else:
                part.total[some_images].add_(head_sums, alpha=1 / heads)


def _slices(count: int, at_once: int) -> list[slice]:
    """Slices of `count` things, each of at most `at_once`."""
    return [slice(start, min(start + at_once, count)) for start in range(0, count, at_once)]


def _some(values: torch.Tensor, images: slice, heads: slice, queries: slice) -> torch.Tensor:
    """Some images, heads and queries of values (B, H or 1, N or 1, …)."""
    part = values[images] if values.shape[1] == 1 else values[images, heads]
    return part if part.shape[2] == 1 else part[:, :, queries]


BLOCK_BYTES = {"cpu": 2 << 20, "mps": 32 << 20, "cuda": 64 << 20}
"""Bytes of scores held at once: on a CPU as many as fit its cache, on a GPU enough to keep it busy."""

SCRATCH_BYTES = 128 << 20
"""Maximum bytes of `Scratch`. Larger memory is freed after every layer, so that the network can use it."""
