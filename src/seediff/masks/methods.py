"""The package's mask methods, and `METHODS`, which has them by name. (own_methods.py: a user's.)

They are SeeDiff (Park, Jo, Baik: "SeeDiff: Off-the-Shelf Seeded Mask Generation from Diffusion Models", AAAI 2025), the
two baselines of its paper, and DAAM. The baselines follow the descriptions in their papers:

- CA: cross-attention alone, as in DiffuMask (Wu et al., ICCV 2023) without its learnt thresholds.
- CA·SA: cross-attention multiplied with self-attention, as in Dataset Diffusion (Nguyen et al., NeurIPS 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ..attention.maps import AttentionMaps
from ..config.methods import MaskConfig
from .arithmetic import mean_cross_attention, min_max, random_walk, resize, sum_of_rows
from .steps import CROSS_ATTENTION, SELF_ATTENTION_PRODUCT, SOFT_MASK, MaskStep, SoftMask, Steps

SEEDS = MaskStep(
    "seeds",
    text="Positions whose cross-attention is at least α: sure parts of the object, from which it grows.",
    equation="eq. 6",
)
EXPANSION = MaskStep(
    "expansion",
    text="Self-attention averaged over the seeds' rows: whatever looks like the seeds lights up.",
    equation="eq. 7",
)
NEXT_SEEDS = MaskStep(
    "seeds",
    text="The last expansion, enlarged to this side and cut at α: the next expansion starts here.",
    equation="eq. 8, 9",
    main=False,
)
EXPANSION_MEAN = MaskStep("expansion mean", text="The expansions of all levels at one side, averaged.", main=False)
BACKGROUND_SEEDS = MaskStep(
    "background seeds",
    text="Positions that the expansion left dark, 1 − M′ ≥ α: seeds of the background.",
    equation="eq. 10, 9",
    main=False,
)
BACKGROUND = MaskStep(
    "background",
    text="Where the background's seeds attend, on average: the background grown from its seeds.",
    equation="eq. 7",
    main=False,
)
VISIBLE = MaskStep(
    "soft mask",
    text="(1 − background) × the last expansion: what the background claims is taken away.",
    equation="eq. 11",
    main=False,
)


def seediff(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """SeeDiff's soft mask of a class, at the finest of `config.expand_levels`. Cross-attention gives seeds,
    self-attention expands them from coarse to fine, and the background, expanded in the same way, is suppressed.

    Flags: `no_seeds`, `no_background_seeds`, `constant_map`. The paper's ablations: `config.expansion` "none" is CAA,
    "parallel" CRE, "iterative" IRE, with background=False; `config.background` adds BE.
    """
    steps = Steps()

    # 1. Aggregation over layers and denoising steps (eq. 5) was done at capture. 2. and 3. Seeds, and their expansion.
    if config.expansion == "none":
        cross = mean_cross_attention(maps, class_name, config.expand_levels)
        soft = steps.keep(CROSS_ATTENTION, *min_max(cross))
    elif config.expansion == "parallel":
        soft = _parallel(maps, class_name, config, steps)
    else:
        soft = _iterative(maps, class_name, config, steps)

    # 4. Suppress the background, which is expanded from its own seeds (eq. 10–11).
    last = SOFT_MASK
    if config.background:
        last = VISIBLE
        seeds = steps.keep(BACKGROUND_SEEDS, *background_seeds(soft, config.alpha))
        if seeds.any():
            finest = maps.self_at(min(config.expand_levels))
            background = steps.keep(BACKGROUND, *min_max(expand(finest, seeds)))
            soft, flags = min_max(suppress(soft, background))
            steps.flag(flags)

    # 5. and 6. Refinement and threshold follow for all classes at once (masks/make_masks.py).
    return steps.result(soft, step=last)


def _iterative(maps: AttentionMaps, class_name: str, config: MaskConfig, steps: Steps) -> torch.Tensor:
    """IRE: each level's expansion gives the next level's seeds (eq. 6–9)."""
    # 2. Cross-attention at one level, min-max: α has no meaning on its own scale, whose maxima are about 0.06.
    cross = resize(maps.cross_at(config.seed_level, class_name), maps.grid(config.expand_levels[0]))
    soft = steps.keep(CROSS_ATTENTION, *min_max(cross))
    step = SEEDS
    for level in config.expand_levels:
        # 3a. The map so far, at this level's side (eq. 8), and where it is at least α (eq. 6, 9).
        seeds = steps.keep(step.at(level), *find_seeds(resize(soft, maps.grid(level)), config.alpha))
        # 3b. The mean of the seeds' self-attention (eq. 7).
        soft = steps.keep(EXPANSION.at(level), *min_max(expand(maps.self_at(level), seeds)))
        step = NEXT_SEEDS
    return soft


def _parallel(maps: AttentionMaps, class_name: str, config: MaskConfig, steps: Steps) -> torch.Tensor:
    """CRE: every level expands the seeds from its own cross-attention, and the expansions are averaged."""
    expansions = []
    for level in config.expand_levels:
        cross = steps.keep(CROSS_ATTENTION.at(level), *min_max(maps.cross_at(level, class_name)))
        seeds = steps.keep(SEEDS.at(level), *find_seeds(cross, config.alpha))
        soft = steps.keep(EXPANSION.at(level), *min_max(expand(maps.self_at(level), seeds)))
        expansions.append(resize(soft, maps.grid(min(config.expand_levels))))
    return steps.keep(EXPANSION_MEAN, *min_max(torch.stack(expansions).mean(0)))


def find_seeds(soft: torch.Tensor, alpha: float) -> tuple[torch.Tensor, tuple[str, ...]]:
    """(seeds, flags) of a soft map (h, w). seeds: `S = {(i, j) | M[i, j] ≥ α}` (eq. 6, 9) as bool (h, w). If no
    position reaches α, the highest position (the first of equals) is the seed, with the flag `no_seeds`."""
    seeds = soft >= alpha
    if seeds.any():
        return seeds, ()
    seeds.view(-1)[soft.argmax()] = True
    return seeds, ("no_seeds",)


def expand(self_attention: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """The mean of the rows of self-attention at the seeds, `M'[·] = 1/|S| Σ_{i ∈ S} SA[i, ·]` (eq. 7), (h, w).
    self_attention: SA (N, N). seeds: S as bool (h, w)."""
    rows = seeds.flatten().nonzero().squeeze(1)
    return (sum_of_rows(self_attention, rows) / len(rows)).reshape(seeds.shape)


def background_seeds(soft: torch.Tensor, alpha: float) -> tuple[torch.Tensor, tuple[str, ...]]:
    """(seeds, flags) of the background. seeds: `S_bg = {1 − M' ≥ α}` (eq. 10, 9) as bool (h, w); without any, there is
    the flag `no_background_seeds`. soft: M' (h, w)."""
    seeds = 1 - soft >= alpha
    if seeds.any():
        return seeds, ()
    return seeds, ("no_background_seeds",)


