"""Presence: is the class in the picture? The score has two parts (docs/segments.md has what each gains).

1. The cross-attention to the class's word, relative to the attention to words without meaning at the beginning of the
sentence (`a photo of a`): a softmax gives some attention to every word.

2. Attention shows where a class would be, not whether it is there. So the picture is noised, and denoised with one
sentence per class. Where the class's word gets most attention, the right sentence has the smallest error (as in
diffusion classifiers: Li et al., ICCV 2023).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import torch

from ..attention.maps import AttentionMaps
from ..attention.see_photos import by_sentence, capture_clean, check_schedule, read_prompts
from ..config.class_names import DEFAULT_PROMPTS, join_classes
from .arithmetic import TINY, resize

if TYPE_CHECKING:
    from ..models.families.family import Condition
    from ..models.registry import Model

TIMESTEP = 150
"""Timestep at which the UNet sees the noise-free latents."""
STRONGEST = 0.02
"""The share of positions, those with the strongest attention, that the score uses."""
CROWDING = 0.25
"""Exponent of the number of classes in a sentence: with it, one threshold suits sentences of one class and of seven."""
FLOOR = 1e-6
"""Attention below this counts as zero, as in half precision."""
CONTRAST_LEVEL = 4
"""The level that `contrast` reads, because most methods read its maps anyway."""
NOISED = (400, 600)
"""Timesteps of the noised latents in the second part."""
LOOKED_AT = 0.05
"""The share of positions at which errors are compared."""
WEIGHT, LARGEST_GAIN = 4.0, 0.5
"""Weight of the error relative to attention, and the largest gain that counts, both as logarithms."""
MOST_COMPARED = 20
"""Maximum number of classes that the second part compares; classes with less attention get no gain."""
TOGETHER = 8
"""Prompts per network call of `denoising_errors`."""


def presence(maps: AttentionMaps, class_name: str, gain: float = 0.0) -> float:
    """How clearly a picture shows a class, in (0, 1): r / (1 + r), so ½ means as much attention as a word without
    meaning gets. r is `exp(log_ratio)`, averaged (as a logarithm) over the strongest 2 % of positions, times n^¼ in a
    sentence of n classes, times e^(4 gain). maps: for one sentence. gain: the class's, from `gains`.
    """
    ratio = log_ratio(maps, class_name).flatten()
    strongest = ratio.topk(max(1, round(STRONGEST * len(ratio)))).values.mean()
    return 1 / (1 + math.exp(-float(strongest) - CROWDING * math.log(len(maps.words)) - WEIGHT * gain))


def contrast(maps: AttentionMaps, class_name: str) -> float:
    """Standard deviation of the attention to a class at L / CONTRAST_LEVEL, divided by its mean: large for a class with
    a place in the picture, and small for a class that was not drawn, as for any word without a place."""
    word = maps.cross_at(CONTRAST_LEVEL, class_name)
    return float(word.std() / word.mean().clamp_min(TINY))


def gains(errors: Mapping[str, torch.Tensor], ratios: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Class → how much smaller the error is with the class's sentence than with the best other sentence, in e-folds, at
    the positions where its word gets most attention; clipped to ±LARGEST_GAIN. errors: class, or "" for the empty
    sentence, → (K, h, w) at L. ratios: class → its `log_ratio` (h, w)."""
    by_class = {}
    for name, ratio in ratios.items():
        where = ratio.flatten().topk(max(1, round(LOOKED_AT * ratio.numel()))).indices
        at = {}
        for other in (other for other in errors if other in ratios or not other):
            of_timestep = resize(errors[other], ratio.shape).flatten(1)[:, where].mean(1)
            at[other] = float(of_timestep.clamp_min(TINY).log().mean())
        gain = -LARGEST_GAIN
        if name in at:
            gain = min(value for other, value in at.items() if other != name) - at[name]
        by_class[name] = max(-LARGEST_GAIN, min(LARGEST_GAIN, gain))
    return by_class


