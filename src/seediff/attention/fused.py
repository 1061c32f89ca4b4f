"""`add_probabilities` on a GPU: scores are computed tile by tile and never stored (`kernels.py`).

    log_sum_exps    for each query, over all columns
    head_means      for each target: the mean over heads of its columns
    add_divided     for each target, if means are normalised: the mean, divided by its maximum, into the running map

A normalised mean needs its maximum before it can be added, so `head_means` first writes it to memory of its own. This
memory is freed after each call, and PyTorch gives it to the next layer's call.
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
from .probabilities import Scores, Target, add_probabilities

LOG2_E = math.log2(math.e)
LARGEST_WIDTH = 256
"""Maximum channels per head that the kernels support."""


class Blocks(NamedTuple):
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


TILES_OF_HOPPER = [(64, Blocks(64, 128, 4, 3)), (128, Blocks(128, 64, 4, 2))]
"""(maximum channels per head, tile): the fastest of eight tiles on an H200 in half precision (benchmarks/gpu.py)."""
WIDE_TILE = Blocks(64, 128, 8)
"""The tile for up to 128 channels per head on cards of capability 12, and for more than 64 with a bias on Hopper's.
There it compiles to no spilled registers, and other tiles to 270 to 760 bytes a thread. It has not run on such a
card."""
TILES = [Blocks(*tile) for tile in ((128, 128, 8), (128, 64, 4), (64, 64, 4), (64, 32, 4), (32, 32, 2), (16, 16, 1))]
"""The tiles of other cards, the largest first."""
ADDED_ROWS = 32
"""Maximum rows of a tile of `add_divided`, which takes longer to compile than to run."""
OLDEST = (8, 0)
"""The lowest capability whose tensor cores Triton uses. On older cards, plain torch is several times faster."""
SPARE_OF_HOPPER = 1.7
"""Shared memory to expect of a compiled tile on cards with wgmma (capabilities 9 and 10), as a multiple of
`Blocks.memory`. The largest measured multiple is 1.5. On other cards, it is below 1."""
SWITCH = "SEEDIFF_FUSED"
"""The environment variable that turns the kernels off: with 0, plain torch computes."""


class Card(NamedTuple):
    """The facts about a GPU that decide which tile it gets."""

    capability: tuple[int, int]
    shared: int
    """Maximum bytes of shared memory of a block of threads."""
    is_amd: bool = False
    """Whether AMD made it. Its capabilities mean other things than NVIDIA's."""


def choose_tile(width: int, card: Card, *, has_bias: bool = False) -> Blocks:
    """The best tile that fits a card's memory. width: channels per head, a power of two. has_bias: whether scores have
    a bias."""
    generation = 0 if card.is_amd else card.capability[0]
    hopper = generation in (9, 10)
    spare = SPARE_OF_HOPPER if hopper else 1.0
    best = [tile for most, tile in TILES_OF_HOPPER if hopper and width <= most]
    if width <= 128 and (generation == 12 or (hopper and has_bias and width > 64)):
        best = [WIDE_TILE]
    largest = 3 if card.is_amd and card.capability[0] >= 10 else 0  # these spill registers with larger tiles
    best += [tile for tile in TILES[largest:] if spare * tile.memory(width) <= card.shared]
    return (best or TILES[-1:])[0]


def tile_of(scores: Scores) -> Blocks:
    """The tile for a layer's scores."""
    query = scores.query
    return choose_tile(_padded(query.shape[3]), card_of(query.device), has_bias=scores.bias is not None)


@lru_cache
def runs_kernels(device: torch.device) -> bool:
    """Whether Triton can compile and run the kernels on a device, tried once on a small map. Without a C compiler,
    Python's headers or a working driver it cannot: one warning says so, and plain torch computes the same maps. There
    is no warning if Triton is not installed, or if the card is older than `OLDEST`."""
    if find_spec("triton") is None or (torch.version.hip is None and card_of(device).capability < OLDEST):
        return False
    query = torch.zeros(1, 1, 16, 16, dtype=torch.float16, device=device)
    try:
        with torch.cuda.device_of(query):
            running_map, finite = (query.new_zeros(shape, dtype=torch.float32) for shape in ((1, 16, 16), ()))
            _add([Target(running_map)], Scores(query, query, 1.0), normalize=True, finite=finite)
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
        and query.itemsize == 2  # float32 uses no tensor cores in them: plain torch is faster
        and runs_kernels(query.device)
    )


