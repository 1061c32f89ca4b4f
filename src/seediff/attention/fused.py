"""`add_probabilities` on a GPU: scores are recomputed in tiles and never stored (`kernels.py`).

Queries and keys are multiplied for the means, and once more for the log-sum-exps if these are not given. A normalised
mean needs its maximum before it can be added, so it is first written to memory of its own. At batch 1 a GPU waits for
the host, so each call starts as few operations as it can. The allocator gives all layers' calls the same memory, and a
recorded graph keeps it.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch

from ..errors import Notice, first_line
from .probabilities import Part, add_probabilities

LOG2_E = math.log2(math.e)
LARGEST_WIDTH = 256
"""Maximum channels per head that fit a tile."""


class Blocks(NamedTuple):
    """The sizes of a tile."""

    rows: int
    """The number of queries."""
    columns: int
    """The number of keys."""
    warps: int
    """The number of warps that work on the tile."""
    stages: int = 2
    """The number of key tiles that are loaded at once."""

    def memory(self, width: int, itemsize: int) -> int:
        """Bytes that the tile's queries and keys take, for heads with `width` channels of `itemsize` bytes."""
        return (self.rows + self.stages * self.columns) * width * itemsize


TILES_OF_HOPPER = [(64, Blocks(64, 128, 4, 3)), (128, Blocks(128, 64, 4, 2))]
"""The most channels of a head → the fastest of eight tiles on an H200 in half precision (benchmarks/gpu.py)."""
TILES = [Blocks(*tile) for tile in ((128, 128, 8), (128, 64, 4), (64, 64, 4), (64, 32, 4), (32, 32, 2), (16, 16, 1))]
"""Tiles, the largest first."""
ADDED_ROWS = 32
"""Rows of a tile that is only read and added: larger ones take longer to compile than to run."""
OLDEST = (8, 0)
"""The first capability whose tensor cores Triton uses: without them, plain torch is several times as fast."""
SPARE_OF_HOPPER = 1.7
"""Maximum memory of a compiled tile on cards with wgmma (capabilities 9 and 10), as a multiple of the bytes of its
queries and keys: at most 1.5 was measured. Other cards take less than these bytes."""
SWITCH = "SEEDIFF_FUSED"
"""Environment variable: with 0, plain torch is used instead of the kernels."""


class Card(NamedTuple):
    """What decides which tiles a GPU can work on."""

    capability: tuple[int, int]
    shared: int
    """The most bytes of shared memory that a block may have."""


def choose_blocks(width: int, itemsize: int, card: Card) -> list[Blocks]:
    """The tiles that fit a card's memory, the best first, for heads with `width` channels (a power of two) of
    `itemsize` bytes each. float32 uses no tensor cores, and tiles larger than 64 × 64 would spill registers."""
    hopper = card.capability[0] in (9, 10)
    spare = SPARE_OF_HOPPER if hopper else 1.0
    found = [tile for most, tile in TILES_OF_HOPPER if hopper and width <= most][:1]
    found += [tile for tile in TILES if spare * tile.memory(width, itemsize) <= card.shared]
    return [tile for tile in found if itemsize < 4 or tile.rows * tile.columns <= 64 * 64] or TILES[-1:]


@lru_cache
def runs_kernels(device: torch.device) -> bool:
    """Whether Triton can compile and run the kernels on a device, tried once on a small map. Without a C compiler,
    Python's headers or a working driver it cannot: one warning says so, and plain torch computes the same maps. Nothing
    is said where Triton is not installed, and on cards before `OLDEST`."""
    if find_spec("triton") is None or (torch.version.hip is None and card_of(device).capability < OLDEST):
        return False
    query = torch.zeros(1, 1, 16, 16, dtype=torch.float16, device=device)
    try:
        with torch.cuda.device_of(query):
            total, finite = (query.new_zeros(shape, dtype=torch.float32) for shape in ((1, 16, 16), ()))
            _add(tiles_of(query)[0], [Part(total)], query, query, 1.0, normalize=True, finite=finite)
            torch.cuda.synchronize()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # Triton, the compiler and the driver raise errors of many kinds
        text = f"Triton's kernels do not run on {device} ({first_line(error)}); plain torch captures attention"
        warnings.warn(text, Notice, stacklevel=2)
        return False
    return True


def can_fuse(query: torch.Tensor) -> bool:
    """Whether the kernels support queries (B, H, N, D)."""
    return (
        os.environ.get(SWITCH) != "0"
        and query.device.type == "cuda"
        and query.shape[3] <= LARGEST_WIDTH
        and query.dtype != torch.float64
        and runs_kernels(query.device)
    )


class KernelPart(NamedTuple):
    """A part as the kernels are given it."""

    first: int
    """Its first column."""
    width: int
    """Its number of columns."""
    step: int
    """How far its maxima are apart: 0 if there is one, 1 if each column has its own."""


