"""NERVE's walk with restart (Mahatha, Dolz, Desrosiers, WACV 2026, arXiv 2511.08248), over cross-attention G of
L / seed_level (in the paper a map of CLIP's), at L / self_level.

    P ← (1 − α) G + α SA P, `config.tau` times from P = G;   its limit is (1 − α) (I − α SA)⁻¹ G

The paper does not say α and the number of rounds: these are SeeDiff's.
"""

from __future__ import annotations

from seediff.attention.maps import AttentionMaps
from seediff.config.methods import MaskConfig
from seediff.masks.arithmetic import min_max, random_walk, resize
from seediff.masks.steps import CROSS_ATTENTION, MaskStep, SoftMask, Steps

CONSTANTS = {
    "mask": {"tau": 5},
    "levels": {"cross": "seed_level", "self": "self_level"},
    "models": {
        "mini": {
            "mask": {
                "beta": 0.4,
                "seed_level": 1,
                "tau": 1,
                "self_level": 1,
                "compete": True,
                "pamr_iterations": 20,
                "pamr_dilations": [1, 2, 4, 8, 16],
            },
            "capture": {"layers": "up/last"},
        },
    },
}
ALPHA = 0.8


def nerve_walk(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    steps = Steps()
    level = config.self_level

    # 1. Cross-attention at one level, brought to self-attention's side.
    start = resize(maps.cross_at(config.seed_level, class_name), maps.grid(level))
    start = soft = steps.keep(CROSS_ATTENTION, *min_max(start))

    # 2. The walk. 3. Min-max per class.
    for number in range(1, config.tau + 1):
        soft = (1 - ALPHA) * start + ALPHA * random_walk(maps.self_at(level), soft)
        steps.keep(MaskStep("walk with restart", level, number), *min_max(soft))
    return steps.result(*min_max(soft))
