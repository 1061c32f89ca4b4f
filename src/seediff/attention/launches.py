"""Launches of the kernels (kernels.py) that add the probabilities of a layer to its targets:

    log_sum_exps    for each query, over all columns
    head_means      for each target: the mean over heads of its columns
    add_divided     for each target, if means are normalised: the mean, divided by its maximum, into the running map

A normalised mean needs its maximum before it can be added, so `head_means` first writes it to memory of its own. This
memory is freed after each call, and PyTorch gives it to the next layer's call.

Triton looks at all arguments of each launch, which takes longer than the launch. So launches are prepared once for each
layout of a layer's tensors (`Launches`), and afterwards get the tensors alone.

A program of a kernel computes one `Tile` of a layer's scores at once. The card and the head's channels decide which.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

import torch

from .probabilities import Scores, Target


class Tile(NamedTuple):
    """The sizes of a tile: the part of the N × T scores that one program computes at once."""

    rows: int
    """The number of queries."""
    columns: int
    """The number of keys."""
    warps: int
    """The number of warps that work on the tile."""
    stages: int = 2
    """The number of key tiles that are loaded at once."""

    def memory(self, width: int) -> int:
        """Bytes of the tile's queries and keys in half precision. width: channels per head."""
        return (self.rows + self.stages * self.columns) * width * 2


TILES_OF_HOPPER = [(64, Tile(64, 128, 4, 3)), (128, Tile(128, 64, 4, 2))]
"""(maximum channels per head, tile): the fastest of eight tiles on an H200 in half precision (benchmarks/gpu.py)."""
WIDE_TILE = Tile(64, 128, 8)
"""The tile for up to 128 channels per head on cards of capability 12, and for more than 64 with a bias on Hopper's.
There it compiles to no spilled registers, and other tiles to 270 to 760 bytes a thread. It has not run on such a
card."""
TILES = [Tile(*tile) for tile in ((128, 128, 8), (128, 64, 4), (64, 64, 4), (64, 32, 4), (32, 32, 2), (16, 16, 1))]
"""The tiles of other cards, the largest first."""
SPARE_OF_HOPPER = 1.7
"""Shared memory to expect of a compiled tile on cards with wgmma (capabilities 9 and 10), as a multiple of
`Tile.memory`. The largest measured multiple is 1.5. On other cards, it is below 1."""


class Card(NamedTuple):
    """The facts about a GPU that decide which tile it gets."""

    capability: tuple[int, int]
    shared: int
    """Maximum bytes of shared memory of a block of threads."""


@lru_cache
def card_of(device: torch.device) -> Card:
    """The facts about a device's card. For a CPU, on which Triton interprets the kernels, they are made up."""
    if device.type != "cuda":
        return Card((8, 0), 96 << 10)
    properties = torch.cuda.get_device_properties(device)
    sizes = (getattr(properties, f"shared_memory_per_block{suffix}", 0) for suffix in ("_optin", ""))
    shared = next((int(size) for size in sizes if size), 48 << 10)
    return Card((properties.major, properties.minor), shared)


def choose_tile(width: int, card: Card, *, has_bias: bool = False) -> Tile:
    """The best tile that fits a card's memory. width: channels per head, a power of two. has_bias: whether scores have
    a bias."""
    generation, _ = card.capability
    hopper = generation in (9, 10)
    spare = SPARE_OF_HOPPER if hopper else 1.0
    best = [tile for most, tile in TILES_OF_HOPPER if hopper and width <= most]
    if width <= 128 and (generation == 12 or (hopper and has_bias and width > 64)):
        best = [WIDE_TILE]
    best += [tile for tile in TILES if spare * tile.memory(width) <= card.shared]
    return (best or TILES[-1:])[0]


def tile_of(scores: Scores) -> Tile:
    """The tile for a layer's scores."""
    query = scores.query
    return choose_tile(padded_width(query.shape[3]), card_of(query.device), has_bias=scores.bias is not None)


def padded_width(width: int) -> int:
    """A tile's number of channels: the next power of two from `width`, the head's channels; at least 16."""
    return max(16, 1 << (width - 1).bit_length())


LOG2_E = math.log2(math.e)
ADDED_ROWS = 32
"""Maximum rows of a tile of `add_divided`, which takes longer to compile than to run."""


@lru_cache
def can_prepare() -> bool:
    """Whether what Triton compiled can be launched with all arguments of a kernel, as since 3.3."""
    version: str = import_module("triton").__version__
    return tuple(map(int, version.split(".")[:2])) >= (3, 3)


