"""Head means of softmax(QKᵀ), added to running maps in blocks that fit the cache.

    for some images:
        for some queries, for some heads:
            block of scores ─▶ softmax ─▶ is added to each target's sum over heads
        each target's sum over heads ─▶ its running map

Queries and keys have the model's number format. Scores and probabilities are always float32, as in fused attention,
because some models' scores are too large for half precision.

Shape letters: B images, H heads, N queries, T keys, D channels per head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

ALL = slice(None)


class Scores(NamedTuple):
    """What scores are computed from: scale · QKᵀ + bias, (B, H, N, T). Their softmax over T is attention."""

    query: torch.Tensor
    """(B, H, N, D)"""
    key: torch.Tensor
    """(B, H, T, D)"""
    scale: float
    bias: torch.Tensor | None = None
    """(B, H or 1, N or 1, T); −inf hides a column. None: nothing is added."""

    def select(self, images: slice = ALL, heads: slice = ALL, queries: slice = ALL) -> Scores:
        """The scores of some images, heads and queries."""
        query, key, scale, bias = self
        if bias is not None:
            bias = _select(bias, images, heads, queries)
        return Scores(query[images, heads, queries], key[images, heads], scale, bias)

    def of_columns(self, columns: slice) -> Scores:
        """The scores of some columns."""
        if columns == ALL:
            return self
        query, key, scale, bias = self
        first, last, _ = columns.indices(key.shape[2])
        if bias is not None:
            bias = bias.narrow(3, first, last - first)  # indices take longer, and each layer waits for them
        return Scores(query, key.narrow(2, first, last - first), scale, bias)

    def hidden_queries(self) -> torch.Tensor | None:
        """Which queries have no visible column: (B, H or 1, N or 1, 1) bool. None: nothing is hidden."""
        return None if self.bias is None else (self.bias == -torch.inf).all(-1, keepdim=True)


class Target(NamedTuple):
    """A running map, and the columns of the softmax that are added to it: for example the picture's columns in a layer
    where the picture attends to itself and to the text."""

    running_map: torch.Tensor
    """(B, N, width) float32"""
    columns: slice = ALL
    """Which of the T columns."""
    per_column: bool = False
    """Whether `normalize` divides each column by its own maximum. Otherwise it divides a map by the maximum of all its
    columns; in cross-attention that is always the start token's."""


class Scratch:
    """CPU memory that all layers reuse. Fresh pages at every call would cost a sixth of capture's time."""

    def __init__(self) -> None:
        self._buffer: torch.Tensor | None = None

    def take(self, numbers: int, like: torch.Tensor) -> torch.Tensor:
        """Uninitialised float32 values on the device of `like`; on a CPU in the same memory at every call. numbers: how
        many."""
        if like.device.type != "cpu" or numbers > SCRATCH_BYTES // torch.float32.itemsize:
            return like.new_empty(numbers, dtype=torch.float32)
        if self._buffer is None or len(self._buffer) < numbers:
            self._buffer = None  # freed first, so that two buffers never exist at once
            with torch.inference_mode(False):  # later calls write to this memory
                self._buffer = like.new_empty(numbers, dtype=torch.float32)
        return self._buffer[:numbers]


