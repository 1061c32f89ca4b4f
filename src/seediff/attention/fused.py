"""`add_probabilities` on a GPU: scores are computed tile by tile and never stored. This file decides whether kernels
compute, and falls back on plain torch.

    launches.py    which tile a card gets; `Launches`: the kernels' launches for one layout of a layer's tensors
    kernels.py     the kernels
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Sequence
from functools import lru_cache
from importlib.util import find_spec

import torch

from ..errors import Notice, first_line
from .launches import Launches, card_of
from .probabilities import Scores, Target, add_probabilities

LARGEST_WIDTH = 256
"""Maximum channels per head that the kernels support."""
OLDEST = (8, 0)
"""The lowest capability whose tensor cores Triton uses. On older cards, plain torch is several times faster."""
SWITCH = "SEEDIFF_FUSED"
"""The environment variable that turns the kernels off: with 0, plain torch computes."""
ACCEPTED = 1e-3
"""The largest difference from plain torch's map in a trial, as a share of the map's maximum."""
_prepared: dict[Hashable, Launches | None] = {}
"""A layout of a layer's tensors → its launches; None: the kernels cannot be used for it."""
_told: set[str] = set()


@lru_cache
def runs_kernels(device: torch.device) -> bool:
    """Whether the kernels are tried on a device: not if Triton is not installed, if SWITCH says no, or if the card is
    older than `OLDEST`, or AMD's, on which they were never tried."""
    if os.environ.get(SWITCH) == "0" or find_spec("triton") is None:
        return False
    return torch.version.hip is None and card_of(device).capability >= OLDEST


def can_fuse(query: torch.Tensor) -> bool:
    """Whether the kernels support queries (B, H, N, D)."""
    return (
        query.device.type == "cuda"
        and query.shape[3] <= LARGEST_WIDTH
        and query.itemsize == 2  # float32 uses no tensor cores in them: plain torch is faster
        and runs_kernels(query.device)
    )


def add_probabilities_fused(
    targets: Sequence[Target], scores: Scores, *, normalize: bool, finite: torch.Tensor
) -> None:
    """Do what `add_probabilities` does, up to float32 rounding, with the same arguments. Running maps must be
    contiguous.

    If the kernels compute other maps, or if Triton or the card refuses them, now or in a later call, a warning says so,
    and plain torch computes for this layout from then on.
    """
    remaining = list(targets)
    layout = _layout(targets, scores, normalize)
    try:
        with torch.cuda.device_of(scores.query):  # Triton launches on the current device
            if layout not in _prepared:
                _prepared[layout] = _try(targets, scores, normalize=normalize)
            launches = _prepared[layout]
            if launches is not None:
                return launches(remaining, scores, finite)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # Triton, the compiler and the driver raise errors of many kinds
        _prepared[layout] = None
        text = f"Triton's kernels cannot be used ({first_line(error)}); plain torch captures attention"
        if text not in _told:
            _told.add(text)
            warnings.warn(text, Notice, stacklevel=2)
    add_probabilities(remaining, scores, normalize=normalize, finite=finite)


def _layout(targets: Sequence[Target], scores: Scores, normalize: bool) -> Hashable:
    """What Triton compiles and launches depend on, apart from the values of the tensors."""
    query, key, scale, bias = scores
    of_bias = None
    addresses = query.data_ptr() | key.data_ptr()
    if bias is not None:
        of_bias = bias.dtype, bias.shape, bias.stride()
        addresses |= bias.data_ptr()
    states = query.device, query.dtype, query.shape, query.stride(), key.shape, key.stride(), addresses % 16
    parts = [(part.columns.start, part.columns.stop, part.per_column) for part in targets]
    return *states, scale, of_bias, normalize, *parts


def _try(targets: Sequence[Target], scores: Scores, *, normalize: bool) -> Launches:
    """The launches for the layout of these scores, the first ones, after both their first launch and a prepared one
    have computed plain torch's maps of them. Raises RuntimeError if they compute others, as compilers have made wrong
    code of such loops for single cards, and what Triton and the card raise."""
    zeros = [[each._replace(running_map=torch.zeros_like(each.running_map)) for each in targets] for _ in range(2)]
    by_kernels, by_torch = zeros
    finite = scores.query.new_zeros((), dtype=torch.float32)
    launches = Launches(targets, scores, normalize=normalize)
    for _ in range(2):
        launches([*by_kernels], scores, finite)
        add_probabilities(by_torch, scores, normalize=normalize, finite=finite)
    for (ours, *_), (plain, *_) in zip(by_kernels, by_torch, strict=True):
        difference = (ours - plain).abs().max()
        peak = plain.max()
        if peak.isfinite() and not difference <= ACCEPTED * peak:
            raise RuntimeError(f"they compute other maps than plain torch, off by {difference / peak:.2g} of 1")
    return launches
