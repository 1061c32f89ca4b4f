"""What a pipeline drew under capture: each `Picture` with its attention, and the `Drawn` from which heat maps, masks
and segments are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from ..attention.maps import AttentionMaps
from ..errors import UserError
from ..files.image_files import ImageInput, as_pixels, on_white
from ..models.families.family import Family
from ..models.layers import Grid
from ..view import PixelSize, View, view_drawn
from .which_columns import Phrase, ReadText, phrase_name


class Counts(NamedTuple):
    """How much a run drew."""

    expected: int
    """The number of images or clips, as the network's rows with the prompt say."""
    drawn: int
    """The number of images or clips, as what the pipeline returned says."""
    frames: int
    """The number of frames of each clip; 1 for images."""


def counts_of(rows: int, images: int, latent_frames: int, *, are_clips: bool) -> Counts:
    """How much a run drew:

                                     expected   drawn             frames
        nothing had the prompt       images     images            1
        nothing, or latents, came    rows       rows              latent frames
        clips came                   rows       images / frames   images / rows
        images came                  rows       images            1

    rows: the number of rows with the prompt. images: the number of images, or of frames of all clips, that the pipeline
    returned. latent_frames: the number in a clip; 1 for images. are_clips: whether the pipeline draws clips.
    """
    if not rows:
        return Counts(images, images, 1)
    if not images:
        return Counts(rows, rows, latent_frames)
    frames = max(images // rows, 1) if are_clips else 1
    return Counts(rows, -(-images // frames), frames)


def returned_images(output: Any) -> list[np.ndarray]:
    """The pictures (H, W, 3) uint8 in what a pipeline returned, transparent ones on white; an empty list for latents.
    output: the pipeline's result, or any part of it: pictures, clips, arrays or tensors with values in [0, 1]."""
    images: Any = getattr(output, "images", getattr(output, "frames", output))
    if isinstance(images, tuple):
        images = list(images[:1])  # the other parts are flags
    if isinstance(images, list):  # a list of pictures, or of clips
        return [*chain.from_iterable(map(returned_images, images))]
    if torch.is_tensor(images) and images.ndim > 3 and images.shape[-3] == 3:  # latents have other channels
        images = images.detach().movedim(-3, -1).float().cpu().numpy()  # numpy has no bfloat16
    if isinstance(images, np.ndarray) and images.ndim > 3 and images.shape[-1] in (3, 4):
        pixels = (images * 255).round().astype(np.uint8)
        return returned_images(list(map(Image.fromarray, pixels.reshape(-1, *pixels.shape[-3:]))))
    return [np.array(on_white(images))] if isinstance(images, Image.Image) else []


FACTORS = ("vae_scale_factor", "vae_scale_factor_spatial", "vae_spatial_compression_ratio")
"""Pipelines' names for the number of pixels per latent, along a side."""
USUAL_FACTOR = 8
"""This number for most models. It counts for `Scale.lattice_of`, if only the network is known."""


@dataclass(frozen=True)
class Attention:
    """Attention to the prompt of one picture. The network draws clips as fewer latent frames: all frames of a latent
    frame share this object."""

    text: ReadText
    maps: AttentionMaps
    """On the CPU, without words."""
    apart: dict[str, AttentionMaps]
    """The maps of each step or of each layer, if the script wants them apart; otherwise empty."""


@dataclass(frozen=True)
class Picture:
    """A picture, or a frame of a clip, and what was captured while it was drawn."""

    outcome: Attention | UserError
    """Its attention, or the error because of which there are no maps."""
    pixels: np.ndarray | None
    """(H, W, 3) uint8; None if the pipeline did not return the picture."""

    @property
    def text(self) -> ReadText:
        """The text that the network read; an empty one if there are no maps."""
        return ReadText({}, 0) if isinstance(self.outcome, UserError) else self.outcome.text


@dataclass(frozen=True)
class Scale:
    """How many pixels the positions of a pipeline's network have."""

    family: Family
    config: Any
    """The network's configuration."""
    factor: int | None
    """The number of pixels per latent, along a side. None: unknown, for a network alone; then `size` counts positions
    as pixels."""

    @classmethod
    def of(cls, pipe: Any, family: Family) -> Scale:
        """The scale of a pipeline, or of a network alone."""
        factor = next((getattr(pipe, name) for name in FACTORS if hasattr(pipe, name)), None)
        return cls(family, getattr(pipe, family.network_part, pipe).config, factor)

    def size(self, lattice: Grid) -> PixelSize:
        """(H, W) in pixels of what is drawn on a lattice."""
        cell = 1 if self.factor is None else self.family.sizes(self.factor, self.config).position
        return lattice[0] * cell, lattice[1] * cell

    def lattice_of(self, height: int | None, width: int | None) -> Grid:
        """The lattice of a picture. height, width: in pixels, as for `Captured.expected`."""
        sizes = self.family.sizes(self.factor or USUAL_FACTOR, self.config)
        height = height or sizes.side
        if not height:
            raise UserError("height and width", "are needed: the model has no usual size")
        return height // sizes.position, (width or height) // sizes.position

    @property
    def multiple(self) -> int:
        """The number of pixels of which sides must be multiples, so that all levels fit onto each other."""
        return self.family.sizes(self.factor or 1, self.config).multiple


@dataclass(frozen=True)
class Drawn:
    """A picture, or a frame of a clip, with all that heat maps, masks and segments of it are made from."""

    scale: Scale
    frames: Sequence[Picture]
    """All frames of the clip; the picture alone, if it is none."""
    number: int = 0
    """Which of the frames it is."""

    @property
    def picture(self) -> Picture:
        return self.frames[self.number]

    @property
    def attention(self) -> Attention:
        """Attention of the picture to its prompt. Raises UserError if there are no maps."""
        outcome = self.picture.outcome
        if isinstance(outcome, UserError):
            raise outcome
        return outcome

    def maps_with(self, phrases: Sequence[Phrase]) -> AttentionMaps:
        """The maps, with the columns of phrases as its words. Raises UserError for a phrase without columns."""
        attention = self.attention
        words = attention.text.find(phrases)
        for phrase in phrases:
            if not words[phrase_name(phrase)]:
                raise attention.text.refusal(phrase)
        return replace(attention.maps, words=words)

    def maps_apart(self) -> dict[str, AttentionMaps]:
        """The maps of each step or of each layer. Raises UserError if they were not kept apart."""
        if not self.attention.apart:
            fix = "capture(pipe, apart='step'), or 'layer'"
            raise UserError("apart", "steps and layers were not kept apart", fix)
        return self.attention.apart

    def view(self, pixels: ImageInput | None) -> View:
        """The picture in which the script wants results: the given `pixels`, or what the pipeline returned; without
        pixels, if there are none."""
        shown = self.picture.pixels if pixels is None else as_pixels(pixels)
        lattice = self.attention.maps.lattice
        drawn = self.scale.size(lattice)
        size = drawn if shown is None else (shown.shape[0], shown.shape[1])
        return view_drawn(lattice, drawn, size, shown, may_cut=pixels is None)