class Form(NamedTuple):
    """What Triton compiles kernels for. Sizes and strides that are 1, or multiples of 16, have code of their own."""

    dtype: torch.dtype
    device: torch.device
    heads: int
    """Not the layer's number, but one that is `alike`, so that layers share a form; so are the sizes below."""
    queries: int
    width: int
    """Channels per head, as they are."""
    query_strides: tuple[int, ...]
    """Of images (`alike`), heads, rows and channels."""
    key_strides: tuple[int, ...]
    """As `query_strides`."""
    keys: int
    spans: tuple[tuple[int, bool], ...]
    """For each target, its number of columns, and `per_column` as in `Target`."""
    bias: tuple[Any, ...] | None
    """The number format of the bias, and for heads, queries and columns, whether there is one for each."""
    normalize: bool

    @classmethod
    def of(cls, targets: Sequence[Target], scores: Scores, *, normalize: bool) -> Form:
        """The form of a layer's call."""
        query, key, _, bias = scores
        _, heads, queries, width = query.shape
        spans = tuple((alike(target.running_map.shape[2], TRIAL), target.per_column) for target in targets)
        return cls(
            dtype=query.dtype,
            device=query.device,
            heads=alike(heads, 2),
            queries=alike(queries, TRIAL),
            width=width,
            query_strides=(alike(query.stride(0), 2), *query.stride()[1:]),
            key_strides=(alike(key.stride(0), 2), *key.stride()[1:]),
            keys=alike(key.shape[2], sum(columns for columns, _ in spans)),
            spans=spans,
            bias=None if bias is None else (bias.dtype, *(size > 1 for size in bias.shape[1:])),
            normalize=normalize,
        )

    def trial(self) -> Scores:
        """Random scores of this form for one image, always the same."""
        generator = torch.Generator().manual_seed(0)

        def states(count: int, strides: Sequence[int]) -> torch.Tensor:
            shape = (1, self.heads, count, self.width)
            of_image, *others = strides
            numbers = 1 + sum((size - 1) * stride for size, stride in zip(shape[1:], others, strict=True))
            values = torch.randn(numbers, generator=generator).to(self.device, self.dtype)
            return values.as_strided(shape, (alike(of_image, numbers), *others))

        bias = None
        if self.bias is not None:
            dtype, *is_each = self.bias
            whole = (self.heads, self.queries, self.keys)
            sizes = [size if each else 1 for size, each in zip(whole, is_each, strict=True)]
            bias = torch.randn(1, *sizes, generator=generator)
            bias = bias.masked_fill(bias < -1, -torch.inf).to(self.device, dtype)
        query = states(self.queries, self.query_strides)
        return Scores(query, states(self.keys, self.key_strides), self.width**-0.5, bias)

    def targets(self) -> list[Target]:
        """The targets of the trial. Their running maps are 1 everywhere."""
        targets: list[Target] = []
        start = 0
        for columns, per_column in self.spans:
            running_map = torch.ones(1, self.queries, columns, dtype=torch.float32, device=self.device)
            targets.append(Target(running_map, slice(start, start + columns), per_column))
            start += columns
        return targets


def alike(size: int, least: int) -> int:
    """A size of at least `least` that is 1, a multiple of 16 or neither, as `size` is. It is 1 only if `size` is."""
    if size == 1:
        return 1
    if size % 16 == 0:
        return least + -least % 16
    return least + (least % 16 == 0 or least == 1)


TRIAL = 300
"""The least number of queries, and of each target's columns, with which kernels are tried."""
ACCEPTED = 1e-3
"""The largest difference from plain torch's map in a trial, as a share of the map's maximum."""
_runs: dict[Form, bool] = {}
"""Whether the kernels run, and compute plain torch's maps, for each form so far."""


def add_probabilities_fused(
    targets: Sequence[Target], scores: Scores, *, normalize: bool, finite: torch.Tensor
) -> None:
    """Do what `add_probabilities` does, up to float32 rounding, with the same arguments. Running maps must be
    contiguous.

    Compilers have made wrong code of such loops for single cards. So at the first use of a form, the kernels are held
    against plain torch on random numbers. If they compute other maps, or if the card refuses them, one warning says so,
    and plain torch computes for this form from then on.
    """
    remaining, form = list(targets), Form.of(targets, scores, normalize=normalize)
    try:
        if form not in _runs:
            _check(form)
            _runs[form] = True
        if _runs[form]:
            return _add(remaining, scores, normalize=normalize, finite=finite)
    except torch.OutOfMemoryError:
        raise
    # Errors are of many kinds. No kernel has changed the running map of a remaining target.
    except Exception as error:
        _runs[form] = False
        text = f"Triton's kernels cannot be used for heads of {form.width} channels ({first_line(error)})"
        warnings.warn(f"{text}; plain torch captures them", Notice, stacklevel=2)
    add_probabilities(remaining, scores, normalize=normalize, finite=finite)


