"""DAAM (Tang et al.: "What the DAAM: Interpreting Stable Diffusion Using Cross Attention", ACL 2023, section 2.2):
cross-attention enlarged to the latent's side and averaged.

    D = mean over levels of max(0, bicubic(CA_level)),   mask: min-max of D at the image's size > τ = 0.4

As in castorini/daam at 09564e0 (MIT), plain probabilities are summed over all steps, all heads, and the layers on the
way down and up, so L/8 of Stable Diffusion, which only its middle has, is left out; negative values from bicubic
enlargement become 0; a word of several tokens has their mean. The program clamps each head's map; here the mean map of
a level is clamped. Its `normalize`, off by default, which divides by the sum over the prompt's tokens, is left out.
"""

from __future__ import annotations

import torch

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from .arithmetic import min_max, resize
from .steps import SoftMask, Step, Steps


def daam(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """D at the finest of `config.expand_levels` (the authors': L/4, L/2, L), min-max. Flag: `constant_map`."""
    steps = Steps()
    finest = maps.grid(min(config.expand_levels))
    # 1. Every level's map at the finest side. 2. Their mean. 3. Min-max, which its Finish repeats at the image's size.
    enlarged = [
        resize(maps.cross_at(level, class_name), finest, "bicubic").clamp_min(0) for level in config.expand_levels
    ]
    return steps.finish(steps.keep(Step("cross_attention"), *min_max(torch.stack(enlarged).mean(0))))
