"""Presence: is the class in the picture? The score has two parts; docs/segments.md shows what each of them gains.

1. Attention. A softmax gives some attention to every word. So the class's attention is divided by the attention to
words without meaning at the beginning of the sentence (`a photo of a`).

2. Denoising errors. Attention shows where a class would be, not whether it is there. So the picture is noised, and
denoised with one sentence per class. Where the class's word gets most attention, the right sentence has the smallest
error (as in diffusion classifiers: Li et al., ICCV 2023).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain, count
from typing import TYPE_CHECKING

import torch

from ..attention.maps import AttentionMaps
from ..attention.see_photos import by_sentence, capture_clean, check_schedule, read_prompts
from ..config.class_names import DEFAULT_PROMPTS, join_classes
from ..prompts.tokens import Sentence
from .arithmetic import TINY, resize

if TYPE_CHECKING:
    from ..models.registry import Model

TIMESTEP = 150
"""Timestep at which the network sees the noise-free latents."""
STRONGEST = 0.02
"""The score is a mean over this share of positions, those with the strongest attention."""
CROWDING = 0.25
"""With n classes in a sentence, r (`presence`) is multiplied by `n ** CROWDING`. So one threshold suits sentences of
one class and of seven."""
FLOOR = 1e-6
"""Attention below this counts as zero, as in half precision."""
NOISED = (400, 600)
"""Timesteps of the noised latents in the second part."""
COMPARED_SHARE = 0.05
"""Errors are compared at this share of positions, those with the strongest attention."""
WEIGHT = 4.0
"""The factor of `gains` in the score."""
LARGEST_GAIN = 0.5
"""The largest gain that counts."""
MOST_COMPARED = 20
"""Maximum number of classes whose denoising errors are compared, those with most attention. All others get the gain
−LARGEST_GAIN."""
TOGETHER = 8
"""Prompts per network call of `denoising_errors`."""


def presence(maps: AttentionMaps, class_name: str, gain: float = 0.0) -> float:
    """How clearly a picture shows a class, in (0, 1). With gain 0, ½ means that the class gets as much attention as a
    word without meaning.

    The score is r / (1 + r) with r = exp(mean of the `log_ratio` over the strongest 2 % of positions) · n^¼ · e^(4
    gain), where n is the number of classes in the sentence.

    maps: of one sentence. class_name: a class in it. gain: the class's gain from `gains`.
    """
    ratio = log_ratio(maps, class_name).flatten()
    strongest = ratio.topk(max(1, round(STRONGEST * len(ratio)))).values.mean()
    return 1 / (1 + math.exp(-float(strongest) - CROWDING * math.log(len(maps.words)) - WEIGHT * gain))


def gains(errors: Mapping[str, torch.Tensor], ratios: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Class → its gain: how much smaller the denoising error is with the class's sentence than with the best other
    sentence, as the logarithm of their ratio, between ±LARGEST_GAIN. The errors are compared where the class's word
    gets most attention.

    errors: class → (K, h, w) at L, the errors with its sentence; "" → the errors with the empty sentence. A class
    without errors gets −LARGEST_GAIN. ratios: class → its `log_ratio` (h, w)."""
    by_class = {}
    for name, ratio in ratios.items():
        positions = ratio.flatten().topk(max(1, round(COMPARED_SHARE * ratio.numel()))).indices
        logs = {}
        for sentence, error in errors.items():
            by_timestep = resize(error, ratio.shape).flatten(1)[:, positions].mean(1)
            logs[sentence] = float(by_timestep.clamp_min(TINY).log().mean())
        gain = -LARGEST_GAIN
        if name in logs:
            gain = min(log for sentence, log in logs.items() if sentence != name) - logs[name]
        by_class[name] = max(-LARGEST_GAIN, min(LARGEST_GAIN, gain))
    return by_class


def log_ratio(maps: AttentionMaps, class_name: str) -> torch.Tensor:
    """log(attention to a class / attention to words without meaning), averaged over levels: (h, w) at the finest
    captured level. Words without meaning are the words before the first class. If the text begins with a class, the
    first token that belongs to no class takes their place."""
    if maps.normalized or not maps.cross_attention:
        raise ValueError("presence compares words, so it needs plain means of cross-attention")
    class_tokens = set(chain.from_iterable(maps.words.values()))
    # The tokens between the start token and the first class. Texts of T5 have no start token.
    first_free = next(token for token in count() if token not in class_tokens)
    empty = [*range(1, min(class_tokens))] or [first_free]
    finest = max(maps.cross_attention)
    ratios = []
    for grid, attention in maps.cross_attention.items():
        word = maps.cross_at(maps.level(grid), class_name)
        meaningless = attention[:, empty].mean(1).reshape(grid)
        ratios.append(resize(word.clamp_min(FLOOR).log() - meaningless.clamp_min(FLOOR).log(), finest))
    return torch.stack(ratios).mean(0)


def find_classes(
    model: Model, latents: torch.Tensor, sentences: Sequence[Sequence[Sentence]], *, template: str = DEFAULT_PROMPTS[0]
) -> list[dict[str, float]]:
    """For each image, class → presence score, in the order of the sentences.

    The network sees an image once per sentence without noise. Then it sees the image with two amounts of noise, for the
    empty sentence and for each of the MOST_COMPARED classes with most attention.

    latents: (B, C, h, w) of the images. sentences: for each image, several pairs (prompt, the classes that it names).
    template: the prompt for a class alone.
    """

    def capture(rows: Sequence[int], some: Sequence[Sentence]) -> list[AttentionMaps]:
        return capture_clean(model, latents[rows], some, timestep=TIMESTEP, kind="cross")

    captured = by_sentence(sentences, capture)
    return [_scores(model, latent, maps, template) for latent, maps in zip(latents, captured, strict=True)]


def _scores(model: Model, latents: torch.Tensor, captured: Sequence[AttentionMaps], template: str) -> dict[str, float]:
    """Class → presence score in one image. latents: (C, h, w). captured: the maps of each sentence. template: as for
    `find_classes`."""
    if not captured:
        return {}
    named = {name: maps for maps in captured for name in maps.words}
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
    """The squared errors of the network's predictions, averaged over channels: (P, K, h, w) float32 for P prompts and K
    timesteps. The network predicts noise, velocity or the image, as it was trained.

    latents: (C, h, w) of one image. prompts: what the network reads. timesteps: the latents are noised to each of them.
    The noise depends only on the timestep, and is the same for every prompt and image.
    """
    check_schedule(model, timesteps)
    family = model.family
    pipe = model.pipe
    errors = latents.new_empty(len(prompts), len(timesteps), *latents.shape[1:], dtype=torch.float32)
    for start in range(0, len(prompts), TOGETHER):
        some = slice(start, start + TOGETHER)
        inputs = read_prompts(model, prompts[some], latents)
        for number, timestep in enumerate(timesteps):
            generator = torch.Generator().manual_seed(timestep)
            noise = torch.randn(latents.shape, generator=generator, dtype=torch.float32, device="cpu").to(latents)
            a, b = family.mix(pipe, timestep)
            noisy = a * latents + b * noise
            target = family.target(pipe, timestep, latents, noise).float()
            predicted = model.denoise(noisy.expand(len(prompts[some]), *latents.shape), timestep, inputs)
            errors[some, number] = (predicted.float() - target).square().mean(1)
    model.rest()
    return errors