class Launch:
    """A launch of a kernel with values that do not change. tensors: its first parameters; the others are named.

    Raises what Triton and the card raise."""

    def __init__(self, kernel: Any, grid: tuple[int, int, int], values: Mapping[str, Any]) -> None:
        self._kernel = kernel
        self._grid = grid
        self._values = values
        self._run: Callable[..., None] | None = None
        """Launches what was compiled, without looking at the arguments again; None: not compiled yet."""
        self._others: Sequence[Any] = ()
        """The arguments after the tensors, in the kernel's order."""

    def __call__(self, *tensors: torch.Tensor) -> None:
        if self._run is not None:
            return self._run(*tensors, *self._others)
        compiled = self._kernel[self._grid](*tensors, **self._values)
        if compiled is not None and can_prepare():  # None: interpreted
            self._others = [self._values[name] for name in self._kernel.arg_names[len(tensors) :]]
            self._run = compiled[self._grid]  # last: another thread may launch the same


class Launches:
    """The launches that add the probabilities of one layout to its targets. targets, scores, normalize: as in
    `add_probabilities`, of this layout."""

    def __init__(self, targets: Sequence[Target], scores: Scores, *, normalize: bool) -> None:
        kernels: Any = import_module(f"{__package__}.kernels")  # late: it imports Triton
        self._normalize = normalize
        tile = tile_of(scores)
        images, heads, queries, _ = scores.query.shape
        row_tiles = -(-queries // tile.rows)
        self._lses = Launch(kernels.log_sum_exps, (row_tiles, images * heads, 1), _values(tile, scores))
        self._means: list[tuple[Launch, Launch]] = []
        rows = min(tile.rows, ADDED_ROWS)
        for running_map, columns, per_column in targets:
            width = running_map.shape[2]
            tiles = -(-width // tile.columns)
            values = _values(tile, scores.of_columns(columns)) | {"NORMALIZE": normalize, "PER_COLUMN": per_column}
            head_means = Launch(kernels.head_means, (row_tiles, tiles, images), values)
            values = {"queries": queries, "width": width, "PER_COLUMN": per_column}
            values |= {"ROWS": rows, "COLUMNS": tile.columns}
            add_divided = Launch(kernels.add_divided, (-(-queries // rows), tiles, images), values)
            self._means.append((head_means, add_divided))

    def __call__(self, remaining: list[Target], scores: Scores, finite: torch.Tensor) -> None:
        """Add the scores' probabilities to each target, and take it out of `remaining`. An error leaves the running
        maps of the remaining targets unchanged."""
        # 1. Log-sum-exps over all columns
        query = scores.query
        lses = query.new_empty(query.shape[:3], dtype=torch.float32)
        self._lses(*_tensors(scores), lses)

        # 2. The means of each target
        for (head_means, add_divided), (running_map, columns, per_column) in zip(
            self._means, [*remaining], strict=True
        ):
            some = _tensors(scores.of_columns(columns))
            if self._normalize:  # the kernel writes means and their maxima to memory of their own
                means = torch.empty_like(running_map)
                peaks = query.new_zeros(means.shape[0], means.shape[2] if per_column else 1, dtype=torch.float32)
                head_means(*some, lses, means, peaks, finite)
                add_divided(means, running_map, peaks)
            else:  # the kernel adds means to the running map. It does not use `peaks`: any tensor will do
                head_means(*some, lses, running_map, finite, finite)
            remaining.pop(0)


def _tensors(scores: Scores) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The queries, keys and bias that kernels take."""
    query, key, _, bias = scores
    if bias is None:
        return query, key, query  # any tensor
    return query, key, bias.expand(*query.shape[:3], -1)  # no copy


def _values(tile: Tile, scores: Scores) -> dict[str, Any]:
    """The arguments, by name, that both `log_sum_exps` and `head_means` take for all columns of these scores, apart
    from tensors."""
    query, key, biases = _tensors(scores)
    strides = {"query": query.stride(), "key": key.stride(), "bias": (0, 0, 0, 0)}
    if scores.bias is not None:
        strides["bias"] = biases.stride()
    unit = 8 if query.stride(1) % 8 == key.stride(1) % 8 == 0 else 1
    _, heads, queries, channels = query.shape
    given = {"scale": scores.scale * LOG2_E, "heads": heads, "queries": queries, "channels": channels}
    for name in ("query", "key"):
        image, head, row, channel = strides[name]
        given |= {f"{name}_image": image, f"{name}_head": head // unit, f"{name}_row": row, f"{name}_channel": channel}
    given |= zip(("bias_image", "bias_head", "bias_row", "bias_column"), strides["bias"], strict=True)
    given |= {"width": key.shape[2], "HAS_BIAS": scores.bias is not None}
    given |= {"ROWS": tile.rows, "COLUMNS": tile.columns, "CHANNELS": padded_width(channels), "UNIT": unit}
    return given | {"num_warps": tile.warps, "num_stages": tile.stages}
