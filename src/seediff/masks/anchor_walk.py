"""A walk from the peaks of cross-attention, between positions that have similar outputs and attend to each other. After AnchorDiff (arXiv
2605.26460), of which only the text was available: its seed is a single position, so it misses a second object of a class.

    W_ij ∝ max(0, cos(f_i, f_j)) · SA_ij / max_j SA_ij,   rows divided by their sums
    P ← (1 − α) G + α W P,   from P = G

f: outputs of one layer of attention. G: N(CA) of the class at its peaks, 0 elsewhere. A peak is a position with no higher neighbour among
the 8 around it, and N(CA) ≥ `alpha`, the threshold for seeds.

From the paper: the gate, and the one-hot seed. This project's choices: several peaks, α = 0.95, ten rounds, the layer (`Family.reference`),
the threshold.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from .arithmetic import min_max, resize
from .baselines import random_walk
from .steps import SoftMask, Step, Steps

RESTART = 0.95
"""α of the walk: the share of a position's value that comes from the positions it leads to; the rest is its seed's."""
TINY = torch.finfo(torch.float32).tiny


def anchor_walk(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """P after `config.tau` rounds at L / `config.self_level`, from cross-attention of L / `config.seed_level`. Flag: `constant_map`."""
    steps = Steps()
    level = config.self_level

    # 1. Peaks of cross-attention, at self-attention's side.
    cross = resize(maps.cross_at(config.seed_level, class_name), maps.grid(level))
    cross = steps.keep(Step("cross_attention"), *min_max(cross))
    start = steps.keep(Step("peaks"), cross * peaks(cross, config.alpha))

    # 2. The gated graph. 3. The walk.
    (grid, outputs), attention = next(iter(maps.features.items())), maps.self_at(level)
    features = resize(outputs.T.unflatten(1, grid), maps.grid(level)).flatten(1).T
    walk = gated(attention, features)
    soft = start
    for number in range(1, config.tau + 1):
        soft = (1 - RESTART) * start + RESTART * random_walk(walk, soft)
        steps.keep(Step("walk with restart", level, number), *min_max(soft))
    soft, flags = min_max(soft)
    steps.flag(flags)
    return steps.finish(soft)


def peaks(values: torch.Tensor, threshold: float) -> torch.Tensor:
    """(h, w) bool: positions of a map that have no higher neighbour and reach the threshold."""
    return (values == F.max_pool2d(values[None], 3, 1, 1)[0]) & (values >= threshold)


def gated(attention: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """max(0, cosine of features (N, D)) times attention (N, N), each of whose rows is divided by its maximum."""
    unit = F.normalize(features, dim=1)
    return (unit @ unit.T).clamp_min_(0).mul_(attention / attention.amax(1, keepdim=True).clamp_min(TINY))
