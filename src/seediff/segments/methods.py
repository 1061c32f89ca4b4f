"""Every way of dividing a photograph into segments: one table. What each expects of the model is SEGMENT_FACTS in config/methods.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..attention.maps import AttentionMaps, Grid
from ..attention.windows import Window
from ..config.constants import SegmentConfig
from ..config.methods import SegmentMethodName
from ..errors import UserError
from .aggregate import aggregate
from .diffcut import diffcut_scores, refine_segments
from .diffseg import anchor_positions, diffseg
from .kmeans import kmeans_proposals
from .tiles import merge_labels, merge_proposals

Seen = AttentionMaps | torch.Tensor
"""What a method divides: self-attention whose rows sum to 1, or the encoder's features (C, h, w)."""


class SegmentMethod(NamedTuple):
    """propose: proposals (P, h, w) of one image, each high where its segment is; seed and k (how many segments) are for clustering.
    clarity: of proposals (P, h, w), how clearly each position belongs to its segment, (h, w) in [0, 1].
    check: raises UserError for constants that do not suit latents of a size. merge: proposals of several windows as one label map.
    """

    propose: Callable[[Seen, SegmentConfig, int | None, int], torch.Tensor]
    clarity: Callable[[torch.Tensor], torch.Tensor]
    check: Callable[[Grid, SegmentConfig], object]
    merge: Callable[[Sequence[Window], Sequence[torch.Tensor], tuple[int, int], SegmentConfig], np.ndarray]


def _diffseg(seen: Seen, config: SegmentConfig, k: int | None, seed: int) -> torch.Tensor:
    assert isinstance(seen, AttentionMaps)
    rows = aggregate(seen.self_attention, seen.latent_size, config.weights)
    return diffseg(rows, seen.latent_size, num_points=config.num_points, kl_thresholds=config.thresholds, refine=config.refine)


def _kmeans(seen: Seen, config: SegmentConfig, k: int | None, seed: int) -> torch.Tensor:
    assert k is not None
    assert isinstance(seen, AttentionMaps)
    rows = aggregate(seen.self_attention, seen.latent_size, config.weights)
    return kmeans_proposals(rows, k, seen.latent_size, seed=seed)


def _diffcut(seen: Seen, config: SegmentConfig, k: int | None, seed: int) -> torch.Tensor:
    assert isinstance(seen, torch.Tensor)
    return diffcut_scores(seen, tau=config.cut_threshold, alpha=config.cut_power)


def _check_k(latent_size: Grid, config: SegmentConfig) -> None:
    if isinstance(config.k, int) and config.k > (positions := latent_size[0] * latent_size[1]):
        raise UserError(f"k = {config.k} must be from 1 to {positions}, the number of positions")


def _share(proposals: torch.Tensor) -> torch.Tensor:
    """The highest proposal's share in the sum of all; 1 for ones among zeros."""
    return proposals.amax(0) / proposals.sum(0)


def _merge_hard(windows: Sequence[Window], proposals: Sequence[torch.Tensor], shape: tuple[int, int], config: SegmentConfig) -> np.ndarray:
    return merge_labels(windows, [maps.argmax(0) for maps in proposals], shape)


def _merge_soft(windows: Sequence[Window], proposals: Sequence[torch.Tensor], shape: tuple[int, int], config: SegmentConfig) -> np.ndarray:
    return merge_proposals(windows, proposals, shape, kl_threshold=config.thresholds[-1])


SEGMENT_METHODS: dict[SegmentMethodName, SegmentMethod] = {
    "diffseg": SegmentMethod(_diffseg, _share, lambda latent_size, config: anchor_positions(latent_size, config.num_points), _merge_soft),
    "kmeans": SegmentMethod(_kmeans, _share, _check_k, _merge_hard),
    "diffcut": SegmentMethod(_diffcut, lambda cosines: cosines.amax(0).clamp(0, 1), lambda latent_size, config: None, _merge_hard),
}


def fit_to_edges(image: np.ndarray, label_map: np.ndarray, config: SegmentConfig) -> np.ndarray:
    """Segments (H, W) of an image (H, W, 3) uint8, fitted to its edges where the method ends with that and `refine` asks for it."""
    return refine_segments(image, label_map) if config.refine and config.facts.refines_edges else label_map
