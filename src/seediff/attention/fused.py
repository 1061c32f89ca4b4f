"""`add_probabilities` on a GPU: scores are recomputed in tiles and never stored (`kernels.py`).

Queries and keys are read for the log-sum-exps, for normalised maps the maxima, and the maps. At batch 1 a GPU waits for
the host, so each call starts as few operations as it can.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch

from ..errors import Notice, first_line
from .probabilities import Part, Scratch, add_probabilities

LARGEST_WIDTH = 256
"""Maximum channels per head that fit a tile."""


class Blocks(NamedTuple):
    """A tile: its number of queries and keys, and the number of warps that work on it."""

    rows: int
    columns: int
    warps: int


TILES = [Blocks(*tile) for tile in ((128, 128, 8), (128, 64, 4), (64, 64, 4), (64, 32, 4), (32, 32, 2), (16, 16, 1))]
"""Tiles, the largest first; the first that fits is used."""
STAGES = 2
"""Number of key tiles in flight at a time."""
SPARE, SPARE_OF_RTX = 1.7, 1.0
"""Maximum memory of a compiled tile, as a multiple of the bytes of its queries and keys: at most 1.5 was measured for
capabilities 7.5 to 9.0, and 0.8 for 8.9 and 12.0."""
RTX = 99 << 10
"""Bytes of memory per block of RTX 30, 40 and 50."""
SWITCH = "SEEDIFF_FUSED"
"""Environment variable: with 0, plain torch is used instead of the kernels."""


def choose_blocks(width: int, itemsize: int, shared: int) -> Blocks:
    """The tile for heads with `width` channels (a power of two) of `itemsize` bytes each, on a device with `shared`
    bytes of memory per block. float32 uses no tensor cores: tiles larger than 64 × 64 would spill registers.
    """
    spare = SPARE_OF_RTX if shared == RTX else SPARE
    for tile in TILES:
        needed = (tile.rows + STAGES * tile.columns) * width * itemsize
        if spare * needed <= shared and (itemsize < 4 or tile.rows * tile.columns <= 64 * 64):
            return tile
    return TILES[-1]


@lru_cache
def has_triton() -> bool:
    return find_spec("triton") is not None


@lru_cache
def runs_kernels(device: torch.device) -> bool:
    """Whether Triton can compile and run the kernels on a device, tried once on a small map. Without a C compiler,
    Python's headers or a recent card it cannot: one warning says so, and plain torch computes the same maps."""
    query = torch.zeros(1, 1, 16, 16, dtype=torch.float16, device=device)
    try:
        with torch.cuda.device_of(query):
            total, finite = (query.new_zeros(shape, dtype=torch.float32) for shape in ((1, 16, 16), ()))
            add_probabilities_fused([Part(total)], query, query, 1.0, normalize=True, finite=finite)
            torch.cuda.synchronize()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # Triton, the compiler and the driver raise errors of many kinds
        why = first_line(error)
        said = f"Triton's kernels do not run on {device} ({why}); plain torch captures attention"
        warnings.warn(said, Notice, stacklevel=2)
        return False
    return True


def add_fast(
    parts: Sequence[Part],
    query: torch.Tensor,
    key: torch.Tensor,
    scale: float,
    bias: torch.Tensor | None = None,
    *,
    normalize: bool,
    finite: torch.Tensor,
    scratch: Scratch | None = None,
) -> None:
    """`add_probabilities` with the kernels if possible, otherwise with plain torch."""
    if can_fuse(query):
        with torch.cuda.device_of(query):  # Triton launches on the current device
            add_probabilities_fused(parts, query, key, scale, bias, normalize=normalize, finite=finite)
    else:
        add_probabilities(parts, query, key, scale, bias, normalize=normalize, finite=finite, scratch=scratch)


def can_fuse(query: torch.Tensor) -> bool:
    """Whether the kernels support queries (B, H, N, D)."""
    return (
        os.environ.get(SWITCH) != "0"
        and query.device.type == "cuda"
        and query.shape[3] <= LARGEST_WIDTH
        and query.dtype != torch.float64
        and has_triton()
        and runs_kernels(query.device)
    )


def add_probabilities_fused(
    parts: Sequence[Part],
    query: torch.Tensor,
    key: torch.Tensor,
    scale: float,
    bias: torch.Tensor | None = None,
    *,
    normalize: bool,
    finite: torch.Tensor,
) -> None:
    """Same as `add_probabilities`, up to float32 rounding."""
    kernels: Any = import_module(f"{__package__}.kernels")  # late: it imports Triton
    images, heads, queries, width = query.shape
    channels = max(16, 1 << (width - 1).bit_length())
    tile = choose_blocks(channels, query.element_size(), _shared_memory(query.device))
    # Triton's interpreter multiplies the bits of bfloat16 as if they were whole numbers.
    widen = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    constants: dict[str, Any] = {"ROWS": tile.rows, "COLUMNS": tile.columns, "CHANNELS": channels}
    constants |= {"EXACT": widen or query.dtype == torch.float32, "WIDEN": widen}
    constants |= {"HAS_BIAS": bias is not None, "num_warps": tile.warps, "num_stages": STAGES}
    rows = -(-queries // tile.rows)

    def about(keys: torch.Tensor, biases: torch.Tensor | None) -> tuple[Any, tuple[Any, ...]]:
        """The bias expanded to the whole shape, without a copy (any tensor if there is none), and what both kernels are
        told of sizes and strides."""
        columns = keys.shape[2]
        strides = (0,) * 4 if biases is None else biases.expand(images, heads, queries, columns).stride()
        sizes = (scale, heads, queries, columns, width, *query.stride(), *keys.stride(), *strides)
        return query if biases is None else biases, sizes

    def sums_of(keys: torch.Tensor, part_bias: torch.Tensor | None) -> torch.Tensor:
        sums = query.new_empty(images, heads, queries, dtype=torch.float32)
        biases, sizes = about(keys, part_bias)
        kernels.log_sum_exps[rows, images * heads](query, keys, biases, sums, finite, *sizes, **constants)
        return sums

    whole = None
    for part in parts:
        keys, part_bias = key[:, :, part.columns], None if bias is None else bias[..., part.columns]
        if part.alone:
            sums = sums_of(keys, part_bias)
        else:
            sums = whole = sums_of(key, bias) if whole is None else whole
        columns = keys.shape[2]
        biases, sizes = about(keys, part_bias)
        peaks, step = (columns, 1) if part.per_column else (1, 0)
        highest = query.new_zeros(images, peaks, dtype=torch.float32) if normalize else finite
        given = (query, keys, biases, sums, part.total, highest, *sizes, *part.total.stride(), peaks, step)
        launch = kernels.head_means[rows, -(-columns // tile.columns), images]
        if normalize:
            launch(*given, FIND=True, DIVIDE=False, **constants)
        launch(*given, FIND=False, DIVIDE=normalize, **constants)


@lru_cache
def _shared_memory(device: torch.device) -> int:
    """Maximum bytes of shared memory per block."""
    if device.type != "cuda":
        return 96 << 10
    properties = torch.cuda.get_device_properties(device)
    sizes = (getattr(properties, f"shared_memory_per_block{suffix}", 0) for suffix in ("_optin", ""))
    return next((int(size) for size in sizes if size), 48 << 10)