def add_probabilities_fused(
    parts: Sequence[Part],
    query: torch.Tensor,
    key: torch.Tensor,
    scale: float,
    bias: torch.Tensor | None = None,
    sums: torch.Tensor | None = None,
    *,
    normalize: bool,
    finite: torch.Tensor,
) -> None:
    """Do what `add_probabilities` does, up to float32 rounding, for one or two parts. Running maps must be contiguous.
    sums: (B, H, N) log-sum-exps of the scores; None: the kernels compute them. A tile that a card refuses is not tried
    again; if the card refuses all tiles, plain torch computes."""
    tiles = tiles_of(query)  # the cached list: a tile that is taken from it stays away
    while tiles:
        try:
            return _add(tiles[0], parts, query, key, scale, bias, sums, normalize=normalize, finite=finite)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of many kinds, before any kernel has changed a running map
            tiles.pop(0)
            if not tiles:
                text = f"Triton's kernels do not run for heads of {query.shape[3]} channels ({first_line(error)})"
                warnings.warn(f"{text}; plain torch captures them", Notice, stacklevel=2)
    add_probabilities(parts, query, key, scale, bias, normalize=normalize, finite=finite)


def tiles_of(query: torch.Tensor) -> list[Blocks]:
    """The tiles for queries (B, H, N, D) that the card has not refused."""
    return _tiles(query.dtype, query.device, query.shape[3])


@lru_cache
def _tiles(dtype: torch.dtype, device: torch.device, width: int) -> list[Blocks]:
    return choose_blocks(_padded(width), dtype.itemsize, card_of(device))


def _padded(width: int) -> int:
    """How many channels a tile has for a head with `width` channels: a power of two."""
    return max(16, 1 << (width - 1).bit_length())


def _add(
    tile: Blocks,
    parts: Sequence[Part],
    query: torch.Tensor,
    key: torch.Tensor,
    scale: float,
    bias: torch.Tensor | None = None,
    sums: torch.Tensor | None = None,
    *,
    normalize: bool,
    finite: torch.Tensor,
) -> None:
    """Do what `add_probabilities_fused` does, with one tile."""
    kernels: Any = import_module(f"{__package__}.kernels")  # late: it imports Triton
    rows, columns = tile.rows, tile.columns
    constants: dict[str, Any] = {"ROWS": rows, "COLUMNS": columns, "CHANNELS": _padded(query.shape[3])}
    constants |= {"EXACT": query.dtype == torch.float32, "HAS_BIAS": bias is not None}
    constants |= {"num_warps": tile.warps, "num_stages": tile.stages}
    images, heads, queries, channels = query.shape
    keys = key.shape[2]
    row_tiles = -(-queries // rows)
    biases, strides = query, (0, 0, 0, 0)  # without a bias, any tensor
    if bias is not None:
        biases = bias.expand(images, heads, queries, keys)  # no copy
        strides = biases.stride()
    unit = 8 if query.stride(1) % 8 == key.stride(1) % 8 == 0 else 1
    constants["UNIT"] = unit
    of_query, of_key = ((states.stride(0), states.stride(1) // unit, *states.stride()[2:]) for states in (query, key))
    sizes = (heads, queries, channels, *of_query, *of_key, *strides)

    # 1. Log-sum-exps: given ones are natural, ours of base 2
    base = LOG2_E
    if sums is not None:
        sums = sums.contiguous()
    else:
        sums, base = query.new_empty(images, heads, queries, dtype=torch.float32), 1.0
        launch = kernels.log_sum_exps[row_tiles, images * heads]
        launch(query, key, biases, sums, scale * LOG2_E, *sizes, keys, **constants)

    # 2. The means, into the running maps; if they are normalised, into memory of their own, with their maxima
    kernel_parts: list[KernelPart] = []
    for part in parts:
        first, last, _ = part.columns.indices(keys)
        kernel_parts.append(KernelPart(first, last - first, int(part.per_column)))
    one, two = kernel_parts[0], kernel_parts[-1]  # the same if there is one part
    column_tiles = [-(-part.width // columns) for part in kernel_parts]
    maxima = [1 + part.step * (part.width - 1) for part in kernel_parts]
    totals = [part.total for part in parts]
    written, peaks = totals, finite
    if normalize:
        written = [torch.empty_like(total) for total in totals]
        peaks = query.new_zeros(images, sum(maxima), dtype=torch.float32)
    layout = (column_tiles[0], maxima[0], sum(maxima))
    given = (query, key, biases, sums, written[0], written[-1], peaks, finite, scale * LOG2_E, base)
    launch = kernels.head_means[row_tiles, sum(column_tiles), images]
    launch(*given, *sizes, *one, *two, *layout, NORMALIZE=normalize, **constants)

    # 3. The sum of running maps and normalised means
    if normalize:
        given = (written[0], written[-1], totals[0], totals[-1], peaks, queries)
        rows = min(rows, ADDED_ROWS)
        launch = kernels.add_divided[-(-queries // rows), sum(column_tiles), images]
        launch(*given, *one[1:], *two[1:], *layout, ROWS=rows, COLUMNS=columns)


@lru_cache
def card_of(device: torch.device) -> Card:
    """The card of a device. A CPU, which interprets the kernels, has the values of some card."""
    if device.type != "cuda":
        return Card((8, 0), 96 << 10)
    properties = torch.cuda.get_device_properties(device)
    sizes = (getattr(properties, f"shared_memory_per_block{suffix}", 0) for suffix in ("_optin", ""))
    return Card((properties.major, properties.minor), next((int(size) for size in sizes if size), 48 << 10))
