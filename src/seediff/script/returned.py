"""What a call of a pipeline returned: its pictures, and how many there are."""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from ..files.image_files import on_white


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
