"""`add_probabilities` on a GPU: scores are recomputed in tiles and never stored (`kernels.py`).

Queries and keys are multiplied twice, for the log-sum-exps and for the means. A normalised mean needs its maximum
before it can be added, so it is written beside the running map first. At batch 1 a GPU waits for the host, so each call
starts as few operations as it can. A call's memory is the allocator's: all layers get the same, and a recorded graph
keeps it.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch.nn.attention import SDPBackend

from ..errors import Notice, first_line
from .probabilities import Part

LOG2_E = math.log2(math.e)
LARGEST_WIDTH = 256
"""Maximum channels per head that fit a tile."""


class Blocks(NamedTuple):
    """A tile: its number of queries and keys, the number of warps that work on it, and of key tiles in flight."""

    rows: int
    columns: int
    warps: int
    stages: int = 2

    def memory(self, width: int, itemsize: int) -> int:
        """Bytes of its queries and keys, for heads with `width` channels of `itemsize` bytes."""
        return (self.rows + self.stages * self.columns) * width * itemsize


TILES = [Blocks(*tile) for tile in ((128, 128, 8), (128, 64, 4), (64, 64, 4), (64, 32, 4), (32, 32, 2), (16, 16, 1))]
"""Tiles, the largest first; the first that fits is used."""
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
    """A GPU's capability, and the most bytes of shared memory that a block may have."""

    capability: tuple[int, int]
    shared: int


def choose_blocks(width: int, itemsize: int, card: Card) -> Blocks:
    """The tile for heads with `width` channels (a power of two) of `itemsize` bytes each. float32 uses no tensor cores:
    tiles larger than 64 × 64 would spill registers."""
    spare = SPARE_OF_HOPPER if card.capability[0] in (9, 10) else 1.0
    for tile in TILES:
        fits = spare * tile.memory(width, itemsize) <= card.shared
        if fits and (itemsize < 4 or tile.rows * tile.columns <= 64 * 64):
            return tile
    return TILES[-1]


@lru_cache
def runs_kernels(device: torch.device) -> bool:
    """Whether Triton can compile and run the kernels on a device, tried once on a small map. Without a C compiler,
    Python's headers or a working driver it cannot: one warning says so, and plain torch computes the same maps. It
    does so without a word where Triton is not installed, and on cards before `OLDEST`."""
    if find_spec("triton") is None or (torch.version.hip is None and card_of(device).capability < OLDEST):
        return False
    query = torch.zeros(1, 1, 16, 16, dtype=torch.float16, device=device)
    try:
        with torch.cuda.device_of(query):
            total, finite = (query.new_zeros(shape, dtype=torch.float32) for shape in ((1, 16, 16), ()))
            add_probabilities_fused([Part(total)], query, query, 1.0, normalize=True, finite=finite)
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


