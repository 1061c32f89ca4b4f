"""SeeDiff as its published program is described to work where it departs from the paper.

Otsu's seeds and one expansion by cosine similarity; then at every finer level only the background is expanded. Uses
`seed_level` and `expand_levels`, but not α and β. Flags: `no_background_seeds`, `constant_map`. Written from a
description, without that program; its weights for single layers have no counterpart. PAMR's iterations are described
as "many"; 50 is SeeDiff's choice.
"""

from __future__ import annotations

import torch

from seediff.attention.maps import AttentionMaps
from seediff.config.methods import MaskConfig
from seediff.masks.arithmetic import TINY, min_max, otsu, resize, sum_of_rows, times_vector
from seediff.masks.methods import suppress
from seediff.masks.steps import CROSS_ATTENTION, MaskStep, SoftMask, Steps

CONSTANTS = {
    "guidance_scale": 7.0,
    "plain_means": True,
    "capture": {"steps": "all", "layers": "up"},
    "levels": {"cross": "seed_level", "self": "expand_levels"},
    "last_steps": {
        "resize": "bicubic",
        "cut": 0.5,
        "bandwidth": 0.2,
        "iterations": 50,
        "dilations": [1],
        "threshold": 0.8,
    },
}


def reference(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    steps = Steps()
    first, *finer = config.expand_levels

    # 1. Cross-attention of the class; seeds where its square is above Otsu's threshold.
    cross = resize(maps.cross_at(config.seed_level, class_name), maps.grid(first))
    squared = steps.keep(CROSS_ATTENTION, *min_max(cross)).square()
    seeds = steps.keep(MaskStep("seeds", first), squared >= otsu(squared))

    # 2. Expansion by similarity of self-attention rows.
    soft = similarity(maps.self_at(first), seeds)
    steps.keep(MaskStep("expansion", first), *min_max(soft))

    # 3. At each finer level, keep whatever does not resemble the background.
    for level in finer:
        soft = resize(soft, maps.grid(level), "bicubic")
        seeds = steps.keep(MaskStep("background seeds", level), ~(soft.square() >= otsu(soft.square())))
        soft, flags = min_max(soft)
        steps.flag(flags)
        if not seeds.any():
            steps.flag(("no_background_seeds",))
            continue
        background = steps.keep(MaskStep("background", level), *min_max(similarity(maps.self_at(level), seeds)))
        soft = steps.keep(MaskStep("visible", level), *min_max(suppress(soft, background)))

    return steps.result(*min_max(soft))


def similarity(self_attention: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """`Σ_{i ∈ S} cos(SA_i, SA_s)` for every position s, (h, w), from self-attention (N, N) and seeds (h, w): with U the
    rows at unit length, U (Uᵀ 1_S).
    """
    lengths = torch.linalg.vector_norm(self_attention, dim=1).clamp_min(TINY)
    rows = seeds.flatten().nonzero().squeeze(1)
    resultant = sum_of_rows(self_attention, rows, 1 / lengths[rows])
    return (times_vector(self_attention, resultant) / lengths).reshape(seeds.shape)
