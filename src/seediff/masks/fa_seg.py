"""FA-Seg (Che and Nguyen: "FA-Seg: A Fast and Accurate Diffusion-Based Method for Open-Vocabulary Segmentation",
Neurocomputing 660, 2026, arXiv 2506.23323): cross-attention of all levels, spread by the self-attention of each level.

    CA = .15 CA_{L/8} + .7 CA_{L/4} + .15 CA_{L/2}
    M  = .1 N(SA²_{L/8} CA) + .1 N(SA²_{L/4} CA) + .5 N(SA²_{L/2} CA) + .3 N(SA²_L CA),   N: min-max

The weights, τ = 2 and the threshold 0.55 (for VOC) are those of the authors' program (chequanghuy/FA-Seg at 861761b,
without a licence: read for its constants, written from the equations). Differences:

- The authors enlarge every matrix to L (keys bicubic, queries repeated). Here each product is made at the side of its
  matrix, where CA is averaged over the positions that a key stands for. The result is that of repeated keys, without a
  matrix of L's size.
- Rows of self-attention sum to 1.
- Levels that the model lacks are left out, and the weights of the others divided by their sum.
- The second pass over the mirrored picture and the second prompt of class names alone are options of capture, off by
  default. The authors average the two final maps; here the attention of both passes is averaged before.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..attention.maps import AttentionMaps, Grid
from ..config.constants import MaskConfig
from .arithmetic import level_shares, min_max, resize
from .baselines import random_walk
from .steps import SoftMask, Step, Steps

CROSS_WEIGHTS = {8: 0.15, 4: 0.7, 2: 0.15}
"""Weights of cross-attention at L / 8, L / 4 and L / 2."""
SELF_WEIGHTS = {8: 0.1, 4: 0.1, 2: 0.5, 1: 0.3}
"""Weights of the maps spread by self-attention at L / 8, L / 4, L / 2 and L."""
POWER = 2
"""τ: exponent of self-attention."""


def fa_seg(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """M at the finest level of self-attention, in [0, 1]; it need not reach either end. Flag: `constant_map`."""
    steps = Steps()
    weights = level_shares(maps, maps.self_attention, SELF_WEIGHTS)
    finest = maps.grid(min(weights))

    # 1. Weighted mean of cross-attention over levels.
    shares = level_shares(maps, maps.cross_attention, CROSS_WEIGHTS)
    cross = torch.stack(
        [weight * repeated(maps.cross_at(level, class_name), finest) for level, weight in shares.items()]
    ).sum(0)
    steps.keep(Step("cross_attention"), *min_max(cross))

    # 2. Spread by each level's self-attention. 3. Weighted mean.
    soft = torch.zeros_like(cross)
    for level, weight in weights.items():
        spread = resize(cross, maps.grid(level))
        shown = spread
        for number in range(1, POWER + 1):
            spread = random_walk(maps.self_at(level), spread)
            shown = steps.keep(Step("self-attention product", level, number), *min_max(spread))
        soft = soft + weight * repeated(shown, finest)
    return steps.finish(soft)


def repeated(values: torch.Tensor, grid: Grid) -> torch.Tensor:
    """(h, w) at another size: each position takes the value of the position that covers it."""
    return F.interpolate(values[None, None], grid, mode="nearest")[0, 0]
