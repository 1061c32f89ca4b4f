"""Two Triton kernels: one computes log-sum-exps of scores, the other recomputes probabilities from them tile by tile
and averages them over heads.

The N × T scores of a head are never stored, and the mean of their probabilities over heads only in the running map.
`fused.py` calls the kernels and imports them only if Triton is installed. With TRITON_INTERPRET=1, set before the
import, they run on a CPU.

Shape letters: B images, H heads, N queries, T keys, D channels per head, W columns of a part.
"""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

# The __future__ import turns annotations into strings; Triton reads `tl.constexpr` from these.


@triton.jit
def _scores(
    query, key, bias, scale, rows, columns, queries, keys, width, query_row, query_channel, key_row, key_channel,
    bias_row, bias_column, HAS_BIAS: tl.constexpr, CHANNELS: tl.constexpr, EXACT: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """A tile of the scores scale · QKᵀ + bias, float32; −inf beyond the last key. EXACT: multiply float32 in full
    precision, not as TF32. WIDEN: convert queries and keys to float32 first."""
    channels = tl.arange(0, CHANNELS)
    inside = channels < width
    q = tl.load(
        query + rows[:, None] * query_row + channels[None, :] * query_channel,
        mask=(rows < queries)[:, None] & inside[None, :],
        other=0.0,
    )
    k = tl.load(
        key + columns[:, None] * key_row + channels[None, :] * key_channel,
        mask=(columns < keys)[:, None] & inside[None, :],
        other=0.0,
    )
    if WIDEN:
        q, k = q.to(tl.float32), k.to(tl.float32)
    scores = tl.dot(q, tl.trans(k), input_precision="ieee" if EXACT else "tf32") * scale
    if HAS_BIAS:
        seen = (rows < queries)[:, None] & (columns < keys)[None, :]
        where = bias + rows[:, None] * bias_row + columns[None, :] * bias_column
        scores += tl.load(where, mask=seen, other=0.0).to(tl.float32)
    return tl.where((columns < keys)[None, :], scores, float("-inf"))


@triton.jit
def log_sum_exps(
    query, key, bias, found, finite, scale, heads, queries, keys, width, query_image, query_head, query_row,
    query_channel, key_image, key_head, key_row, key_channel, bias_image, bias_head, bias_row, bias_column, HAS_BIAS:
    tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, EXACT: tl.constexpr, WIDEN:
    tl.constexpr,
):  # fmt: skip
    """Write log Σ_t exp(score) to `found` (B, H, N); NaN where a score is NaN or +inf, and then `finite`, a number that
    was 0, becomes NaN. One program handles ROWS queries of one head of one image."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    image = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)
    query += image * query_image + head * query_head
    key += image * key_image + head * key_head
    bias += image * bias_image + head * bias_head
    highest = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, keys, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        scores = _scores(
            query, key, bias, scale, rows, columns, queries, keys, width, query_row, query_channel, key_row,
            key_channel, bias_row,
            bias_column, HAS_BIAS, CHANNELS, EXACT, WIDEN,
        )  # fmt: skip
        higher = tl.maximum(highest, tl.max(scores, 1))
        # of rows whose scores are all −inf so far, −inf − (−inf) would be NaN
        base = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(highest - base) + tl.sum(tl.exp(scores - base[:, None]), 1)
        highest = higher
    sums = highest + tl.log(total)
    tl.store(found + (image * heads + head) * queries + rows, sums, mask=rows < queries)
    tl.atomic_add(finite, tl.sum(tl.where(rows < queries, 0.0 * sums, 0.0), 0))


@triton.jit
def head_means(
    query, key, bias, sums, total, peaks, scale, heads, queries, keys, width, query_image, query_head, query_row,
    query_channel, key_image, key_head, key_row, key_channel, bias_image, bias_head, bias_row, bias_column,
    total_image, total_row, total_column, peak_image, peak_column, HAS_BIAS: tl.constexpr, FIND: tl.constexpr, DIVIDE:
    tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, EXACT: tl.constexpr, WIDEN:
    tl.constexpr,
):  # fmt: skip
    """Compute a tile of the mean over heads of exp(score − sums). FIND: write its maxima to `peaks`; otherwise add
    it to `total`, with DIVIDE after dividing it by `peaks`. One program handles ROWS × COLUMNS of one image.

    keys: the number of columns of this part, W. sums: (B, H, N). peaks: (B, 1) or (B, W), 0 at first; the programs'
    order does not matter to a maximum.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    image = tl.program_id(2).to(tl.int64)
    query += image * query_image
    key += image * key_image
    bias += image * bias_image
    sums += image * heads * queries
    mean = tl.zeros((ROWS, COLUMNS), tl.float32)
    for head in range(heads):
        scores = _scores(
            query + head * query_head, key + head * key_head, bias + head * bias_head, scale, rows, columns, queries,
            keys, width,
            query_row, query_channel, key_row, key_channel, bias_row, bias_column, HAS_BIAS, CHANNELS, EXACT, WIDEN,
        )  # fmt: skip
        mean += tl.exp(scores - tl.load(sums + head * queries + rows, mask=rows < queries, other=0.0)[:, None])
    inside = (rows < queries)[:, None] & (columns < keys)[None, :]
    mean = tl.where(inside, mean / heads, 0.0)
    if FIND:
        where = peaks + image * peak_image + columns * peak_column
        if peak_column == 0:
            tl.atomic_max(peaks + image * peak_image, tl.max(tl.max(mean, 1), 0))
        else:
            tl.atomic_max(where, tl.max(mean, 0), mask=columns < keys)
    else:
        if DIVIDE:
            peak = tl.load(peaks + image * peak_image + columns * peak_column, mask=columns < keys, other=1.0)
            mean = mean / tl.maximum(peak, 1.1754943508222875e-38)[None, :]
        place = total + image * total_image + rows.to(tl.int64)[:, None] * total_row + columns[None, :] * total_column
        tl.store(place, tl.load(place, mask=inside, other=0.0) + mean, mask=inside)