def _check(form: Form) -> None:
    """Raise RuntimeError if the kernels compute other maps than plain torch on a form's trial."""
    scores, by_kernels, by_torch = form.trial(), form.targets(), form.targets()
    finite = torch.zeros((), dtype=torch.float32, device=form.device)
    _add([*by_kernels], scores, normalize=form.normalize, finite=finite)
    add_probabilities(by_torch, scores, normalize=form.normalize, finite=finite)
    for (ours, *_), (plain, *_) in zip(by_kernels, by_torch, strict=True):
        difference, peak = (ours - plain).abs().max(), (plain - 1).max()
        if not difference <= ACCEPTED * peak:  # also if it is not a number
            raise RuntimeError(f"they compute other maps than plain torch, off by {difference / peak:.2g} of 1")


def _padded(width: int) -> int:
    """A tile's number of channels: the next power of two from `width`, the head's channels; at least 16."""
    return max(16, 1 << (width - 1).bit_length())


def _add(targets: list[Target], scores: Scores, *, normalize: bool, finite: torch.Tensor) -> None:
    """Do what `add_probabilities_fused` does, by the kernels alone. Each target is removed from `targets` once its
    running map is complete."""
    kernels: Any = import_module(f"{__package__}.kernels")  # late: it imports Triton
    query, tile = scores.query, tile_of(scores)
    images, heads, queries, _ = query.shape
    row_tiles = -(-queries // tile.rows)

    # 1. Log-sum-exps over all columns
    lses = query.new_empty(images, heads, queries, dtype=torch.float32)
    kernels.log_sum_exps[row_tiles, images * heads](out=lses, **_arguments(tile, scores))

    # 2. The means of each target
    while targets:
        running_map, columns, per_column = targets[0]
        # Plain means: the kernel adds them to the running map. It does not use `peaks`: any tensor will do.
        width, means, peaks = running_map.shape[2], running_map, finite
        if normalize:  # the kernel writes means and their maxima to memory of their own; `add_divided` adds them
            means = torch.empty_like(running_map)
            peaks = query.new_zeros(images, width if per_column else 1, dtype=torch.float32)
        tiles, given = -(-width // tile.columns), _arguments(tile, scores.select(columns=columns))
        given |= {"lses": lses, "means": means, "peaks": peaks, "finite": finite}
        kernels.head_means[row_tiles, tiles, images](NORMALIZE=normalize, PER_COLUMN=per_column, **given)
        if normalize:
            rows = min(tile.rows, ADDED_ROWS)
            sizes = {"queries": queries, "width": width, "ROWS": rows, "COLUMNS": tile.columns}
            kernels.add_divided[-(-queries // rows), tiles, images](
                means, running_map, peaks, PER_COLUMN=per_column, **sizes
            )
        del targets[0]  # its running map is complete


def _arguments(tile: Blocks, scores: Scores) -> dict[str, Any]:
    """The arguments, by name, that both `log_sum_exps` and `head_means` take for all columns of these scores."""
    query, key, scale, bias = scores
    (images, heads, queries, channels), width = query.shape, key.shape[2]
    biases, strides = query, (0, 0, 0, 0)  # any tensor if there is no bias
    if bias is not None:
        biases = bias.expand(images, heads, queries, width)  # no copy
        strides = biases.stride()
    unit = 8 if query.stride(1) % 8 == key.stride(1) % 8 == 0 else 1
    given = {"query": query, "key": key, "bias": biases, "scale": scale * LOG2_E}
    given |= {"heads": heads, "queries": queries, "width": width, "channels": channels}
    for name, states in (("query", query), ("key", key)):
        image, head, row, channel = states.stride()
        given |= {f"{name}_image": image, f"{name}_head": head // unit, f"{name}_row": row, f"{name}_channel": channel}
    given |= zip(("bias_image", "bias_head", "bias_row", "bias_column"), strides, strict=True)
    given |= {"ROWS": tile.rows, "COLUMNS": tile.columns, "CHANNELS": _padded(channels), "UNIT": unit}
    given |= {"HAS_BIAS": bias is not None}
    return given | {"num_warps": tile.warps, "num_stages": tile.stages}


@lru_cache
def card_of(device: torch.device) -> Card:
    """The facts about a device's card. For a CPU, on which Triton interprets the kernels, they are made up."""
    if device.type != "cuda":
        return Card((8, 0), 96 << 10)
    properties = torch.cuda.get_device_properties(device)
    sizes = (getattr(properties, f"shared_memory_per_block{suffix}", 0) for suffix in ("_optin", ""))
    shared = next((int(size) for size in sizes if size), 48 << 10)
    return Card((properties.major, properties.minor), shared, is_amd=torch.version.hip is not None)
