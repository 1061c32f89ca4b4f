"""Published methods that spread a class's cross-attention (CA) over self-attention (SA), written from their equations.
docs/methods.md has what each leaves out.

- FA-Seg (Che and Nguyen, Neurocomputing 660, 2026, arXiv 2506.23323; constants of chequanghuy/FA-Seg at 861761b)
- DiffSegmenter (Wang et al., IEEE TIP 2025, arXiv 2309.02773; constants of VCG-team/DiffSegmenter at b3a8686)
- iSeg's entropy walk (Sun et al., arXiv 2409.03209; constants of linsun449/iseg.code at 2e8fb32)
- NERVE's walk with restart (Mahatha, Dolz, Desrosiers, WACV 2026, arXiv 2511.08248; α is this project's)

The programs have no licence: they were read for their constants. Levels that a model lacks are left out, and the
weights of the others divided by their sum. N is min-max; rows of SA sum to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F

from ..attention.maps import AttentionMaps, Grid
from ..config.constants import MaskConfig
from .arithmetic import TINY, min_max, random_walk, resize, times_vector
from .steps import SoftMask, Step, Steps


def level_shares(maps: AttentionMaps, captured: Iterable[Grid], weights: Mapping[int, float]) -> dict[int, float]:
    """A method's level weights, {level: weight}, for the levels that were captured, divided by their sum; if none was,
    the coarsest captured level alone.
    """
    levels = [maps.level(grid) for grid in captured]
    there = {level: weight for level, weight in weights.items() if level in levels} or {max(levels, default=1): 1.0}
    total = sum(there.values())
    return {level: weight / total for level, weight in there.items()}


def fa_seg(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """FA-Seg: cross-attention of all levels, spread by the self-attention of each level.

        CA = .15 CA_{L/8} + .7 CA_{L/4} + .15 CA_{L/2}
        M  = .1 N(SA²_{L/8} CA) + .1 N(SA²_{L/4} CA) + .5 N(SA²_{L/2} CA) + .3 N(SA²_L CA)

    The authors enlarge every matrix to L; here each product is made at the side of its matrix. M need not reach 0 or 1.
    """
    steps = Steps()
    weights = level_shares(maps, maps.self_attention, {8: 0.1, 4: 0.1, 2: 0.5, 1: 0.3})
    finest = maps.grid(min(weights))

    def repeated(values: torch.Tensor) -> torch.Tensor:
        """(h, w) at the finest side: each position takes the value of the position that covers it."""
        return F.interpolate(values[None, None], finest, mode="nearest")[0, 0]

    # 1. Weighted mean of cross-attention over levels.
    shares = level_shares(maps, maps.cross_attention, {8: 0.15, 4: 0.7, 2: 0.15})
    weighted = [weight * repeated(maps.cross_at(level, class_name)) for level, weight in shares.items()]
    cross = torch.stack(weighted).sum(0)
    steps.keep(Step("cross_attention"), *min_max(cross))

    # 2. Spread by each level's self-attention. 3. Weighted mean.
    soft = torch.zeros_like(cross)
    for level, weight in weights.items():
        spread = stretched = resize(cross, maps.grid(level))
        for number in (1, 2):
            spread = random_walk(maps.self_at(level), spread)
            stretched = steps.keep(Step("self-attention product", level, number), *min_max(spread))
        soft = soft + weight * repeated(stretched)
    return steps.finish(soft)


def diffsegmenter(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """DiffSegmenter: cross-attention of four levels, spread by one product with self-attention at L / self_level
    (the authors': L). Its threshold is swept on the scored pictures; β is this package's.

        M = N(SA_L · (.3 N(CA_{L/8}) + .5 N(CA_{L/4}) + .1 N(CA_{L/2}) + .1 N(CA_L)))
    """
    steps = Steps()
    grid = maps.grid(config.self_level)

    # 1. Each level's cross-attention at the side of the self-attention, min-max. 2. Their weighted mean.
    weighted = []
    for level, weight in level_shares(maps, maps.cross_attention, {8: 0.3, 4: 0.5, 2: 0.1, 1: 0.1}).items():
        of_level = steps.keep(Step("cross_attention", level), *min_max(resize(maps.cross_at(level, class_name), grid)))
        weighted.append(weight * of_level)

    # 3. One product with self-attention.
    product = random_walk(maps.self_at(config.self_level), torch.stack(weighted).sum(0))
    return steps.finish(steps.keep(Step("self-attention product", config.self_level), *min_max(product)))


def entropy_walk(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """iSeg: weak self-attention is cut off, so that a long walk over it does not blur the map.

        CA = .7 CA_{L/4} / Σ CA_{L/4} + .3 CA_{L/2} / Σ CA_{L/2}
        A  = max(0, S + λ log10(e S)), rows divided by their sums;   S: SA, each column divided by its maximum
        x ← A x, `config.tau` times, at L / self_level;   the mask is where x > (1 − x)²

    A is one step of gradient descent on the entropy −Σ S log S. λ = 0.015 and 8 rounds are those for VOC; x > (1 − x)²
    is β = 0.382.
    """
    steps = Steps()
    level = config.self_level

    # 1. Cross-attention of two levels, each divided by its sum at its own side.
    weighted = []
    for seed_level, weight in level_shares(maps, maps.cross_attention, {4: 0.7, 2: 0.3}).items():
        values = maps.cross_at(seed_level, class_name)
        weighted.append(weight * resize(values / values.sum().clamp_min(TINY), maps.grid(level)))
    soft = steps.keep(Step("cross_attention"), *min_max(torch.stack(weighted).sum(0)))

    # 2. Self-attention of less entropy. 3. The walk.
    self_attention = maps.self_at(level)
    walk = less_entropy(self_attention / self_attention.amax(0).clamp_min(TINY), 0.015)
    for number in range(1, config.tau + 1):
        soft = times_vector(walk, soft.flatten()).reshape(soft.shape)
        soft = steps.keep(Step("entropy walk", level, number), *min_max(soft))
    return steps.finish(soft)


def less_entropy(weights: torch.Tensor, strength: float) -> torch.Tensor:
    """`max(0, w + λ log10(e w))` of (N, N) weights ≥ 0, with rows that sum to 1. A row of zeros attends to itself."""
    less = (weights + strength * (weights.log10() + math.log10(math.e))).clamp_min_(0)  # log10(0) = −∞, which becomes 0
    less.diagonal().masked_fill_(less.sum(1) == 0, 1)
    return less.div_(less.sum(1, keepdim=True))


def restart_walk(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """NERVE's walk with restart, over cross-attention G of L / seed_level (in the paper a map of CLIP's), at L /
    self_level.

        P ← (1 − α) G + α SA P, `config.tau` times from P = G;   its limit is (1 − α) (I − α SA)⁻¹ G
    """
    steps = Steps()
    level, alpha = config.self_level, 0.8

    # 1. Cross-attention at one level, brought to self-attention's side.
    start = resize(maps.cross_at(config.seed_level, class_name), maps.grid(level))
    start = soft = steps.keep(Step("cross_attention"), *min_max(start))

    # 2. The walk. 3. Min-max per class.
    for number in range(1, config.tau + 1):
        soft = (1 - alpha) * start + alpha * random_walk(maps.self_at(level), soft)
        steps.keep(Step("walk with restart", level, number), *min_max(soft))
    return steps.finish(*min_max(soft))
