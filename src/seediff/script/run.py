"""`Run`: what one call of a captured pipeline drew, picture by picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..attention.maps import AttentionMaps
from ..errors import UserError
from ..files.image_files import on_white
from .which_columns import ReadText


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

    prompt: str
    """The text for the first text encoder; "" if the pipeline was given only embeddings."""
    outcome: Attention | UserError
    """Its attention, or the error because of which there are no maps."""
    pixels: np.ndarray | None
    """(H, W, 3) uint8; None if the pipeline did not return the picture."""


@dataclass(frozen=True)
class Run:
    """What one call of the pipeline drew. If the script captures a network alone, what its whole `with` block drew."""

    pictures: Sequence[Picture]
    frames: int
    """The number of frames of each clip; 1 for images."""


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
