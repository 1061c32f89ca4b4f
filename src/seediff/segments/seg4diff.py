"""Seg4Diff's segments without words (NeurIPS 2025, arXiv 2509.18096): with the empty prompt, tokens stand for parts of
the picture. Tokens of the same part are merged.

    p_t = softmax over positions of N(CA_t),   merged while ½ (KL(p‖q) + KL(q‖p)) < `token_threshold`

CA is the cross-attention of one block, with every column of the empty prompt (start, end and padding). Merging is greedy, like a later
round of DiffSeg: in order, each map that no earlier map absorbed becomes the mean of all maps close to it. Then argmax.

Written from the equations and the constants of the authors' program (cvlab-kaist/Seg4Diff at bb500ca, without a licence). The authors add
noise to the picture; here it has none, as with every segment method.
"""

from __future__ import annotations

import torch

from ..attention.maps import AttentionMaps
from ..config.constants import SegmentConfig
from ..errors import UserError
from ..masks.arithmetic import min_max
from .diffseg import merge
from .methods import Seen, SegmentMethod


def token_maps(cross: torch.Tensor) -> torch.Tensor:
    """(T, N) float64 distributions over positions, from cross-attention (N, T)."""
    return torch.stack([min_max(column)[0] for column in cross.double().T]).softmax(1)


def _propose(seen: Seen, config: SegmentConfig, k: int | None, seed: int) -> torch.Tensor:
    assert isinstance(seen, AttentionMaps)
    if not seen.cross_attention:
        raise UserError("method seg4diff reads the empty prompt's cross-attention, and these are maps of self-attention; use diffseg")
    grid, cross = next(iter(seen.cross_attention.items()))
    return merge(token_maps(cross.cpu()), config.token_threshold).unflatten(1, grid)


SEG4DIFF = SegmentMethod(_propose)
