"""`Run`: what one call of a captured pipeline drew, picture by picture.

The network attends to a text by its columns: one for each token, and perhaps some for padding. The state of a text is
its encoding, which the network is given: one vector for each column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from ..attention.maps import AttentionMaps
from ..errors import UserError
from ..files.image_files import on_white
from ..models.families.family import Family
from .placement import Canvas, Edits, PixelSize, shown_canvas
from .which_columns import ReadText

TextKind = str
"""What attends to which text: "prompt", "negative", or the attention of a shown picture to the prompt, "shown", and
"shown 2" of the second of several."""


def shown_name(number: int) -> TextKind:
    """The name of a shown picture's attention. number: which of the shown pictures, from 0."""
    return f"shown {number + 1}" if number else "shown"


def fit_of_shown(pipe: Any, family: Family) -> Literal["stretch", "crop"]:
    """How a pipeline fits a picture that it shows to the sides that the network can read, as `Family.fits_shown` says.
    Raises UserError if it does not say it of the pipeline's class."""
    is_own = type(pipe).__call__.__module__.startswith("diffusers.")  # another may cut off more
    for base in type(pipe).__mro__:
        if is_own and base.__name__ in family.fits_shown:
            return family.fits_shown[base.__name__]
    problem = f"which part of a picture a {type(pipe).__name__} shows is unknown"
    raise UserError("shown", problem, f"use a {' or a '.join(family.fits_shown)} of diffusers")


@dataclass(frozen=True)
class Attention:
    """Attention to a text of one picture. The network draws clips as fewer latent frames: all frames of a latent frame
    share this object."""

    text: ReadText
    maps: AttentionMaps
    """On the CPU, without words."""
    apart: dict[str, AttentionMaps]
    """The maps of each step or of each layer, if the script wants them apart; otherwise empty."""


@dataclass(frozen=True)
class Picture:
    """A picture, or a frame of a clip, and what was captured while it was drawn."""

    prompt: str
    """The text for the first text encoder; "" if the pipeline was given only embeddings."""
    outcomes: Mapping[TextKind, Attention | UserError]
    """Attention to each captured text, or the error because of which there are no maps."""
    pixels: np.ndarray | None
    """(H, W, 3) uint8; None if the pipeline did not return the picture."""
    edits: Edits
    """What the pipeline did to the picture after it drew it."""
    shown: Sequence[Any] = ()
    """The pictures that the pipeline was given to show, as it was given them."""

    def shown_canvas(self, of: TextKind, read: PixelSize, pipe: Any, family: Family) -> Canvas:
        """The photograph that the pipeline was shown, before it resized it, and where the part that the network read
        lies in it. of: which one. read: (H, W) of that part. Raises UserError if it is unknown what the pipeline was
        shown."""
        number = int(of.partition(" ")[2] or 1) - 1
        photo = self.shown[number] if number < len(self.shown) else None
        if not isinstance(photo, Image.Image):
            problem = "the pipeline was not given it as a picture of Pillow"
            raise UserError(f"of='{of}'", problem, "give such pictures, image=…")
        pixels = np.asarray(photo.convert("RGB"))
        way = fit_of_shown(pipe, family)
        return replace(shown_canvas(read, (photo.height, photo.width), way), pixels=pixels)

    def attention(self, of: TextKind) -> Attention:
        """Attention to the prompt or to the negative prompt, or that of a shown picture. Raises UserError if there
        are no maps."""
        found = self.outcomes.get(of)
        if found is None:
            others = "shown in capture(pipe, shown=True), shown 2 in capture(pipe, shown=2)"
            raise UserError("of", f"{of!r}: must be prompt, or negative in capture(pipe, negative=True), {others}")
        if isinstance(found, UserError):
            raise found
        return found


@dataclass(frozen=True)
class Run:
    """What one call of the pipeline drew. If the script captures a network alone, what its whole `with` block drew."""

    pictures: Sequence[Picture]
    frames: int
    """The number of frames of each clip; 1 for images."""
    steps: int
    """The number of network calls with the prompt."""

    @property
    def map_bytes(self) -> int:
        """Bytes of all maps."""
        sizes: dict[int, int] = {}  # frames may share their maps
        for outcome in chain.from_iterable(picture.outcomes.values() for picture in self.pictures):
            if isinstance(outcome, Attention):
                for maps in (outcome.maps, *outcome.apart.values()):
                    sizes |= {id(tensor): tensor.nbytes for *_, tensor in maps.tensors()}
        return sum(sizes.values())


def returned_images(output: Any) -> list[np.ndarray]:
    """The pictures (H, W, 3) uint8 in what a pipeline returned, transparent ones on white; an empty list for latents.
    output: the pipeline's result, or any part of it: pictures, clips, arrays or tensors with values in [0, 1]."""
    images: Any = getattr(output, "images", getattr(output, "frames", output))
    if isinstance(images, tuple):
        images = list(images[:1])  # the other parts are flags
    if isinstance(images, list):  # a list of pictures, or of clips
        return [*chain.from_iterable(map(returned_images, images))]
    if torch.is_tensor(images) and images.ndim > 3 and images.shape[-3] == 3:  # latents have other channels
        images = images.detach().movedim(-3, -1).cpu()
        images = (images.float() if images.is_floating_point() else images).numpy()  # numpy has no bfloat16
    if isinstance(images, np.ndarray) and images.ndim > 3 and images.shape[-1] in (3, 4):
        eight_bits = images if images.dtype == np.uint8 else (images * 255).round().astype(np.uint8)
        return returned_images(list(map(Image.fromarray, eight_bits.reshape(-1, *images.shape[-3:]))))
    return [np.array(on_white(images))] if isinstance(images, Image.Image) else []
