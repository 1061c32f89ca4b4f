"""Presence: is the class in the picture? Two looks: how much attention its word gets, and whether naming it explains the picture.

1. Cross-attention of the word, in units of what words get that begin the sentence and name nothing (`a photo of a`). An absent class has
attention, too: a softmax leaves some to every word, and min-max stretches it to a full map. The classes of a sentence share what its
nouns get, so one of seven stands out less than one alone; the score allows for that.

2. Attention says where a class would be rather than whether it is what is there: asked for a bus in a picture of a car, the UNet looks at
the car. So the picture is noised, and denoised with a sentence of each class asked for, alone. Where the class's word has most attention,
the sentence that is right leaves a smaller error than the others, and than none (as in diffusion classifiers: Li et al., ICCV 2023).

`seediff study presence` measures it. On 100 of the embedded model's tuning scenes, AUC of the first look / of both: sentences with the
classes of the scene and up to three others 0.88 / 0.95, sentences of one class 0.84 / 0.89, all classes at once 0.82 / 0.93. Of attention
alone this ratio was the best; plain attention at the strongest positions, how far these stand out in the maps that masks are made of
(eq. 5), and how well their levels agree were worse by 0.01 to 0.28.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from ..attention.maps import AttentionMaps
from ..config.names import DEFAULT_PROMPTS, join_classes
from ..errors import UserError
from .arithmetic import resize

if TYPE_CHECKING:
    from ..models.registry import Model

TIMESTEP = 150
"""At which noise-free latents are shown to the UNet. From 50 to 250 it makes no difference; above, scores tell less."""

STRONGEST = 0.02
"""Share of the positions that the score is read at: a small object has no more."""

CROWDING = 0.25
"""Exponent of the number of classes in the sentence. On the tuning scenes the strongest ratio of a class that is there falls from 7.5 in
sentences of one class to 5.4 in those of seven, and that of an absent one from 5.6 to 3.3, so that no one threshold fits both. At the
threshold that is best for all, balanced accuracy in sentences of seven is 0.74 with it and 0.71 without, in those of one 0.74 and 0.68."""

FLOOR = 1e-6
"""Attention below this is none: half precision rounds it to zero."""


NOISED = (400, 600)
"""Timesteps of the second look."""
LOOKED_AT = 0.05
"""Share of the positions at which errors are compared: those where the class's word has most attention."""
WEIGHT, LARGEST_GAIN = 4.0, 0.5
"""What an e-fold smaller error counts against an e-fold more attention, and the gain, in e-folds, beyond which it counts no more. On 100
tuning scenes AUC in questions of all classes / of one: 0.88 / 0.87 with a weight of 1, 0.91 / 0.89 with 2, 0.92 / 0.90 with 4 and 6."""
MOST_COMPARED = 20
"""Classes that the second look compares; asked for more, those with the least attention are taken not to explain the picture."""


def presence(maps: AttentionMaps, class_name: str, gain: float = 0.0) -> float:
    """How clearly a picture holds a class, in (0, 1).

    With r, the attention to the class's word over that to the words before the first class, averaged (as a logarithm) over all levels
    and then over the strongest 2 % of positions, times n^¼ in a sentence of n classes, times e^(4 gain): r / (1 + r). So ½ is as much as a
    word that means nothing gets.

    maps: of one sentence, with plain means of probabilities (`normalized=False`); self-attention is not read. A sentence that begins
    with a class is measured against the start token. gain: of the class as `gains` gives it; 0: the first look alone.

    Raises UserError when the class is not in the prompt or cross-attention was not captured, ValueError for normalised maps.
    """
    ratio = log_ratio(maps, class_name).flatten()
    strongest = ratio.topk(max(1, round(STRONGEST * len(ratio)))).values.mean()
    return 1 / (1 + math.exp(-float(strongest) - CROWDING * math.log(len(maps.words)) - WEIGHT * gain))


