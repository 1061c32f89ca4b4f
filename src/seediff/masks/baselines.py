"""The SeeDiff paper's two baselines, and DAAM. CA: cross-attention alone, as in DiffuMask (Wu et al., ICCV 2023)
without its learnt thresholds. CA·SA: cross-attention multiplied with self-attention, as in Dataset Diffusion (Nguyen
et al., NeurIPS 2023). Written from the papers' descriptions.
"""

from __future__ import annotations

import torch

from ..attention.maps import AttentionMaps
from ..config.method_constants import MaskConfig
from .arithmetic import mean_cross_attention, min_max, random_walk, resize
from .steps import MaskStep, SoftMask, Steps


def cross_attention(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """CA: the class's cross-attention, averaged over `config.expand_levels` (in the paper L/4, L/2, L), min-max."""
    steps = Steps()
    cross = mean_cross_attention(maps, class_name, config.expand_levels)
    return steps.finish(steps.keep(MaskStep("cross_attention"), *min_max(cross)))


def daam(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """DAAM (Tang et al., ACL 2023, section 2.2): `D = mean over levels of max(0, bicubic(CA_level))`, min-max.
    castorini/daam at 09564e0 (MIT) clamps each head's map, not a level's mean.
    """
    steps, levels = Steps(), config.expand_levels
    finest = maps.grid(min(levels))
    enlarged = [resize(maps.cross_at(level, class_name), finest, "bicubic").clamp_min(0) for level in levels]
    return steps.finish(steps.keep(MaskStep("cross_attention"), *min_max(torch.stack(enlarged).mean(0))))


def cross_times_self(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """CA·SA: `M = SA_{self_level}^τ · CA_{seed_level}`, a random walk of τ steps over self-attention."""
    steps, level = Steps(), config.self_level

    # 1. Cross-attention at one level, brought to self-attention's side.
    soft = resize(maps.cross_at(config.seed_level, class_name), maps.grid(level))
    steps.keep(MaskStep("cross_attention"), *min_max(soft))

    # 2. Only SA^τ · CA is needed: τ products with a vector, never a power of the matrix.
    for number in range(1, config.tau + 1):
        soft = random_walk(maps.self_at(level), soft)
        steps.keep(MaskStep("self-attention product", level, number), *min_max(soft))

    # 3. Min-max per class.
    return steps.finish(*min_max(soft))
