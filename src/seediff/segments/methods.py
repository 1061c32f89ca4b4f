"""The parts of a segment method. `SEGMENT_FACTS` in config/methods.py lists all methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch

from ..attention.maps import AttentionMaps, Grid
from ..attention.windows import Window
from ..config.constants import SegmentConfig
from .aggregate import aggregate
from .tiles import merge_labels

Seen = AttentionMaps | torch.Tensor
"""The input of a method: self-attention whose rows sum to 1, or the encoder's features (C, h, w)."""


def share(proposals: torch.Tensor) -> torch.Tensor:
    """The highest proposal's share of the sum of all; 1 for hard labels."""
    return proposals.amax(0) / proposals.sum(0)


def merge_hard(
    windows: Sequence[Window], proposals: Sequence[torch.Tensor], shape: tuple[int, int], config: SegmentConfig
) -> np.ndarray:
    """`merge_labels`, applied to the highest proposal at each position."""
    return merge_labels(windows, [maps.argmax(0) for maps in proposals], shape)


@dataclass(frozen=True)
class SegmentMethod:
    """propose: returns proposals (P, h, w) for one image, each high where its segment is; k (number of segments) and
    seed are for clustering. clarity: proposals (P, h, w) → how clearly each position belongs to its segment, (h, w) in
    [0, 1]. check: raises UserError for constants that do not suit the latents' size; None: all do. merge: proposals of
    several windows → one label map.
    """

    propose: Callable[[Seen, SegmentConfig, int | None, int], torch.Tensor]
    clarity: Callable[[torch.Tensor], torch.Tensor] = share
    check: Callable[[Grid, SegmentConfig], object] | None = None
    merge: Callable[[Sequence[Window], Sequence[torch.Tensor], tuple[int, int], SegmentConfig], np.ndarray] = merge_hard


def segment_method(config: SegmentConfig) -> SegmentMethod:
    module, name = config.facts.method.split(".")
    return getattr(import_module(f".{module}", __package__), name)


def aggregate_self(seen: Seen, config: SegmentConfig) -> tuple[torch.Tensor, Grid]:
    """Self-attention of all levels as one (N, N) matrix, and the size (h, w) of L with its N positions."""
    assert isinstance(seen, AttentionMaps)
    return aggregate(seen.self_attention, seen.latent_size, config.weights), seen.latent_size