def add_probabilities(
    targets: Sequence[Target], scores: Scores, *, normalize: bool, finite: torch.Tensor, scratch: Scratch | None = None
) -> None:
    """Add the mean over heads of the scores' softmax to the running map of every target, in place. A query without any
    visible column has probabilities of 0.

    targets: running maps, each for some of the columns. scores: of a layer's queries and keys. normalize: whether each
    image's mean is first divided by its maximum (SeeDiff eq. 5). finite: a float32 scalar tensor, which becomes NaN if
    any probability is, and otherwise stays finite. scratch: memory for the call; None: allocate new memory.
    """
    # 1. Memory for a block of scores, and for each target's sums over heads
    images, heads, queries = scores.query.shape[:3]
    images_at_once, heads_at_once, queries_at_once = _block_shape(scores)
    block_size = images_at_once * heads_at_once * queries_at_once * scores.key.shape[2]
    some_maps = [target.running_map[:images_at_once] for target in targets]
    sizes = [block_size, *map(torch.numel, some_maps)]
    block_memory, *sum_memory = (scratch or Scratch()).take(sum(sizes), scores.query).split(sizes)
    sums = [memory.view_as(some) for memory, some in zip(sum_memory, some_maps, strict=True)]

    for some_images in _slices(images, images_at_once):
        # 2. Sums over heads of some images' probabilities
        key = scores.key[some_images].float()
        if queries_at_once < queries:  # several products read the transposed keys
            key = key.mT.contiguous().mT
        some = scores.select(some_images)._replace(key=key)
        head_sums = [total[: len(some.query)] for total in sums]
        hidden = some.hidden_queries()
        for some_queries in _slices(queries, queries_at_once):
            for some_heads in _slices(heads, heads_at_once):
                probabilities = _softmax(some.select(ALL, some_heads, some_queries), block_memory)
                if hidden is not None and hidden.shape[1] > 1:  # a mask for each head
                    probabilities.masked_fill_(_select(hidden, ALL, some_heads, some_queries), 0)
                for target, total in zip(targets, head_sums, strict=True):
                    _add_heads(probabilities[..., target.columns], total[:, some_queries], some_heads.start == 0)
                del probabilities  # on a GPU, the next block takes its memory

        # 3. Into the running maps
        for target, total in zip(targets, head_sums, strict=True):
            if hidden is not None and hidden.shape[1] == 1:  # one mask for all heads: cheaper here, in their sum
                total.masked_fill_(hidden[:, 0], 0)
            peak = total.amax(1 if target.per_column else (1, 2), keepdim=True)
            finite += peak.sum()
            if normalize:  # the number of heads cancels out
                target.running_map[some_images].addcdiv_(total, peak.clamp_min_(torch.finfo(torch.float32).tiny))
            else:
                target.running_map[some_images].add_(total, alpha=1 / heads)


def _block_shape(scores: Scores) -> tuple[int, int, int]:
    """(images, heads, queries): how many of each a block of at most BLOCK_BYTES takes. It has several heads only if all
    their queries fit, and several images only if all their heads fit."""
    images, heads, queries, _ = scores.query.shape
    keys = scores.key.shape[2]
    limit = BLOCK_BYTES.get(scores.query.device.type, BLOCK_BYTES["cuda"]) // torch.float32.itemsize
    queries_at_once = max(1, min(queries, limit // keys))
    heads_at_once = max(1, min(heads, limit // (queries_at_once * keys)))
    images_at_once = max(1, min(images, limit // (heads * queries * keys)))
    return images_at_once, heads_at_once, queries_at_once


def _softmax(scores: Scores, memory: torch.Tensor) -> torch.Tensor:
    """The softmax of the scores, (B, H, N, T) float32. memory: (at least B·H·N·T,) float32. The scores are computed in
    it, and on a CPU the softmax, too, because one block fits its cache."""
    query, key, scale, bias = scores
    shape = (*query.shape[:3], key.shape[2])
    block = memory[: math.prod(shape)].view(shape)
    if not query.is_cpu:
        block.zero_()  # Metal multiplies the block's old values by beta = 0, and NaN · 0 is NaN
    product = (query.float().flatten(0, 1), key.mT.flatten(0, 1))
    torch.baddbmm(block.flatten(0, 1), *product, beta=0, alpha=scale, out=block.flatten(0, 1))
    if bias is not None:
        block.add_(bias)
    return torch.softmax(block, -1, out=block if query.is_cpu else None)


def _add_heads(probabilities: torch.Tensor, total: torch.Tensor, is_first: bool) -> None:
    """Add the sum over heads of probabilities (B, H, N, T) to `total` (B, N, T). is_first: these are the first heads,
    so whatever is in `total` is overwritten."""
    if is_first:
        torch.sum(probabilities, 1, out=total)
    elif probabilities.shape[1] == 1:
        total += probabilities[:, 0]
    else:
        total += probabilities.sum(1)


def _slices(count: int, at_once: int) -> list[slice]:
    """Slices of length `at_once` that together cover `count` things; the last slice may end beyond them."""
    return [slice(start, start + at_once) for start in range(0, count, at_once)]


def _select(values: torch.Tensor, images: slice, heads: slice, queries: slice) -> torch.Tensor:
    """Some images, heads and queries of values (B, H or 1, N or 1, …)."""
    if values.shape[1] == 1:
        heads = ALL
    if values.shape[2] == 1:
        queries = ALL
    return values[images, heads, queries]


BLOCK_BYTES = {"cpu": 2 << 20, "mps": 32 << 20, "cuda": 64 << 20}
"""Maximum bytes of a block of scores: on a CPU it must fit the cache, on a GPU it must keep the card busy."""

SCRATCH_BYTES = 128 << 20
"""Maximum bytes that `Scratch` keeps. Larger memory is freed after every layer, so that the network can use it."""
