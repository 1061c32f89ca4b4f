"""iSeg's entropy walk (Sun et al.: "iSeg: An Iterative Refinement-based Framework for Training-free Segmentation",
arXiv 2409.03209): weak self-attention is cut off, so that many rounds of a walk over it do not blur the map.

    CA = .7 CA_{L/4} / Σ CA_{L/4} + .3 CA_{L/2} / Σ CA_{L/2}
    A  = max(0, S + λ log10(e S)), rows divided by their sums;   S: self-attention, each column divided by its maximum
    x ← A x, 8 times;   the mask is where x > (1 − x)²

The middle line is one step of gradient descent on the entropy −Σ S log S. Weights, rounds and λ = 0.015 are those of
the authors' program for VOC (linsun449/iseg.code at 2e8fb32, without a licence: read for its constants); for Context 5
rounds and 0.002, for COCO 10 and 0.2. With several classes x is the highest class, so its condition is the threshold β
= (3 − √5) / 2 = 0.382. After every round the program subtracts the minimum and divides by the sum; min-max is the same
up to a factor, since rows sum to 1.

Left out, since `AttentionMaps` does not have them: the hand-picked heads and the single layer of self-attention (here
the mean over the level), class embeddings × 1.6, and other nouns in the prompt; also the averaging of CA inside
clusters.
"""

from __future__ import annotations

import math

import torch

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from .arithmetic import level_shares, min_max, resize, times_vector
from .steps import SoftMask, Step, Steps

CROSS_WEIGHTS = {4: 0.7, 2: 0.3}
"""Weights of cross-attention at L / 4 and L / 2."""
STRENGTH = 0.015
"""λ: values below about a fiftieth of their column's maximum become 0."""
TINY = torch.finfo(torch.float32).tiny


def entropy_walk(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """x after `config.tau` rounds (the authors': 8) at L / `config.self_level` (theirs: L). Flag: `constant_map`."""
    steps = Steps()
    level = config.self_level

    # 1. Cross-attention of two levels, each divided by its sum at its own side.
    weighted = []
    for seed_level, weight in level_shares(maps, maps.cross_attention, CROSS_WEIGHTS).items():
        values = maps.cross_at(seed_level, class_name)
        weighted.append(weight * resize(values / values.sum().clamp_min(TINY), maps.grid(level)))
    soft = steps.keep(Step("cross_attention"), *min_max(torch.stack(weighted).sum(0)))

    # 2. Self-attention of less entropy. 3. The walk.
    self_attention = maps.self_at(level)
    walk = less_entropy(self_attention / self_attention.amax(0).clamp_min(TINY), STRENGTH)
    for number in range(1, config.tau + 1):
        soft = times_vector(walk, soft.flatten()).reshape(soft.shape)
        soft = steps.keep(Step("entropy walk", level, number), *min_max(soft))
    return steps.finish(soft)


def less_entropy(weights: torch.Tensor, strength: float) -> torch.Tensor:
    """`max(0, w + λ log10(e w))` of (N, N) weights ≥ 0, with rows that sum to 1. A row that becomes all 0 attends only
    to itself.
    """
    kept = (weights + strength * (weights.log10() + math.log10(math.e))).clamp_min_(0)  # log10(0) = −∞, which becomes 0
    kept.diagonal().masked_fill_(kept.sum(1) == 0, 1)
    return kept.div_(kept.sum(1, keepdim=True))