def gains(errors: Mapping[str, torch.Tensor], ratios: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Of each class in `ratios`: how much smaller the error is with its sentence than with the best of the others, in e-folds, where its
    word has most attention; at most LARGEST_GAIN either way.

    errors: sentence → (K, h, w) at L, of the classes and of no class (""). ratios: class → (h, w), its `log_ratio`. Logarithms are averaged
    over timesteps, so that it makes no difference what the model predicts.
    """
    by_class = {}
    for name, ratio in ratios.items():
        where = ratio.flatten().topk(max(1, round(LOOKED_AT * ratio.numel()))).indices
        at = {other: _log_error(error, ratio.shape, where) for other, error in errors.items() if other in ratios or not other}
        gain = min(value for other, value in at.items() if other != name) - at[name] if name in at else -LARGEST_GAIN
        by_class[name] = max(-LARGEST_GAIN, min(LARGEST_GAIN, gain))
    return by_class


def _log_error(errors: torch.Tensor, grid: Sequence[int], where: torch.Tensor) -> float:
    """The mean over timesteps of the logarithm of the mean error (K, h, w) at positions of a map of another size."""
    seen = resize(errors, grid)
    return float(seen.flatten(1)[:, where].mean(1).clamp_min(torch.finfo(torch.float32).tiny).log().mean())


def log_ratio(maps: AttentionMaps, class_name: str) -> torch.Tensor:
    """(h, w) at the finest level captured: log of attention to the class over that to empty words, the mean over levels."""
    if maps.normalized:
        raise ValueError("presence compares words, so it needs plain means: maps divided by each word's maximum have lost how much it is")
    if not maps.cross_attention:
        raise UserError("presence needs cross-attention, and none was captured")
    empty = _empty_columns(maps)
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
    """Presence of every class in images, by their latents (B, C, h, w) as `encode_images` gives them: class → score, in the order of the
    sentences.

    sentences: of each image, (prompt, the classes that it names), as `encode.capture_classes` takes them; none: nothing to look for.
    template: with `{class}`, of the sentences of one class. One UNet call a sentence on the noise-free latent, then two for each class and
    two for none. The same noise for all, so that no score depends on the batch.
    """
    from ..attention.photograph import capture_clean

    looks: list[list[AttentionMaps]] = [[] for _ in sentences]
    for turn in range(max(map(len, sentences), default=0)):
        shown = [i for i, sentence_parts in enumerate(sentences) if turn < len(sentence_parts)]
        prompts, classes = zip(*(sentences[i][turn] for i in shown), strict=True)
        maps = capture_clean(model, latents[shown], prompts, classes, timestep=TIMESTEP, kind="cross")
        for i, sentence_maps in zip(shown, maps, strict=True):
            looks[i].append(sentence_maps)
    return [_scores(model, latent, sentence_parts, template) for latent, sentence_parts in zip(latents, looks, strict=True)]


def _scores(model: Model, latents: torch.Tensor, looks: Sequence[AttentionMaps], template: str) -> dict[str, float]:
    """Presence of the classes of one image (C, h, w), from what was captured with its sentences."""
    from ..attention.photograph import denoising_errors

    if not looks:
        return {}
    first = {name: presence(maps, name) for maps in looks for name in maps.words}
    compared = sorted(first, key=lambda name: -first[name])[:MOST_COMPARED]
    prompts = [template.replace("{class}", join_classes((name,))) for name in compared]
    errors = denoising_errors(model, latents, ["", *prompts], timesteps=NOISED)
    gain = gains(dict(zip(["", *compared], errors, strict=True)), {name: log_ratio(maps, name) for maps in looks for name in maps.words})
    return {name: presence(maps, name, gain[name]) for maps in looks for name in maps.words}


def _empty_columns(maps: AttentionMaps) -> list[int]:
    """The tokens between the start token and the first class; the start token where there are none."""
    first = min(column for columns in maps.words.values() for column in columns)
    return list(range(1, first)) or [0]
