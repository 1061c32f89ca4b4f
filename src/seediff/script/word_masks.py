"""Masks of words in a picture, or in the frames of a clip, that a pipeline drew under capture. Heat maps begin with the
same soft masks.

    soft_words, soft_words_of_frames    the soft mask of each phrase
    label_words                         the masks made of them
    explain_mixed                       which words hardly tell their masks apart
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from ..config.methods import MaskConfig
from ..config.names_in_texts import things_named
from ..errors import UserError
from ..files.image_files import ImageInput
from ..masks.clips import clip_softs
from ..masks.make_masks import enlarge, mixed, refine_and_label, soft_masks
from ..masks.results import MaskResult
from ..masks.steps import SoftMask
from ..rows.values import BLANK, explain_flag
from ..view import View
from .pictures import Drawn
from .which_columns import Phrase, phrase_name


class SoftWords(NamedTuple):
    """The soft masks of phrases in a picture, or in a frame of a clip."""

    names: Sequence[str]
    """The phrases as texts."""
    view: View
    """How the picture was drawn."""
    small: Sequence[SoftMask]
    """The soft mask of each phrase, as large as its map."""
    large: torch.Tensor
    """(C, H, W): the same after `enlarge`."""


def soft_words(
    drawn: Drawn, phrases: Sequence[Phrase], config: MaskConfig, pixels: ImageInput | None = None
) -> SoftWords:
    """The soft masks of phrases in a picture, or in a frame of a clip. config: the constants of the mask method.
    pixels: as for `Captured.masks`. Raises UserError for a phrase without columns, and if masks follow the edges of a
    picture that is not known."""
    if len(drawn.frames) > 1:
        if pixels is not None:
            raise UserError("pixels", "those of a clip are what the pipeline returned", "leave it out")
        return soft_words_of_frames(drawn, phrases, config)[drawn.number]
    names = list(map(phrase_name, phrases))
    maps = drawn.maps_with(phrases)
    view = _view_with_edges(drawn, config, pixels)
    small = soft_masks(maps, names, config)
    return SoftWords(names, view, small, enlarge(small, view, config))


def soft_words_of_frames(drawn: Drawn, phrases: Sequence[Phrase], config: MaskConfig) -> list[SoftWords]:
    """The soft masks of phrases in each frame of a clip. All frames have one prompt and one size: the words' columns
    are the first frame's."""
    names = list(map(phrase_name, phrases))
    frames = drawn.all_frames()
    words = frames[0].maps_with(phrases).words
    views = [_view_with_edges(frame, config) for frame in frames]
    softs = clip_softs(views, [frame.attention.maps for frame in frames], words, names, config)
    return [SoftWords(names, view, *of_frame) for view, of_frame in zip(views, softs, strict=True)]


def _view_with_edges(drawn: Drawn, config: MaskConfig, pixels: ImageInput | None = None) -> View:
    """The view of a picture. Raises UserError if masks follow its edges, and it is not known."""
    view = drawn.view(pixels)
    if view.pixels is None and (config.pamr or config.sam is not None):
        fix = "give it, or pamr=False without sam"
        raise UserError("pixels", "masks follow its edges, but the pipeline gave none", fix)
    return view


def label_words(softs: SoftWords, config: MaskConfig) -> MaskResult:
    """The masks of phrases in a picture, from their soft masks. config: the constants with which these were made."""
    masks = refine_and_label(softs.view, softs.names, softs.small, softs.large, config)
    return replace(masks, flags=(*masks.flags, *blank_flag(softs.view)))


def blank_flag(view: View) -> tuple[str, ...]:
    """The flag BLANK for a black picture, as a safety checker leaves it; otherwise empty."""
    return (BLANK,) if view.pixels is not None and not view.pixels.any() else ()


def explain_mixed(drawn: Drawn, softs: SoftWords, config: MaskConfig) -> str:
    """What a notice says of phrases that hardly tell their masks apart. "" if all of them do, and if some of the
    phrases follow each other in the prompt, such as "red sofa". softs, config: as for `label_words`."""
    names = [softs.names[number] for number in mixed(softs.small, config)]
    if names and len(things_named(drawn.attention.text.prompt, softs.names)) == len(softs.names):
        return f"{', '.join(names)}: {explain_flag('mixed')}"
    return ""
