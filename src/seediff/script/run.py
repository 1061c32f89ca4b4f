"""`Run`: what one call of a captured pipeline drew, picture by picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image

from ..attention.maps import AttentionMaps
from ..errors import UserError
from ..files.image_files import on_white
from .placement import Placing
from .which_rows import Texts

TextKind = Literal["prompt", "negative"]


class ReadText(NamedTuple):
    """A text of a picture: its prompt, or its negative prompt."""

    texts: Texts
    """Empty if only embeddings were given."""
    width: int = 0
    """The number of columns in the text's state, which may include padding; 0: unknown."""
    columns: int = 0
    """The number of columns in the text's maps."""

    @property
    def prompt(self) -> str:
        """The text for the first encoder; "" if only embeddings were given."""
        return self.texts.get("prompt", "")


@dataclass(frozen=True)
class Attention:
    """Attention to a text of one picture, or of one frame of a clip."""

    text: ReadText
    maps: AttentionMaps
    """On the CPU, without words."""
    apart: dict[str, AttentionMaps]
    """The maps of each step or layer, if they are kept apart."""


@dataclass(frozen=True)
class Picture:
    """A picture, or a frame of a clip, and what was captured while it was drawn."""

    text: ReadText
    """The prompt."""
    outcomes: Mapping[TextKind, Attention | UserError]
    """Attention to each captured text, or the error that says why its maps cannot be had."""
    pixels: np.ndarray | None
    """(H, W, 3) uint8; None: the pipeline did not return it."""
    placing: Placing
    """What the pipeline did to the picture after it was drawn."""

    def attention(self, of: TextKind) -> Attention:
        """Attention to one of its texts. Raises UserError if its maps cannot be had."""
        found = self.outcomes.get(of)
        if found is None:
            raise UserError("of", f"{of!r}: must be prompt, or negative in capture(pipe, negative=True)")
        if isinstance(found, UserError):
            raise found
        return found


@dataclass(frozen=True)
class Run:
    """What one call of the pipeline drew, or what was drawn in the block around a network alone."""

    pictures: Sequence[Picture]
    frames: int
    """The number of frames of each clip; 1 for images."""
    steps: int
    """How often the network was called with the prompt."""
    map_bytes: int
    """Bytes of all maps."""

    @property
    def maps(self) -> list[AttentionMaps]:
        """The maps of each picture, without words. Raises UserError if there are none."""
        return [picture.attention("prompt").maps for picture in self.pictures]


def returned_images(output: Any) -> list[np.ndarray]:
    """The pictures (H, W, 3) uint8 in what a pipeline returned, on white; an empty list for latents."""
    images: Any = getattr(output, "images", getattr(output, "frames", output))
    if isinstance(images, tuple):
        images = list(images[:1])  # what else is returned are flags
    if isinstance(images, list):  # of pictures, or of clips
        return [*chain.from_iterable(map(returned_images, images))]
    if torch.is_tensor(images) and images.ndim > 3 and images.shape[-3] == 3:  # of four channels: latents
        images = images.detach().movedim(-3, -1).cpu()
        images = (images.float() if images.is_floating_point() else images).numpy()  # which has no bfloat16
    if isinstance(images, np.ndarray) and images.ndim > 3 and images.shape[-1] in (3, 4):
        eight_bits = images if images.dtype == np.uint8 else (images * 255).round().astype(np.uint8)
        return returned_images(list(map(Image.fromarray, eight_bits.reshape(-1, *images.shape[-3:]))))
    return [np.array(on_white(images))] if isinstance(images, Image.Image) else []
