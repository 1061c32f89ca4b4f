"""iSeg's entropy walk (Sun et al., arXiv 2409.03209): weak self-attention is cut off, so that a long walk over it does
not blur the map.

    CA = .7 CA_{L/4} / Σ CA_{L/4} + .3 CA_{L/2} / Σ CA_{L/2}
    A  = max(0, S + λ log10(e S)), rows divided by their sums;   S: SA, each column divided by its maximum
    x ← A x, `config.tau` times, at L / self_level;   the mask is where x > (1 − x)²

A is one step of gradient descent on the entropy −Σ S log S. λ = 0.015 and 8 rounds are those for PASCAL VOC. The
background's score is (1 − m)², with m the maximum over classes: below m from m = 0.382 on, which is β. Constants of
linsun449/iseg.code at 2e8fb32, which has no licence and was read for them.
"""

from __future__ import annotations

import math

import torch

from seediff.attention.maps import AttentionMaps
from seediff.config.methods import MaskConfig
from seediff.masks.arithmetic import TINY, min_max, resize, times_vector
from seediff.masks.steps import CROSS_ATTENTION, MaskStep, SoftMask, Steps

CONSTANTS = {
    "mask": {"self_level": 1, "tau": 8, "beta": 0.382},
    "levels": {"cross": (8, 4, 2, 1), "self": "self_level"},
    "models": {
        "mini": {
            "mask": {
                "beta": 0.35,
                "tau": 1,
                "compete": True,
                "pamr_iterations": 20,
                "pamr_dilations": [1, 2, 4, 8, 16],
            },
            "capture": {"layers": "last"},
        },
    },
}


def iseg_walk(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    steps = Steps()
    level = config.self_level

    # 1. Cross-attention of two levels, each divided by its sum at its own side.
    levels = maps.levels("cross")
    weights = {level: weight for level, weight in ((4, 0.7), (2, 0.3)) if level in levels} or {max(levels): 1.0}
    weighted = []
    for seed_level, weight in weights.items():
        values = maps.cross_at(seed_level, class_name)
        values = resize(values / values.sum().clamp_min(TINY), maps.grid(level))
        weighted.append(weight / sum(weights.values()) * values)
    soft = steps.keep(CROSS_ATTENTION, *min_max(torch.stack(weighted).sum(0)))

    # 2. Self-attention of less entropy. 3. The walk.
    self_attention = maps.self_at(level)
    walk = less_entropy(self_attention / self_attention.amax(0).clamp_min(TINY), 0.015)
    for number in range(1, config.tau + 1):
        soft = times_vector(walk, soft.flatten()).reshape(soft.shape)
        soft = steps.keep(MaskStep("entropy walk", level, number), *min_max(soft))
    return steps.result(soft)


def less_entropy(weights: torch.Tensor, strength: float) -> torch.Tensor:
    """`max(0, w + λ log10(e w))` of (N, N) weights ≥ 0, with rows that sum to 1. A row of zeros attends to itself."""
    less = (weights + strength * (weights.log10() + math.log10(math.e))).clamp_min_(0)  # log10(0) = −∞, which becomes 0
    less.diagonal().masked_fill_(less.sum(1) == 0, 1)
    return less.div_(less.sum(1, keepdim=True))
