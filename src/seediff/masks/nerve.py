"""NERVE's walk with restart (Mahatha, Dolz, Desrosiers: "NERVE: Neighbourhood & Entropy-guided Random-walk for training
free open-Vocabulary sEgmentation", WACV 2026, arXiv 2511.08248), over cross-attention.

    P ← (1 − α) G + α S P,   from P = G;   its limit is (1 − α) (I − α S)⁻¹ G

S is self-attention with rows that sum to 1. However many rounds there are, P stays near G: it never drifts to a
constant map, as SA^τ · CA does. Written from the equations. The paper's α and number of rounds are not known here: α =
0.8 and 5 rounds are this project's.

In the paper G is from CLIP; here it is the class's cross-attention. Left out, since maps are averaged over heads and
layers: the weights of single heads and layers by entropy, and the part of S that is restricted to neighbours.
"""

from __future__ import annotations

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from .arithmetic import min_max, resize
from .baselines import random_walk
from .steps import SoftMask, Step, Steps

ALPHA = 0.8
"""α: the share of a position's value that comes from the positions it attends to; the rest is its own
cross-attention.
"""


def restart_walk(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """P after `config.tau` rounds at L / `config.self_level`, from cross-attention of L / `config.seed_level`. Flag:
    `constant_map`.
    """
    steps = Steps()
    level = config.self_level

    # 1. Cross-attention at one level, brought to self-attention's side.
    start = resize(maps.cross_at(config.seed_level, class_name), maps.grid(level))
    start = steps.keep(Step("cross_attention"), *min_max(start))

    # 2. The walk. 3. Min-max per class.
    soft = start
    for number in range(1, config.tau + 1):
        soft = (1 - ALPHA) * start + ALPHA * random_walk(maps.self_at(level), soft)
        steps.keep(Step("walk with restart", level, number), *min_max(soft))
    soft, flags = min_max(soft)
    steps.flag(flags)
    return steps.finish(soft)
