"""`add_probabilities` on a GPU: scores are computed tile by tile and never stored (`kernels.py`).

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
import os
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch

from ..errors import Notice, first_line
from .probabilities import ALL, Scores, Target, add_probabilities
from .tiles import Blocks, card_of, choose_tile

LOG2_E = math.log2(math.e)
LARGEST_WIDTH = 256
"""Maximum channels per head that the kernels support."""


ADDED_ROWS = 32
"""Maximum rows of a tile of `add_divided`, which takes longer to compile than to run."""
OLDEST = (8, 0)
"""The lowest capability whose tensor cores Triton uses. On older cards, plain torch is several times faster."""
SWITCH = "SEEDIFF_FUSED"
"""The environment variable that turns the kernels off: with 0, plain torch computes."""


def tile_of(scores: Scores) -> Blocks:
    """The tile for a layer's scores."""
    query = scores.query
    return choose_tile(_padded(query.shape[3]), card_of(query.device), has_bias=scores.bias is not None)


@lru_cache
def runs_kernels(device: torch.device) -> bool:
    """Whether Triton can compile and run the kernels on a device, tried once on a small map. Without a C compiler,
    Python's headers or a working driver it cannot: one warning says so, and plain torch computes the same maps. There
    is no warning if Triton is not installed, if SWITCH says no, or if the card is older than `OLDEST`."""
    if os.environ.get(SWITCH) == "0" or find_spec("triton") is None:
        return False
    if torch.version.hip is None and card_of(device).capability < OLDEST:
        return False
    query = torch.zeros(1, 1, 16, 16, dtype=torch.float16, device=device)
    try:
        with torch.cuda.device_of(query):
            running_map, finite = (query.new_zeros(shape, dtype=torch.float32) for shape in ((1, 16, 16), ()))
            targets, scores = [Target(running_map)], Scores(query, query, 1.0)
            Launches(targets, scores, normalize=True)(targets, scores, finite)
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
        query.device.type == "cuda"
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
    spans: tuple[tuple[int, int, bool], ...]
    """For each target, its first column and the one after its last, in the trial, and `per_column` as in `Target`."""
    bias: tuple[Any, ...] | None
    """The number format of the bias, and for heads, queries and columns, whether there is one for each."""
    normalize: bool

    @classmethod
    def of(cls, targets: Sequence[Target], scores: Scores, *, normalize: bool) -> Form:
        """The form of a layer's call."""
        query, key, _, bias = scores
        _, heads, queries, width = query.shape
        spans, end = list[tuple[int, int, bool]](), 0
        for target in targets:
            begin = end + ((target.columns.start or 0) - end) % 16
            end = begin + alike(target.running_map.shape[2], TRIAL)
            spans.append((begin, end, target.per_column))
        return cls(
            dtype=query.dtype,
            device=query.device,
            heads=alike(heads, 2),
            queries=alike(queries, TRIAL),
            width=width,
            query_strides=(alike(query.stride(0), 2), *query.stride()[1:]),
            key_strides=(alike(key.stride(0), 2), *key.stride()[1:]),
            keys=alike(key.shape[2], end),
            spans=tuple(spans),
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
        for begin, end, per_column in self.spans:
            running_map = torch.ones(1, self.queries, end - begin, dtype=torch.float32, device=self.device)
            targets.append(Target(running_map, slice(begin, end), per_column))
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
_prepared: dict[Hashable, Launches] = {}
"""A layout of a layer's tensors → its launches."""


def add_probabilities_fused(
    targets: Sequence[Target], scores: Scores, *, normalize: bool, finite: torch.Tensor
) -> None:
    """Do what `add_probabilities` does, up to float32 rounding, with the same arguments. Running maps must be
    contiguous.

    Compilers have made wrong code of such loops for single cards. So at the first use of a form, the kernels are held
    against plain torch on random numbers. If they compute other maps, or if the card refuses them, one warning says so,
    and plain torch computes for this form from then on.
    """
    remaining, scores = list(targets), _aligned(scores)
    layout = _layout(targets, scores, normalize)
    launches = _prepared.get(layout)
    try:
        with torch.cuda.device_of(scores.query):  # Triton launches on the current device
            if launches is None and _is_right(Form.of(targets, scores, normalize=normalize)):
                launches = _prepared[layout] = Launches(targets, scores, normalize=normalize)
            if launches is not None:
                return launches(remaining, scores, finite)
    except torch.OutOfMemoryError:
        raise
    # Errors are of many kinds. No kernel has changed the running map of a remaining target.
    except Exception as error:
        form = Form.of(targets, scores, normalize=normalize)
        _runs[form] = False
        _prepared.clear()
        text = f"Triton's kernels cannot be used for heads of {form.width} channels ({first_line(error)})"
        warnings.warn(f"{text}; plain torch captures them", Notice, stacklevel=2)
    add_probabilities(remaining, scores, normalize=normalize, finite=finite)


def _layout(targets: Sequence[Target], scores: Scores, normalize: bool) -> Hashable:
    """What launches depend on, apart from the values of the tensors."""
    query, key, scale, bias = scores
    of_bias = None
    if bias is not None:
        of_bias = bias.dtype, bias.shape, bias.stride()
    states = query.device, query.dtype, query.shape, query.stride(), key.shape, key.stride()
    parts = [(part.columns.start, part.columns.stop, part.per_column) for part in targets]
    return *states, scale, of_bias, normalize, *parts


def _aligned(scores: Scores) -> Scores:
    """The scores, in copies if a tensor does not begin at a multiple of 16 bytes. Triton compiles other code for such
    addresses, which no trial has seen."""
    query, key, scale, bias = scores
    addresses = query.data_ptr() | key.data_ptr()
    if bias is not None:
        addresses |= bias.data_ptr()
    if addresses % 16 == 0:
        return scores
    if bias is not None:
        bias = bias.clone()
    return Scores(query.clone(), key.clone(), scale, bias)


def _is_right(form: Form) -> bool:
    """Whether the kernels may be used for a form, tried at its first use. Raises RuntimeError if they compute other
    maps than plain torch, and what Triton and the card raise."""
    if form not in _runs:
        _check(form)
        _runs[form] = True
    return _runs[form]


def _check(form: Form) -> None:
    """Raise RuntimeError if the kernels compute other maps than plain torch on a form's trial, by their first launch
    and by a prepared one."""
    scores, by_kernels, by_torch = _aligned(form.trial()), form.targets(), form.targets()
    finite = torch.zeros((), dtype=torch.float32, device=form.device)
    launches = Launches(by_kernels, scores, normalize=form.normalize)
    for _ in range(2):
        launches([*by_kernels], scores, finite)
        add_probabilities(by_torch, scores, normalize=form.normalize, finite=finite)
    for (ours, *_), (plain, *_) in zip(by_kernels, by_torch, strict=True):
        difference, peak = (ours - plain).abs().max(), (plain - 1).max()
        if not difference <= ACCEPTED * peak:  # also if it is not a number
            raise RuntimeError(f"they compute other maps than plain torch, off by {difference / peak:.2g} of 1")


def _padded(width: int) -> int:
    """A tile's number of channels: the next power of two from `width`, the head's channels; at least 16."""
    return max(16, 1 << (width - 1).bit_length())


@lru_cache
def can_prepare() -> bool:
    """Whether what Triton compiled can be launched with all arguments of a kernel, as since 3.3."""
    version: str = import_module("triton").__version__
    return tuple(map(int, version.split(".")[:2])) >= (3, 3)


class Launch:
    """A launch of a kernel with values that do not change. tensors: its first parameters; the others are named.

    Raises what Triton and the card raise."""

    def __init__(self, kernel: Any, grid: tuple[int, int, int], values: Mapping[str, Any]) -> None:
        self._kernel, self._grid, self._values = kernel, grid, values
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
        tile, self._normalize = tile_of(scores), normalize
        images, heads, queries, _ = scores.query.shape
        row_tiles, given = -(-queries // tile.rows), _values(tile, scores)
        self._lses = Launch(kernels.log_sum_exps, (row_tiles, images * heads, 1), given)
        self._means: list[tuple[Launch, Launch]] = []
        rows = min(tile.rows, ADDED_ROWS)
        for running_map, columns, per_column in targets:
            width = running_map.shape[2]
            tiles = -(-width // tile.columns)
            values = _values(tile, _part(scores, columns)) | {"NORMALIZE": normalize, "PER_COLUMN": per_column}
            head_means = Launch(kernels.head_means, (row_tiles, tiles, images), values)
            values = {"queries": queries, "width": width, "PER_COLUMN": per_column}
            values |= {"ROWS": rows, "COLUMNS": tile.columns}
            add_divided = Launch(kernels.add_divided, (-(-queries // rows), tiles, images), values)
            self._means.append((head_means, add_divided))

    def __call__(self, targets: list[Target], scores: Scores, finite: torch.Tensor) -> None:
        """Add the scores' probabilities. Each target is removed from `targets` once its running map is complete."""
        # 1. Log-sum-exps over all columns
        query = scores.query
        lses = query.new_empty(query.shape[:3], dtype=torch.float32)
        self._lses(*_tensors(scores), lses)

        # 2. The means of each target
        for head_means, add_divided in self._means:
            running_map, columns, per_column = targets[0]
            some = _tensors(_part(scores, columns))
            if self._normalize:  # the kernel writes means and their maxima to memory of their own
                means = torch.empty_like(running_map)
                peaks = query.new_zeros(means.shape[0], means.shape[2] if per_column else 1, dtype=torch.float32)
                head_means(*some, lses, means, peaks, finite)
                add_divided(means, running_map, peaks)
            else:  # the kernel adds means to the running map. It does not use `peaks`: any tensor will do
                head_means(*some, lses, running_map, finite, finite)
            del targets[0]  # its running map is complete


def _part(scores: Scores, columns: slice) -> Scores:
    """The scores of a target's columns."""
    if columns == ALL:
        return scores
    return _aligned(scores.of_columns(columns))


def _tensors(scores: Scores) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The queries, keys and bias that kernels take."""
    query, key, _, bias = scores
    if bias is None:
        return query, key, query  # any tensor
    return query, key, bias.expand(*query.shape[:3], -1)  # no copy


def _values(tile: Blocks, scores: Scores) -> dict[str, Any]:
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
    given |= {"ROWS": tile.rows, "COLUMNS": tile.columns, "CHANNELS": _padded(channels), "UNIT": unit}
    return given | {"num_warps": tile.warps, "num_stages": tile.stages}