def suppress(soft: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    """The soft map (h, w) in [0, 1] without the background: `M'_final = (1 − M'_bg) ⊙ M'` (eq. 11)."""
    return (1 - background) * soft


def cross_attention(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """CA: the class's cross-attention, averaged over `config.expand_levels` (in the paper L/4, L/2, L), min-max."""
    steps = Steps()
    cross = mean_cross_attention(maps, class_name, config.expand_levels)
    return steps.result(steps.keep(CROSS_ATTENTION, *min_max(cross)))


def daam(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """DAAM (Tang et al., ACL 2023, section 2.2): `D = mean over levels of max(0, bicubic(CA_level))`, min-max. Their
    program, castorini/daam at 09564e0 (MIT), clamps each head's map instead of a level's mean."""
    steps = Steps()
    levels = config.expand_levels
    finest = maps.grid(min(levels))
    enlarged = [resize(maps.cross_at(level, class_name), finest, "bicubic").clamp_min(0) for level in levels]
    return steps.result(steps.keep(CROSS_ATTENTION, *min_max(torch.stack(enlarged).mean(0))))


def cross_times_self(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """CA·SA: cross-attention after a random walk of τ steps over self-attention, `M = SA_{self_level}^τ ·
    CA_{seed_level}`, min-max."""
    steps = Steps()
    level = config.self_level

    # 1. Cross-attention at one level, brought to self-attention's side.
    soft = resize(maps.cross_at(config.seed_level, class_name), maps.grid(level))
    steps.keep(CROSS_ATTENTION, *min_max(soft))

    # 2. Only SA^τ · CA is needed: τ products with a vector, never a power of the matrix.
    for number in range(1, config.tau + 1):
        soft = random_walk(maps.self_at(level), soft)
        steps.keep(SELF_ATTENTION_PRODUCT.at(level, number), *min_max(soft))

    # 3. Min-max per class.
    return steps.result(*min_max(soft))


METHODS: Mapping[str, Callable[[AttentionMaps, str, MaskConfig], SoftMask]] = {
    "seediff": seediff,
    "ca": cross_attention,
    "ca_sa": cross_times_self,
    "daam": daam,
}
"""Name → method. A method takes an image's maps, a class name and the configuration, and returns the class's soft
mask."""
