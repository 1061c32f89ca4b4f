"""FA-Seg (Che and Nguyen, Neurocomputing 660, 2026, arXiv 2506.23323): cross-attention of all levels, spread by the
self-attention of each level.

    CA = .15 CA_{L/8} + .7 CA_{L/4} + .15 CA_{L/2}
    M  = .1 N(SA²_{L/8} CA) + .1 N(SA²_{L/4} CA) + .5 N(SA²_{L/2} CA) + .3 N(SA²_L CA)

The authors enlarge every matrix to L; here each product is made at the side of its matrix. M need not reach 0 or 1.
Constants of chequanghuy/FA-Seg at 861761b, which has no licence and was read for them; β is that for PASCAL VOC.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F

from seediff.attention.maps import AttentionMaps
from seediff.config.methods import MaskConfig
from seediff.masks.arithmetic import min_max, random_walk, resize
from seediff.masks.steps import CROSS_ATTENTION, SELF_ATTENTION_PRODUCT, SoftMask, Steps

CONSTANTS = {
    "mask": {"beta": 0.55},
    "levels": {"cross": (8, 4, 2, 1), "self": (8, 4, 2, 1)},
    "last_steps": {"resize": "bicubic"},
    "models": {
        "mini": {
            "mask": {"beta": 0.4, "compete": True, "pamr_iterations": 20, "pamr_dilations": [1, 2, 4, 8, 16]},
            "capture": {"layers": "last"},
        },
    },
}


def fa_seg(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    steps = Steps()
    weights = level_shares({8: 0.1, 4: 0.1, 2: 0.5, 1: 0.3}, maps.levels("self"))
    finest = maps.grid(min(weights))

    def repeated(values: torch.Tensor) -> torch.Tensor:
        """(h, w) at the finest side: each position takes the value of the position that covers it."""
        return F.interpolate(values[None, None], finest, mode="nearest")[0, 0]

    # 1. Weighted mean of cross-attention over levels.
    shares = level_shares({8: 0.15, 4: 0.7, 2: 0.15}, maps.levels("cross"))
    weighted = [weight * repeated(maps.cross_at(level, class_name)) for level, weight in shares.items()]
    cross = torch.stack(weighted).sum(0)
    steps.keep(CROSS_ATTENTION, *min_max(cross))

    # 2. Spread by each level's self-attention. 3. Weighted mean.
    soft = torch.zeros_like(cross)
    for level, weight in weights.items():
        spread = stretched = resize(cross, maps.grid(level))
        for number in (1, 2):
            spread = random_walk(maps.self_at(level), spread)
            stretched = steps.keep(SELF_ATTENTION_PRODUCT.at(level, number), *min_max(spread))
        soft = soft + weight * repeated(stretched)
    return steps.result(soft)


def level_shares(weights: Mapping[int, float], captured: Collection[int]) -> dict[int, float]:
    """Level → its share of a mean over the captured levels; the shares sum to 1. For example, weights {4: 0.7, 2: 0.3}
    become {4: 1.0} if only level 4 was captured. If no captured level has a weight, the coarsest gets all.

    weights: level → the method's weight. captured: the captured levels (`AttentionMaps.levels`)."""
    kept = {level: weight for level, weight in weights.items() if level in captured}
    kept = kept or {max(captured, default=1): 1.0}
    total = sum(kept.values())
    return {level: weight / total for level, weight in kept.items()}
