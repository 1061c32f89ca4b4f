"""DiffSegmenter (Wang et al., IEEE TIP 2025, arXiv 2309.02773): cross-attention of four levels, spread by one product
with self-attention at L / self_level (the authors': L).

    M = N(SA_L · (.3 N(CA_{L/8}) + .5 N(CA_{L/4}) + .1 N(CA_{L/2}) + .1 N(CA_L)))

Constants of VCG-team/DiffSegmenter at b3a8686, which has no licence and was read for them. Its threshold is swept on
the scored pictures; β is SeeDiff's.
"""

from __future__ import annotations

import torch

from seediff.attention.maps import AttentionMaps
from seediff.config.methods import MaskConfig
from seediff.masks.arithmetic import min_max, random_walk, resize
from seediff.masks.steps import CROSS_ATTENTION, SELF_ATTENTION_PRODUCT, SoftMask, Steps

CONSTANTS = {
    "mask": {"self_level": 1},
    "levels": {"cross": (8, 4, 2, 1), "self": "self_level"},
    "models": {
        "mini": {
            "mask": {
                "beta": 0.4,
                "self_level": 1,
                "compete": True,
                "pamr_iterations": 20,
                "pamr_dilations": [1, 2, 4, 8, 16],
            },
            "capture": {"layers": "last"},
        },
    },
}


def diffsegmenter(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    steps = Steps()
    grid = maps.grid(config.self_level)

    # 1. Each level's cross-attention at the side of the self-attention, min-max. 2. Their weighted mean.
    weights = {8: 0.3, 4: 0.5, 2: 0.1, 1: 0.1}
    captured = [level for level in weights if level in maps.levels("cross")]
    total = sum(weights[level] for level in captured)
    weighted = []
    for level in captured:
        of_level = steps.keep(CROSS_ATTENTION.at(level), *min_max(resize(maps.cross_at(level, class_name), grid)))
        weighted.append(weights[level] / total * of_level)

    # 3. One product with self-attention.
    product = random_walk(maps.self_at(config.self_level), torch.stack(weighted).sum(0))
    return steps.result(steps.keep(SELF_ATTENTION_PRODUCT.at(config.self_level), *min_max(product)))
