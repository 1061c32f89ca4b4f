"""Counts how masks of labelled photographs agree with the labels, for `tune` and `evaluate masks`.

The words of a prompt share a softmax, so attention to a word depends on the others. Therefore every list of classes has
a capture of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..config.photos_config import MaskPhotosConfig
from ..evaluate import mask_protocols
from ..evaluate.mask_protocols import MaskProtocol, strongest
from ..files.label_maps import IGNORE
from ..models.describe import ModelInfo
from .model_job import check_model, load_weights

if TYPE_CHECKING:
    import torch

    from ..masks.photos import PhotoMasker, PhotoView


@dataclass(frozen=True)
class LabelledPhoto:
    """An encoded photograph. latents: (1, C, h', w'). truth: (h, w) uint8 ids, 255 ignored, perhaps of another size
    than the photograph."""

    view: PhotoView
    latents: torch.Tensor
    truth: np.ndarray


def load_masker(config: MaskPhotosConfig, info: ModelInfo) -> tuple[PhotoMasker, str]:
    """What makes the masks, with its model, and the fingerprint of the weights. Raises UserError."""
    from ..masks.photos import PhotoMasker

    model, weights = load_weights(config, info)
    plan = check_model(config, model.info, model.layers)
    assert plan is not None  # a loaded model has layers
    return PhotoMasker(model, config, plan), weights


def encode_labelled(masker: PhotoMasker, index: int, pixels: np.ndarray, truth: np.ndarray) -> LabelledPhoto:
    """A photograph (H, W, 3) uint8 with its labels. index: decides the noise."""
    view = masker.view(pixels, index)
    return LabelledPhoto(view, masker.encode([view]), truth)


def count_pixels(
    masker: PhotoMasker,
    photo: LabelledPhoto,
    words: Mapping[str, int],
    size: int,
    background: int | None,
    protocols: Sequence[MaskProtocol],
) -> dict[MaskProtocol, np.ndarray]:
    """The counts of a photograph under each protocol, from `mask_protocols.count`. words: word for the prompt → id.
    background: its id; None: there is none. size: the number of ids."""
    pixels = np.bincount(photo.truth.ravel(), minlength=256)
    captured: dict[tuple[str, ...], Sequence[torch.Tensor]] = {(): ()}
    counts: dict[MaskProtocol, np.ndarray] = {}
    for protocol in protocols:
        everything = protocol == "vocabulary"
        chosen = tuple(word for word, number in words.items() if everything or pixels[number])
        if chosen not in captured:
            captured[chosen] = list(soft_masks(masker, photo, chosen))
        best = strongest(captured[chosen], [words[word] for word in chosen], photo.truth.shape)
        truth, shown = photo.truth, background
        if protocol == "oracle-ignored" and background is not None:
            truth, shown = np.where(truth == background, np.uint8(IGNORE), truth), None
        counts[protocol] = mask_protocols.count(*best, truth, size, shown)
    return counts


def soft_masks(masker: PhotoMasker, photo: LabelledPhoto, words: tuple[str, ...]) -> torch.Tensor:
    """Soft masks (n, h, w) of n ≥ 1 words, as `mask` makes them."""
    from ..masks.make_masks import make_masks

    (maps,) = masker.attention([photo.view], [words], photo.latents)
    return masker.fine_masks(photo.view, make_masks(photo.view.seen, maps, words, masker.mask_config, trace=False))


def evenly(total: int, most: int | None) -> list[int]:
    """At most so many of `total` positions, evenly spaced; None: all."""
    return np.unique(np.linspace(0, total - 1, total if most is None else most).round().astype(int)).tolist()
