"""Three Triton kernels, which launches.py launches:

    log_sum_exps    log₂ Σ_t exp(score) of each query, over all columns of a softmax
    head_means      the mean over heads of exp(score − log-sum-exp), for the columns of one target
    add_divided     adds a mean, divided by its maximum, to a running map

The N × T scores of a head are never stored. With TRITON_INTERPRET=1, set before the import, the kernels run on a CPU.

A target is some of the columns with a running map, such as the picture's columns in a joint layer. Exponents have base
2, for which GPUs have an instruction, so scores are multiplied by log₂ e. Strides of heads are in units of UNIT
numbers. If UNIT is 8 and the number of channels is known, the compiler proves that rows begin at multiples of 16 bytes,
and loads 16 bytes at a time instead of 2.

Shape letters: B images, H heads, N queries, T keys, D channels per head, W columns of a target.
"""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

# The __future__ import turns annotations into strings; Triton reads `tl.constexpr` from these.


@triton.jit
def _states(states, numbers, count, width, row, channel, CHANNELS: tl.constexpr):
    """A tile of queries or keys, (length of `numbers`, CHANNELS): row i is state `numbers[i]`. It is 0 beyond the last
    state and the last channel.

    states: where the states of a head begin. count: their number. width: channels per state. row, channel: strides.
    """
    channels = tl.arange(0, CHANNELS)
    seen = (numbers < count)[:, None] & (channels < width)[None, :]
    return tl.load(states + numbers[:, None] * row + channels[None, :] * channel, mask=seen, other=0.0)


@triton.jit
def _scores(q, k, bias, scale, rows, columns, queries, width, bias_row, bias_column, HAS_BIAS: tl.constexpr):
    """A tile of the scores, log₂ e · (scale · QKᵀ + bias), float32. The argument `scale` includes log₂ e.

    q, k: tiles of queries and keys. bias: where the head's bias begins; it is read if HAS_BIAS. rows, columns: the
    tile's numbers. queries, width: how many of each there are.
    """
    scores = tl.dot(q, tl.trans(k)) * scale
    if HAS_BIAS:
        seen = (rows < queries)[:, None] & (columns < width)[None, :]
        where = bias + rows[:, None] * bias_row + columns[None, :] * bias_column
        scores += tl.load(where, mask=seen, other=0.0).to(tl.float32) * 1.4426950408889634
    return scores


@triton.jit
def log_sum_exps(
    query, key, bias, out, scale, heads, queries, channels: tl.constexpr, query_image, query_head, query_row,
    query_channel, key_image, key_head, key_row, key_channel, bias_image, bias_head, bias_row, bias_column, width,
    HAS_BIAS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    """Write log₂ Σ_t exp(score) to `out` (B, H, N); it is NaN where a score is NaN or +inf. One program handles ROWS
    queries of one head of one image, COLUMNS keys at a time."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    image = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)
    query += image * query_image + head * (query_head * UNIT)
    key += image * key_image + head * (key_head * UNIT)
    bias += image * bias_image + head * bias_head
    q = _states(query, rows, queries, channels, query_row, query_channel, CHANNELS)
    highest = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, width, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        k = _states(key, columns, width, channels, key_row, key_channel, CHANNELS)
        scores = _scores(q, k, bias, scale, rows, columns, queries, width, bias_row, bias_column, HAS_BIAS)
        scores = tl.where((columns < width)[None, :], scores, float("-inf"))
        higher = tl.maximum(highest, tl.max(scores, 1))
        # If all scores of a row are −inf so far, −inf − (−inf) would be NaN.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp2(highest - base) + tl.sum(tl.exp2(scores - base[:, None]), 1)
        highest = higher
    offsets = tl.program_id(1).to(tl.int64) * queries + rows
    tl.store(out + offsets, highest + tl.log2(total), mask=rows < queries)


@triton.jit
def head_means(
    query, key, bias, lses, means, peaks, finite, scale, heads, queries, channels: tl.constexpr, query_image,
    query_head, query_row, query_channel, key_image, key_head, key_row, key_channel, bias_image, bias_head, bias_row,
    bias_column, width, HAS_BIAS: tl.constexpr, NORMALIZE: tl.constexpr, PER_COLUMN: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    """Compute a tile of the mean over heads of exp(score − LSE), for one target. NORMALIZE: write the tile to `means`,
    and its maxima to `peaks`; otherwise add the tile to `means`. One program handles ROWS × COLUMNS of one image.

    key, bias: the keys and the bias of the target's columns. lses: (B, H, N) from `log_sum_exps`, over all columns.
    means: (B, N, W). peaks: the maxima of the means, (B, W) if PER_COLUMN, otherwise (B, 1); 0 at first. The programs'
    order does not matter to a maximum. finite: a number, which becomes NaN if an LSE or a mean is not finite.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    image = tl.program_id(2).to(tl.int64)
    query += image * query_image
    key += image * key_image
    bias += image * bias_image
    lses += image * heads * queries
    mean = tl.zeros((ROWS, COLUMNS), tl.float32)
    unsure = tl.zeros((ROWS,), tl.float32)
    bias_step = tl.cast(bias_head, tl.int64)  # a bias may have more than 2³¹ numbers
    for head in range(heads):
        q = _states(query + head * (query_head * UNIT), rows, queries, channels, query_row, query_channel, CHANNELS)
        k = _states(key + head * (key_head * UNIT), columns, width, channels, key_row, key_channel, CHANNELS)
        own_bias = bias + head * bias_step
        scores = _scores(q, k, own_bias, scale, rows, columns, queries, width, bias_row, bias_column, HAS_BIAS)
        own = tl.load(lses + head * queries + rows, mask=rows < queries, other=0.0)
        if HAS_BIAS:  # a row that sees no column has no attention
            own = tl.where(own == float("-inf"), 0.0, own)
        mean += tl.exp2(scores - own[:, None])
        unsure += 0.0 * own
    inside = (rows < queries)[:, None] & (columns < width)[None, :]
    mean = tl.where(inside, mean / heads, 0.0)
    tl.atomic_add(finite, tl.sum(tl.sum(0.0 * mean, 1) + unsure, 0))
    means += image * queries * width + rows.to(tl.int64)[:, None] * width + columns[None, :]
    if NORMALIZE:
        tl.store(means, mean, mask=inside)
        if PER_COLUMN:
            tl.atomic_max(peaks + image * width + columns, tl.max(mean, 0), mask=columns < width)
        else:
            tl.atomic_max(peaks + image, tl.max(tl.max(mean, 1), 0))
    else:
        tl.store(means, tl.load(means, mask=inside, other=0.0) + mean, mask=inside)


@triton.jit
def add_divided(
    means, total, peaks, queries, width, PER_COLUMN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Add a tile of the means that `head_means` wrote, divided by their maxima, to a running map `total` (B, N, W)."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    image = tl.program_id(2).to(tl.int64)
    inside = (rows < queries)[:, None] & (columns < width)[None, :]
    offsets = image * queries * width + rows.to(tl.int64)[:, None] * width + columns[None, :]
    if PER_COLUMN:
        peak = tl.load(peaks + image * width + columns, mask=columns < width, other=1.0)[None, :]
    else:
        peak = tl.load(peaks + image)
    added = tl.load(means + offsets, mask=inside, other=0.0) / tl.maximum(peak, 1.1754943508222875e-38)
    tl.store(total + offsets, tl.load(total + offsets, mask=inside, other=0.0) + added, mask=inside)