class Place(NamedTuple):
    """A part as the kernels see it: its first column, its number of columns, and how far its maxima are apart: 0 if
    there is one, 1 if each column has its own."""

    first: int
    width: int
    step: int


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
    """Same as `add_probabilities`, up to float32 rounding, for one or two parts. Running maps are contiguous."""
    kernels, rows, columns, constants = _prepared(query.dtype, query.device, query.shape[3], bias is not None)
    images, heads, queries, channels = query.shape
    keys = key.shape[2]
    row_tiles = -(-queries // rows)
    biases, strides = query, (0, 0, 0, 0)  # any tensor if there is none
    if bias is not None:
        biases = bias.expand(images, heads, queries, keys)  # no copy
        strides = biases.stride()
    unit = 8 if query.stride(1) % 8 == key.stride(1) % 8 == 0 else 1
    constants = {**constants, "UNIT": unit}
    of_query, of_key = ((states.stride(0), states.stride(1) // unit, *states.stride()[2:]) for states in (query, key))
    sizes = (heads, queries, channels, *of_query, *of_key, *strides)

    # 1. Log-sum-exps
    def own_sums() -> torch.Tensor:
        """Of base 2, (B, H, N)."""
        found = query.new_empty(images, heads, queries, dtype=torch.float32)
        launch = kernels.log_sum_exps[row_tiles, images * heads]
        launch(query, key, biases, found, scale * LOG2_E, *sizes, keys, **constants)
        return found

    sums, base = None, LOG2_E
    if bias is None:
        sums = library_sums(query, key, scale, lambda: own_sums() / LOG2_E)
    if sums is None:
        sums, base = own_sums(), 1.0

    # 2. The means, into the running maps or, with their maxima, beside them
    places: list[Place] = []
    for part in parts:
        first, last, _ = part.columns.indices(keys)
        places.append(Place(first, last - first, int(part.per_column)))
    one, two = places[0], places[-1]  # the same if there is one part
    tiles = [-(-place.width // columns) for place in places]
    maxima = [1 + place.step * (place.width - 1) for place in places]
    totals = [part.total for part in parts]
    written, peaks = totals, finite
    if normalize:
        written = [torch.empty_like(total) for total in totals]
        peaks = query.new_zeros(images, sum(maxima), dtype=torch.float32)
    layout = (tiles[0], maxima[0], sum(maxima))
    given = (query, key, biases, sums, written[0], written[-1], peaks, finite, scale * LOG2_E, base)
    launch = kernels.head_means[row_tiles, sum(tiles), images]
    launch(*given, *sizes, *one, *two, *layout, NORMALIZE=normalize, **constants)

    # 3. The sum of running maps and normalised means
    if normalize:
        given = (written[0], written[-1], totals[0], totals[-1], peaks, queries)
        rows = min(rows, ADDED_ROWS)
        launch = kernels.add_divided[-(-queries // rows), sum(tiles), images]
        launch(*given, *one[1:], *two[1:], *layout, ROWS=rows, COLUMNS=columns)


@lru_cache
def _prepared(
    dtype: torch.dtype, device: torch.device, width: int, biased: bool
) -> tuple[Any, int, int, dict[str, Any]]:
    """The kernels' module, a tile's queries and keys, and the constants of the two kernels that multiply."""
    kernels: Any = import_module(f"{__package__}.kernels")  # late: it imports Triton
    channels = max(16, 1 << (width - 1).bit_length())
    tile = choose_blocks(channels, dtype.itemsize, card_of(device))
    constants: dict[str, Any] = {"ROWS": tile.rows, "COLUMNS": tile.columns, "CHANNELS": channels}
    constants |= {"EXACT": dtype == torch.float32, "HAS_BIAS": biased}
    constants |= {"num_warps": tile.warps, "num_stages": tile.stages}
    return kernels, tile.rows, tile.columns, constants


@lru_cache
def card_of(device: torch.device) -> Card:
    """What a tile is chosen by; on a CPU, which interprets the kernels, that of any card."""
    if device.type != "cuda":
        return Card((8, 0), 96 << 10)
    properties = torch.cuda.get_device_properties(device)
    sizes = (getattr(properties, f"shared_memory_per_block{suffix}", 0) for suffix in ("_optin", ""))
    return Card((properties.major, properties.minor), next((int(size) for size in sizes if size), 48 << 10))


# Log-sum-exps of large layers by cuDNN's attention, whose product is several times as fast as ours on recent cards. It
# is asked only where PyTorch itself would choose it for such queries and keys, and where a call saves enough. The first
# call of each shape compares it with our kernel; whatever fails or differs is not asked again. The network's own
# attention is left alone: its result, and the plan that made it, stay the same.

LIBRARY_SWITCH = "SEEDIFF_LIBRARY_SUMS"
"""Environment variable: with 0, our kernel is always used."""
WORTH = 1 << 28
"""Least number of scores. cuDNN plans each shape once, in up to a tenth of a second, which small layers never save."""
CLOSE = 1e-5
"""Largest difference from our kernel, as a share of the largest log-sum-exp, or of 1 if that is smaller."""

_widths: dict[tuple[Any, ...], int] = {}
"""A shape → the width of the values that cuDNN is given; 0: it is not asked."""


def library_sums(
    query: torch.Tensor, key: torch.Tensor, scale: float, own: Callable[[], torch.Tensor]
) -> torch.Tensor | None:
    """log Σ_t exp(scale · QKᵀ), (B, H, N), or None if our kernel is better. own: our kernel's, to compare."""
    images, heads, queries, channels = query.shape
    if query.dtype == torch.float32 or os.environ.get(LIBRARY_SWITCH) == "0":
        return None
    if images * heads * queries * key.shape[2] < WORTH:
        return None
    form = (query.device, query.dtype, query.shape, query.stride(), key.shape, key.stride(), scale)
    if form not in _widths:
        if query.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            return None  # comparing waits, which a recording does not allow
        right = (width for width in sorted({8, channels}) if _is_right(query, key, scale, width, own))
        _widths[form] = next(right, 0)
    width = _widths[form]
    return _sums(query, key, scale, width) if width else None


def _is_right(
    query: torch.Tensor, key: torch.Tensor, scale: float, width: int, own: Callable[[], torch.Tensor]
) -> bool:
    """Whether PyTorch would choose cuDNN here, and cuDNN gives the log-sum-exps of our kernel."""
    try:
        if torch._fused_sdp_choice(query, key, key, scale=scale) != SDPBackend.CUDNN_ATTENTION.value:
            return False
        found, ours = _sums(query, key, scale, width), own()
        return float((found - ours).abs().max()) <= CLOSE * max(1.0, float(ours.abs().max()))  # never for NaN
    except torch.OutOfMemoryError:
        raise
    except Exception:  # the choice is no documented function, and cuDNN refuses with errors of many kinds
        return False


def _sums(query: torch.Tensor, key: torch.Tensor, scale: float, width: int) -> torch.Tensor:
    """By cuDNN, whose result for the values, any of this width, is not used."""
    call = torch.ops.aten._scaled_dot_product_cudnn_attention
    found = call(query, key, key[..., :width], None, True, scale=scale)[1]
    return found.reshape(query.shape[:3])  # (B, H, N, 1) since PyTorch 2.9, (B, H, N) before
