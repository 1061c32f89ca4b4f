"""Launches of the kernels (kernels.py) that add the probabilities of a layer to its targets:

    log_sum_exps    for each query, over all columns
    head_means      for each target: the mean over heads of its columns
    add_divided     for each target, if means are normalised: the mean, divided by its maximum, into the running map

A normalised mean needs its maximum before it can be added, so `head_means` first writes it to memory of its own. This
memory is freed after each call, and PyTorch gives it to the next layer's call.

Triton looks at all arguments of each launch, which takes longer than the launch. So launches are prepared once for each
layout of a layer's tensors (`Launches`), and afterwards get the tensors alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch

from .probabilities import Scores, Target
from .tiles import Tile, padded_width, tile_of

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