def log_ratio(maps: AttentionMaps, class_name: str) -> torch.Tensor:
    """(h, w) at the finest captured level: the logarithm of the attention to the class, relative to the attention to
    words before the first class, averaged over levels. A text that begins with a class has no such words; then its
    first token that belongs to no class takes their place."""
    if maps.normalized or not maps.cross_attention:
        raise ValueError("presence compares words, so it needs plain means of cross-attention")
    taken = set(chain.from_iterable(maps.words.values()))
    # The tokens between the start token and the first class; texts of T5 have no start token.
    empty = list(range(1, min(taken))) or [min({*range(len(taken) + 1)} - taken)]
    finest = max(maps.cross_attention)
    ratios = []
    for grid, attention in maps.cross_attention.items():
        word = maps.cross_at(maps.level(grid), class_name)
        nothing = attention[:, empty].mean(1).reshape(grid)
        ratios.append(resize(word.clamp_min(FLOOR).log() - nothing.clamp_min(FLOOR).log(), finest))
    return torch.stack(ratios).mean(0)


def find_classes(
    model: Model,
    latents: torch.Tensor,
    sentences: Sequence[Sequence[tuple[str, Sequence[str]]]],
    *,
    template: str = DEFAULT_PROMPTS[0],
) -> list[dict[str, float]]:
    """For each image, class → presence score, in the order of the sentences. latents: (B, C, h, w).

    sentences: for each image, (prompt, the classes that it names). template: for sentences with one class. The network
    runs once per sentence without noise, and then twice, with two amounts of noise, for the empty sentence and for each
    of the MOST_COMPARED likeliest classes.
    """

    def capture(rows: Sequence[int], prompts: Sequence[str], classes: Sequence[Sequence[str]]) -> list[AttentionMaps]:
        return capture_clean(model, latents[rows], prompts, classes, timestep=TIMESTEP, kind="cross")

    captured = by_sentence(sentences, capture)
    return [_scores(model, latent, of_image, template) for latent, of_image in zip(latents, captured, strict=True)]


def _scores(model: Model, latents: torch.Tensor, captured: Sequence[AttentionMaps], template: str) -> dict[str, float]:
    """Class → presence in one image. latents: (C, h, w). captured: the maps for each of its sentences."""
    if not captured:
        return {}
    named: dict[str, AttentionMaps] = {}
    for maps in captured:
        named |= dict.fromkeys(maps.words, maps)
    compared = sorted(named, key=lambda name: -presence(named[name], name))[:MOST_COMPARED]
    prompts = [template.replace("{class}", join_classes((name,))) for name in compared]
    errors = denoising_errors(model, latents, ["", *prompts], timesteps=NOISED)
    ratios = {name: log_ratio(maps, name) for name, maps in named.items()}
    gain = gains(dict(zip(["", *compared], errors, strict=True)), ratios)
    return {name: presence(maps, name, gain[name]) for name, maps in named.items()}


@torch.no_grad()
def denoising_errors(
    model: Model, latents: torch.Tensor, prompts: Sequence[str], *, timesteps: Sequence[int]
) -> torch.Tensor:
    """(P, K, h, w) float32: for each prompt and timestep, the squared error of the network's prediction at every
    position, averaged over channels. The prediction is of noise, velocity or the image, as the model was trained.

    latents: (C, h, w) of one image, noised at each of K timesteps. The noise depends only on the timestep, and is the
    same for every prompt and image.
    """
    check_schedule(model, timesteps)
    family, pipe = model.family, model.pipe
    condition = read_prompts(model, prompts)
    errors = torch.empty(len(prompts), len(timesteps), *latents.shape[1:], device=latents.device)
    for number, timestep in enumerate(timesteps):
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(timestep)).to(latents)
        a, b = family.mix(pipe, timestep)
        noisy = a * latents + b * noise
        target = family.target(pipe, timestep, latents, noise).float()
        for start in range(0, len(prompts), TOGETHER):
            part: Condition = {name: tensor[start : start + TOGETHER] for name, tensor in condition.items()}
            count = len(prompts[start : start + TOGETHER])
            predicted = family.denoise(pipe, noisy.expand(count, *latents.shape), timestep, part)
            errors[start : start + count, number] = (predicted.float() - target).square().mean(1)
    model.rest()
    return errors
