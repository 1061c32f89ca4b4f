"""DiffSegmenter (Wang et al.: "Diffusion Model is Secretly a Training-free Open Vocabulary Semantic Segmenter", IEEE
TIP 2025, arXiv 2309.02773): cross-attention of four levels, spread by one product with self-attention at the latent's
own side.

    M = N(SA_L · (.3 N(CA_{L/8}) + .5 N(CA_{L/4}) + .1 N(CA_{L/2}) + .1 N(CA_L))),   N: min-max

The weights are those of the authors' program (VCG-team/DiffSegmenter at b3a8686, without a licence: read for its
constants). Its threshold is swept on the scored pictures, so there is no constant to take over; β is this package's.
Levels that the model lacks are left out, and the weights of the others divided by their sum. Not implemented: one
prompt per class, continued by BLIP, and the choice of classes by BLIP and CLIP.
"""

from __future__ import annotations

import torch

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from .arithmetic import level_shares, min_max, resize
from .baselines import random_walk
from .steps import SoftMask, Step, Steps

WEIGHTS = {8: 0.3, 4: 0.5, 2: 0.1, 1: 0.1}
"""Weights of cross-attention at L / 8, L / 4, L / 2 and L."""


def diffsegmenter(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """M at L / `config.self_level` (the authors': L). Flag: `constant_map`."""
    steps = Steps()
    grid = maps.grid(config.self_level)

    # 1. Each level's cross-attention at the side of the self-attention, min-max. 2. Their weighted mean.
    weighted = []
    for level, weight in level_shares(maps, maps.cross_attention, WEIGHTS).items():
        of_level = steps.keep(Step("cross_attention", level), *min_max(resize(maps.cross_at(level, class_name), grid)))
        weighted.append(weight * of_level)
    cross = torch.stack(weighted).sum(0)

    # 3. One product with self-attention.
    soft = steps.keep(
        Step("self-attention product", config.self_level), *min_max(random_walk(maps.self_at(config.self_level), cross))
    )
    return steps.finish(soft)
