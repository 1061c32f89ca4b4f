"""MaskDiffusion (arXiv 2403.11194): each class has a prototype among the network's features, and each position the class whose prototype it
resembles most.

    p_c = Σ_i w_c(i) f_i,   class(i) = argmax_c f_i · p_c,   f_i: unit features,   w_c: the class's cross-attention

Written from the equations (the authors' program, at 1955c87, has no licence). There all classes of a vocabulary compete, including words
for backgrounds. Here only the picture's classes are given, so the background has a prototype too:

    w_c = N(CA_c)²,   w_background = (1 − max_c N(CA_c))²,   M_c = ½ (1 + f · p_c − f · p_background),   N: min-max

Prototypes are scaled to unit length. M is ½ where a position resembles class and background equally, and positions below β are
background. The squares keep the many positions with middling attention out of all prototypes. The features are those of the layer that
`Family.reference` names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from .arithmetic import mean_cross_attention, min_max, resize
from .steps import SoftMask, Step, Steps

POWER = 2
"""Exponent of cross-attention in prototypes."""


def maskdiffusion(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """M_c at the features' side, in [0, 1]; cross-attention at `config.expand_levels`. Flag: `constant_map`."""
    steps = Steps()
    maps.columns(class_name)
    ((grid, features),) = maps.features.items()
    unit = F.normalize(features, dim=1)

    # 1. Cross-attention of all classes of the picture at the features' side.
    stretched = {name: min_max(resize(mean_cross_attention(maps, name, config.expand_levels), grid)) for name in maps.words}
    steps.keep(Step("cross_attention"), *stretched[class_name])

    # 2. Prototypes of the class and of the background.
    weights = stretched[class_name][0]
    behind = 1 - torch.stack([of_class for of_class, _ in stretched.values()]).amax(0)
    prototype, background = (F.normalize((of.flatten()[:, None] ** POWER * unit).sum(0), dim=0) for of in (weights, behind))

    # 3. How much more each position resembles the class than the background.
    return steps.finish((0.5 * (1 + unit @ (prototype - background))).clamp(0, 1).reshape(grid))
