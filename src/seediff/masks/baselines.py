"""The two baselines of the SeeDiff paper, cross-attention alone (CA) and multiplied with self-attention (CA·SA), and
DAAM.

CA follows DiffuMask (Wu et al., ICCV 2023) without its learnt thresholds, CA·SA Dataset Diffusion (Nguyen et al.,
NeurIPS 2023); both are written from the descriptions in the papers.
"""

from __future__ import annotations

import torch

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from .arithmetic import mean_cross_attention, min_max, resize, times_vector
from .steps import SoftMask, Step, Steps


def cross_attention(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """CA: only the class's cross-attention, averaged over `config.expand_levels` (in the paper L/4, L/2, L).

    Soft map at the finest of them. Flag: `constant_map`.
    """
    steps = Steps()
    # 1. Mean over the levels. 2. Min-max, which its Finish repeats at the image's size.
    soft = steps.keep(Step("cross_attention"), *min_max(mean_cross_attention(maps, class_name, config.expand_levels)))
    return steps.finish(soft)


def daam(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """DAAM (Tang et al.: "What the DAAM: Interpreting Stable Diffusion Using Cross Attention", ACL 2023, section 2.2):
    `D = mean over levels of max(0, bicubic(CA_level))`, at the finest of `config.expand_levels`, min-max. Flag:
    `constant_map`.

    As in castorini/daam at 09564e0 (MIT), plain probabilities are summed over all steps, all heads, and the layers on
    the way down and up, so L/8 of Stable Diffusion, which only its middle has, is left out. The program clamps each
    head's map; here the mean map of a level is clamped.
    """
    steps, finest = Steps(), maps.grid(min(config.expand_levels))
    # 1. Every level's map at the finest side. 2. Their mean. 3. Min-max, which its Finish repeats at the image's size.
    enlarged = [
        resize(maps.cross_at(level, class_name), finest, "bicubic").clamp_min(0) for level in config.expand_levels
    ]
    return steps.finish(steps.keep(Step("cross_attention"), *min_max(torch.stack(enlarged).mean(0))))


def cross_times_self(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """CA·SA: `M = SA_{self_level}^τ · CA_{seed_level}`, cross-attention spread by a random walk of τ steps over
    self-attention.

    Soft map at L / self_level. Flag: `constant_map`.
    """
    steps = Steps()
    level = config.self_level

    # 1. Cross-attention at one level, brought to self-attention's side.
    cross = resize(maps.cross_at(config.seed_level, class_name), maps.grid(level))
    steps.keep(Step("cross_attention"), *min_max(cross))

    # 2. Only SA^τ · CA is needed: τ products with a vector, never a power of the matrix.
    soft = cross
    for number in range(1, config.tau + 1):
        soft = random_walk(maps.self_at(level), soft)
        steps.keep(Step("self-attention product", level, number), *min_max(soft))

    # 3. Min-max per class.
    return steps.finish(*min_max(soft))


def random_walk(self_attention: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """`SA · v` with SA (N, N) made row-stochastic: each position (h, w) gets the mean of v over the positions that it
    attends to.

    Rows are divided by their sums afterwards, on the product: attention divided by its maxima (eq. 5) no longer sums to
    1.
    """
    total = self_attention.sum(1).clamp_min(torch.finfo(torch.float32).tiny)
    return (times_vector(self_attention, values.flatten()) / total).reshape(values.shape)
