"""Soft seeds: cross-attention passes a smooth threshold before self-attention spreads it. This project's own, from parts of others:
SeeDiff's seeds, and the product of CA·SA.

    G = σ((N(mean_l CA_l) − α) / T);   M = N(mean_l N(SA_l · G)),   N: min-max, σ: the logistic function

CA·SA spreads weak cross-attention too, which lies on other objects. SeeDiff's seeds are 0 or 1, so that a few positions decide.
"""

from __future__ import annotations

import torch

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from .arithmetic import mean_cross_attention, min_max, resize
from .baselines import random_walk
from .steps import SoftMask, Step, Steps

SOFTNESS = 0.1
"""T: how far from α a value is a seed of 0.27 or 0.73; towards 0, seeds become SeeDiff's."""


def soft_seeds(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """M at the finest of `config.expand_levels` (l), with α = `config.alpha`. Flag: `constant_map`."""
    steps = Steps()

    # 1. Mean cross-attention over the levels. 2. Its smooth threshold; a constant map has no seeds.
    cross = steps.keep(Step("cross_attention"), *min_max(mean_cross_attention(maps, class_name, config.expand_levels)))
    seeds = steps.keep(Step("soft seeds"), torch.sigmoid((cross - config.alpha) / SOFTNESS))

    # 3. Spread by every level's self-attention. 4. Mean, min-max per class.
    spread = []
    for level in config.expand_levels:
        of_level = random_walk(maps.self_at(level), resize(seeds, maps.grid(level)))
        of_level = steps.keep(Step("self-attention product", level), *min_max(of_level))
        spread.append(resize(of_level, cross.shape))
    soft, flags = min_max(torch.stack(spread).mean(0))
    steps.flag(flags)
    return steps.finish(soft)
