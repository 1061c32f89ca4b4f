"""MaskDiffusion (arXiv 2403.11194): each class has a prototype among the network's features, and each position the class whose prototype it
resembles most.

    p_c = Σ_i CA_c(i) f_i / Σ_i CA_c(i),   class(i) = argmax_c f_i · p_c,   f_i: unit features

Written from the equations (the authors' program, at 1955c87, has no licence). CA is that of the coarse levels L/8 and L/4. What the
equations leave open:

- The features are those of the layer that `Family.reference` names, with which GoCA compares layers.
- CA is stretched by min-max before it weighs positions: a plain mean by probabilities, which differ little from place to place, would give
  all classes nearly the same prototype.
- The soft mask is f · p by one min-max over all classes of the picture, so that the argmax stays theirs; what is below β is background.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from .arithmetic import level_shares, min_max, resize
from .steps import SoftMask, Step, Steps

WEIGHTS = {8: 0.5, 4: 0.5}
"""Of cross-attention at L / 8 and L / 4."""


def maskdiffusion(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """f · p at the features' side, in [0, 1] over all classes of the picture. Flag: `constant_map`."""
    steps = Steps()
    maps.columns(class_name)
    ((grid, values),) = maps.features.items()
    unit = F.normalize(values, dim=1)

    # 1. Cross-attention of every class at the features' side, and its prototypes (C, d).
    shares = level_shares(maps, maps.cross_attention, WEIGHTS)
    weights = {
        name: min_max(torch.stack([share * resize(maps.cross_at(level, name), grid) for level, share in shares.items()]).sum(0))
        for name in maps.words
    }
    steps.keep(Step("cross_attention"), *weights[class_name])
    prototypes = torch.stack([_mean(unit, of_class.flatten()) for of_class, _ in weights.values()])

    # 2. Likeness of every position with each.
    likeness = steps.keep(Step("likeness"), *min_max(unit @ prototypes.T))
    return steps.finish(likeness[:, list(maps.words).index(class_name)].reshape(grid))


def _mean(unit: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(d,): the weighted mean of features (N, d); of all alike where no weight is above 0."""
    weights = weights if bool(weights.any()) else torch.ones_like(weights)
    return (weights[:, None] * unit).sum(0) / weights.sum()
