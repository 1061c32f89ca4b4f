"""Is the class in the picture? Cross-attention of its word, measured against words that mean nothing.

An absent class has attention, too: a softmax leaves some to every word, and min-max stretches it to a full map. How much the strongest
positions look at the word says more, in units of what they look at the words that begin the sentence and name nothing (`a photo of a`).
The classes of a sentence share what its nouns get, so one of seven stands out less than one alone; the score allows for that.

`seediff study presence` measures it. Tried on the embedded model's tuning scenes, AUC in sentences with the classes of the scene and up to
three others / in sentences of one class: this ratio 0.90 / 0.81; plain attention at the strongest positions 0.89 / 0.72; in the maps that
masks are made of (eq. 5), how far their strongest positions stand out 0.88 / 0.64, how well their levels agree 0.80 / 0.62.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from .errors import UserError
from .normalize import resize
from .types import AttentionMaps

if TYPE_CHECKING:
    from .models.registry import Model

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


def presence(maps: AttentionMaps, class_name: str) -> float:
    """How clearly a picture holds a class, in (0, 1).

    With r, the attention to the class's word over that to the words before the first class, averaged (as a logarithm) over all levels
    and then over the strongest 2 % of positions, times n^¼ in a sentence of n classes: r / (1 + r). So ½ is as much as a word that
    means nothing gets.

    maps: of one sentence, with plain means of probabilities (`normalized=False`); self-attention is not read. A sentence that begins
    with a class is measured against the start token.

    Raises UserError when the class is not in the prompt or cross-attention was not captured, ValueError for normalised maps.
    """
    ratio = log_ratio(maps, class_name).flatten()
    strongest = ratio.topk(max(1, round(STRONGEST * len(ratio)))).values.mean()
    return 1 / (1 + math.exp(-float(strongest) - CROWDING * math.log(len(maps.words))))


def log_ratio(maps: AttentionMaps, class_name: str) -> torch.Tensor:
    """(R, R) at the finest level captured: log of attention to the class over that to empty words, the mean over levels."""
    if maps.normalized:
        raise ValueError("presence compares words, so it needs plain means: maps divided by each word's maximum have lost how much it is")
    if not maps.cross_attention:
        raise UserError("presence needs cross-attention, and none was captured")
    empty = _empty_columns(maps)
    finest = max(maps.cross_attention)
    ratios = []
    for side, attention in maps.cross_attention.items():
        word = maps.cross_at(maps.latent_side // side, class_name)
        nothing = attention[:, empty].mean(1).reshape(side, side)
        ratios.append(resize(word.clamp_min(FLOOR).log() - nothing.clamp_min(FLOOR).log(), (finest, finest)))
    return torch.stack(ratios).mean(0)


def find_classes(model: Model, latents: torch.Tensor, sentences: Sequence[Sequence[tuple[str, Sequence[str]]]]) -> list[dict[str, float]]:
    """Presence of every class in images, by their latents (B, 4, L, L) as `encode_images` gives them: class → score, in the order of the
    sentences.

    sentences: of each image, (prompt, the classes that it names), as `encode.capture_classes` takes them; none: nothing to look for.
    One UNet call a sentence, on the noise-free latent, so nothing is random.
    """
    from .encode import capture_clean

    scores: list[dict[str, float]] = [{} for _ in sentences]
    for turn in range(max(map(len, sentences), default=0)):
        shown = [i for i, own in enumerate(sentences) if turn < len(own)]
        prompts, classes = zip(*(sentences[i][turn] for i in shown), strict=True)
        maps = capture_clean(model, latents[shown], prompts, classes, timestep=TIMESTEP, kind="cross")
        for i, one in zip(shown, maps, strict=True):
            scores[i] |= {name: presence(one, name) for name in one.words}
    return scores


def _empty_columns(maps: AttentionMaps) -> list[int]:
    """The tokens between the start token and the first class; the start token where there are none."""
    first = min(column for columns in maps.words.values() for column in columns)
    return list(range(1, first)) or [0]
