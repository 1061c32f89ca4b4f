"""SeeDiff (Park, Jo, Baik: "SeeDiff: Off-the-Shelf Seeded Mask Generation from Diffusion Models", AAAI 2025)."""

from __future__ import annotations

import torch

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from .background import background_seeds, suppress
from .expand import expand
from .normalize import min_max, resize
from .results import SoftMask
from .seeds import find_seeds
from .steps import Steps, mean_cross_attention
from .trace import Step


def seediff(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """Cross-attention gives seeds, self-attention expands them from coarse to fine, the background's expansion is taken away.

    Soft map at the finest of `config.expand_levels`. Flags: `no_seeds`, `no_background_seeds`, `constant_map`. Ablations:
    `expansion` "none" is CAA, "parallel" CRE, "iterative" IRE, each as it is with background=False; `background` adds BE.
    """
    steps = Steps()

    # 1. Aggregation over layers and denoising steps (eq. 5) was done at capture: `maps` holds it.
    # 2. and 3. Seeds, and their expansion.
    soft = {"none": _aggregated, "parallel": _parallel, "iterative": _iterative}[config.expansion](maps, class_name, config, steps)

    # 4. The background, expanded from its own seeds, is taken away (eq. 10–11).
    if config.background:
        seeds = steps.keep(Step("background seeds"), *background_seeds(soft, config.alpha))
        if seeds.any():
            background = steps.keep(Step("background"), *min_max(expand(maps.self_at(min(config.expand_levels)), seeds)))
            soft, flags = min_max(suppress(soft, background))
            steps.flag(flags)

    return steps.finish(soft)


def _iterative(maps: AttentionMaps, class_name: str, config: MaskConfig, steps: Steps) -> torch.Tensor:
    """IRE: each level's expansion gives the seeds of the next (eq. 6–9)."""
    # 2. Cross-attention of the class at one level, min-max: α means nothing on its own scale, whose maxima are about 0.06.
    cross = resize(maps.cross_at(config.seed_level, class_name), maps.grid(config.expand_levels[0]))
    soft = steps.keep(Step("cross_attention"), *min_max(cross))
    for level in config.expand_levels:
        # 3a. The map so far, at this level's side (eq. 8), and where it is at least α (eq. 6, 9).
        seeds = steps.keep(Step("seeds", level), *find_seeds(resize(soft, maps.grid(level)), config.alpha))
        # 3b. The mean of the seeds' self-attention (eq. 7).
        soft = steps.keep(Step("expansion", level), *min_max(expand(maps.self_at(level), seeds)))
    return soft


def _parallel(maps: AttentionMaps, class_name: str, config: MaskConfig, steps: Steps) -> torch.Tensor:
    """CRE: every level expands the seeds of its own cross-attention; the expansions are averaged."""
    expansions = []
    for level in config.expand_levels:
        cross = steps.keep(Step("cross_attention", level), *min_max(maps.cross_at(level, class_name)))
        seeds = steps.keep(Step("seeds", level), *find_seeds(cross, config.alpha))
        soft = steps.keep(Step("expansion", level), *min_max(expand(maps.self_at(level), seeds)))
        expansions.append(resize(soft, maps.grid(min(config.expand_levels))))
    return steps.keep(Step("expansion mean"), *min_max(torch.stack(expansions).mean(0)))


def _aggregated(maps: AttentionMaps, class_name: str, config: MaskConfig, steps: Steps) -> torch.Tensor:
    """CAA: cross-attention averaged over the levels, nothing expanded."""
    return steps.keep(Step("cross_attention"), *min_max(mean_cross_attention(maps, class_name, config.expand_levels)))
