"""Three Triton kernels. They compute the log-sum-exps of scores; the mean over heads of the probabilities, tile by tile
from these sums; and the sum of a running map and a mean that is divided by its maximum.

The N × T scores of a head are never stored. `fused.py` calls the kernels and imports them only if Triton is installed.
With TRITON_INTERPRET=1, set before the import, they run on a CPU.

One launch covers one or two parts of a softmax, such as the picture's and the text's columns of a joint layer. A part
has a first column and a width; its tiles follow the tiles of the part before. Exponents have base 2, for which GPUs
have an instruction: scores are multiplied by log₂ e. Strides of heads are in units of UNIT numbers. If UNIT is 8 and
the number of channels is known, the compiler proves that rows begin at multiples of 16 bytes, and loads 16 bytes at a
time instead of 2.

Shape letters: B images, H heads, N queries, T keys, D channels per head, W columns of a part.
"""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

# The __future__ import turns annotations into strings; Triton reads `tl.constexpr` from these.


@triton.jit
def _states(states, numbers, count, width, row, channel, CHANNELS: tl.constexpr):
    """A tile of queries or keys, with 0 beyond the last of them and beyond the last channel."""
    channels = tl.arange(0, CHANNELS)
    seen = (numbers < count)[:, None] & (channels < width)[None, :]
    return tl.load(states + numbers[:, None] * row + channels[None, :] * channel, mask=seen, other=0.0)


@triton.jit
def _scores(
    q, k, bias, scale, rows, columns, queries, width, bias_row, bias_column, HAS_BIAS: tl.constexpr, EXACT: tl.constexpr
):
    """A tile of the scores log₂ e · (QKᵀ + bias), float32; `scale` includes log₂ e. EXACT: multiply float32 in full
    precision, not as TF32."""
    scores = tl.dot(q, tl.trans(k), input_precision="ieee" if EXACT else "tf32") * scale
    if HAS_BIAS:
        seen = (rows < queries)[:, None] & (columns < width)[None, :]
        where = bias + rows[:, None] * bias_row + columns[None, :] * bias_column
        scores += tl.load(where, mask=seen, other=0.0).to(tl.float32) * 1.4426950408889634
    return scores


@triton.jit
def log_sum_exps(
    query, key, bias, out, scale, heads, queries, channels: tl.constexpr, query_image, query_head, query_row,
    query_channel, key_image, key_head, key_row, key_channel, bias_image, bias_head, bias_row, bias_column, keys,
    HAS_BIAS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, EXACT: tl.constexpr,
    UNIT: tl.constexpr,
):  # fmt: skip
    """Write log₂ Σ_t exp(score) to `out` (B, H, N); NaN where a score is NaN or +inf. One program handles ROWS queries
    of one head of one image."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    image = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)
    query += image * query_image + head * (query_head * UNIT)
    key += image * key_image + head * (key_head * UNIT)
    bias += image * bias_image + head * bias_head
    q = _states(query, rows, queries, channels, query_row, query_channel, CHANNELS)
    highest = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, keys, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        k = _states(key, columns, keys, channels, key_row, key_channel, CHANNELS)
        scores = _scores(q, k, bias, scale, rows, columns, queries, keys, bias_row, bias_column, HAS_BIAS, EXACT)
        scores = tl.where((columns < keys)[None, :], scores, float("-inf"))
        higher = tl.maximum(highest, tl.max(scores, 1))
        # of rows whose scores are all −inf so far, −inf − (−inf) would be NaN
        base = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp2(highest - base) + tl.sum(tl.exp2(scores - base[:, None]), 1)
        highest = higher
    place = tl.program_id(1).to(tl.int64) * queries + rows
    tl.store(out + place, highest + tl.log2(total), mask=rows < queries)


@triton.jit
def head_means(
    query, key, bias, sums, means_0, means_1, peaks, finite, scale, base, heads, queries, channels: tl.constexpr,
    query_image, query_head, query_row, query_channel, key_image, key_head, key_row, key_channel, bias_image,
    bias_head, bias_row, bias_column, first_0, width_0, step_0, first_1, width_1, step_1, tiles_0, peak_1, peak_image,
    HAS_BIAS: tl.constexpr, NORMALIZE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
    EXACT: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    """Compute a tile of the mean over heads of exp(score − sums). NORMALIZE: write the tile to its part's means, and
    its maxima to `peaks`; otherwise add the tile to the means. `finite`, a number, becomes NaN if a sum or a mean is
    not finite. One program handles ROWS × COLUMNS of one part of one image.

    sums: (B, H, N); times `base` they are of base 2. means_0, means_1: (B, N, W) of each part. peaks: (B, maxima of
    both parts), 0 at first; the second part's begin at peak_1; a part has one (step 0) or one per column (step 1). The
    programs' order does not matter to a maximum.
    """
    second = tl.program_id(1) >= tiles_0
    first = first_1 if second else first_0
    width = width_1 if second else width_0
    means = means_1 if second else means_0
    step = step_1 if second else step_0
    tile = tl.program_id(1) - (tiles_0 if second else 0)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tile * COLUMNS + tl.arange(0, COLUMNS)
    image = tl.program_id(2).to(tl.int64)
    query += image * query_image
    key += image * key_image + first.to(tl.int64) * key_row
    bias += image * bias_image + first.to(tl.int64) * bias_column
    sums += image * heads * queries
    mean = tl.zeros((ROWS, COLUMNS), tl.float32)
    unsure = tl.zeros((ROWS,), tl.float32)
    for head in range(heads):
        q = _states(query + head * (query_head * UNIT), rows, queries, channels, query_row, query_channel, CHANNELS)
        k = _states(key + head * (key_head * UNIT), columns, width, channels, key_row, key_channel, CHANNELS)
        scores = _scores(
            q, k, bias + head * bias_head, scale, rows, columns, queries, width, bias_row, bias_column, HAS_BIAS, EXACT
        )
        own = tl.load(sums + head * queries + rows, mask=rows < queries, other=0.0) * base
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
        peaks += image * peak_image + (peak_1 if second else 0)
        if step == 0:
            tl.atomic_max(peaks, tl.max(tl.max(mean, 1), 0))
        else:
            tl.atomic_max(peaks + columns, tl.max(mean, 0), mask=columns < width)
    else:
        tl.store(means, tl.load(means, mask=inside, other=0.0) + mean, mask=inside)


@triton.jit
def add_divided(
    mean_0, mean_1, total_0, total_1, peaks, queries, width_0, step_0, width_1, step_1, tiles_0, peak_1, peak_image,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Add a tile of the means that `head_means` wrote, divided by their maxima, to the running maps (B, N, W)."""
    second = tl.program_id(1) >= tiles_0
    width = width_1 if second else width_0
    step = step_1 if second else step_0
    mean = mean_1 if second else mean_0
    total = total_1 if second else total_0
    tile = tl.program_id(1) - (tiles_0 if second else 0)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tile * COLUMNS + tl.arange(0, COLUMNS)
    image = tl.program_id(2).to(tl.int64)
    inside = (rows < queries)[:, None] & (columns < width)[None, :]
    place = image * queries * width + rows.to(tl.int64)[:, None] * width + columns[None, :]
    peaks += image * peak_image + (peak_1 if second else 0) + columns * step
    peak = tl.maximum(tl.load(peaks, mask=columns < width, other=1.0), 1.1754943508222875e-38)
    added = tl.load(mean + place, mask=inside, other=0.0) / peak[None, :]
    tl.store(total + place, tl.load(total + place, mask=inside, other=0.0) + added, mask=inside)
