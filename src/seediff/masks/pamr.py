"""PAMR, pixel-adaptive mask refinement: soft masks move to the edges of the image.

The method is Araslanov and Roth's ("Single-Stage Semantic Segmentation from Image Labels", CVPR 2020). Their program,
visinf/1-stage-wseg (Apache-2.0, © 2020 TU Darmstadt), finds neighbours by dilated convolutions, and this module by
shifted views. Results agree within 1e-5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

PAPER_DILATIONS = (1, 2, 4, 8, 12, 24)
"""SeeDiff's dilations, in pixels of a 512² image."""
KeptWeights = dict[tuple[Any, ...], torch.Tensor]
"""Weights of one image, by its size and the constants of PAMR."""
# The directions (down, right) of a pixel's eight neighbours.
DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


def scaled_dilations(size: Sequence[int], base: Sequence[int] = PAPER_DILATIONS, side: int = 512) -> tuple[int, ...]:
    """The dilations for a picture of `size` (H, W), each at least 1, without repeats. base: the dilations for a shorter
    side of `side` pixels."""
    growth = min(size) / side
    return tuple(dict.fromkeys(max(1, round(dilation * growth)) for dilation in base))


def largest_size(size: Sequence[int], megapixels: float) -> tuple[int, int]:
    """The size (H', W') to which PAMR reduces a picture of `size` (H, W, …) with more than `megapixels`, and otherwise
    (H, W). The limit saves memory: the weights from `affinity` take 32 bytes per pixel and dilation."""
    height, width = size[:2]
    scale = min(1.0, math.sqrt(megapixels * 1e6 / (height * width)))
    return max(1, int(height * scale)), max(1, int(width * scale))


def reduce_picture(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (H, W, 3) uint8 reduced to `size` (h, w): each pixel is the mean of the pixels that it covers."""
    if size == picture.shape[:2]:
        return picture
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BOX))


def pamr(masks: torch.Tensor, weights: torch.Tensor, iterations: int, dilations: Sequence[int]) -> torch.Tensor:
    """Masks (C, H, W) float32 after `iterations` rounds, in each of which a pixel i gets the weighted mean of its
    neighbours j, `m_i ← Σ_j w_ij m_j`.

    masks: before the first round. weights: the image's `affinity`. dilations: distances of neighbours in pixels. A
    pixel has 8 neighbours at each distance; beyond the border, the nearest pixel is the neighbour.
    """
    for _ in range(iterations):
        average = torch.zeros_like(masks)
        for weight, neighbour in zip(weights, _neighbours(masks, dilations), strict=True):
            average.addcmul_(neighbour, weight)
        masks = average
    return masks


def pamr_weights(
    image: np.ndarray,
    dilations: Sequence[int],
    bandwidth: float = 0.1,
    device: torch.device | str = "cpu",
    kept: KeptWeights | None = None,
) -> torch.Tensor:
    """The `affinity` of an image (H, W, 3) uint8. It takes most of PAMR's time. dilations, bandwidth: as for
    `affinity`. device: computes it. kept: has the weights that were made of this image, and gets those that it
    lacks."""
    key = (image.shape[:2], tuple(dilations), bandwidth)
    if kept is not None and key in kept:
        return kept[key]
    # torch refuses arrays with negative strides, such as bgr[:, :, ::-1].
    scaled = torch.tensor(np.ascontiguousarray(image), dtype=torch.float32, device=device) / 255
    weights = affinity(scaled.permute(2, 0, 1), dilations, bandwidth)
    if kept is not None:
        kept[key] = weights
    return weights


def affinity(image: torch.Tensor, dilations: Sequence[int], bandwidth: float = 0.1) -> torch.Tensor:
    """The weights of each pixel's neighbours by colour, (8·|D|, H, W), with a sum of 1 for each pixel:

        w_ij = softmax_j mean_rgb −|x_i − x_j| / (1e-8 + bandwidth σ_i)

    σ_i is the unbiased deviation, per channel, of the 9·|D| samples around i; the pixel itself counts once per
    dilation.

    image: x (3, H, W) in [0, 1]. dilations: D. bandwidth: at least 0.05, or the weights underflow.
    """
    image = image.float().contiguous()  # a transposed (H, W, 3) would stride through every view
    samples = 9 * len(dilations)
    total = torch.zeros_like(image)
    squares = torch.zeros_like(image)
    difference = torch.empty_like(image)

    # 1. σ, from differences d to the pixel itself; Σx² − (Σx)²/n would need float64. Memory is used again at each line.
    for neighbour in _neighbours(image, dilations):
        torch.sub(neighbour, image, out=difference)  # d
        total += difference  # Σd
        squares.addcmul_(difference, difference)  # Σd²
    variance = squares.addcmul_(total, total, value=-1 / samples).div_(samples - 1)  # (Σd² − (Σd)²/n) / (n − 1)
    deviation = variance.clamp_min_(0).sqrt_()  # σ
    scale = deviation.mul_(bandwidth).add_(1e-8).reciprocal_().div_(-len(image))  # −1 / (3 (1e-8 + bandwidth σ))

    # 2. The softmax over neighbours
    weights = image.new_empty(8 * len(dilations), *image.shape[1:])
    partition = torch.zeros_like(image[0])
    for weight, neighbour in zip(weights, _neighbours(image, dilations), strict=True):
        torch.sub(neighbour, image, out=difference).abs_()
        torch.mul(difference[0], scale[0], out=weight)  # red; then green and blue are added
        for of_channel, scale_of_channel in zip(difference[1:], scale[1:], strict=True):
            weight.addcmul_(of_channel, scale_of_channel)
        # No maximum is subtracted: the mean |x_i − x_j| is at most 3.2 σ_i, so some exponent is above −3.2 / bandwidth.
        partition += weight.exp_()
    return weights.div_(partition)


def _neighbours(maps: torch.Tensor, dilations: Sequence[int]) -> Iterator[torch.Tensor]:
    """Yields one view (C, H, W) of maps (C, H, W) per dilation and direction: at each pixel it has the value of this
    neighbour."""
    margin = max(dilations)
    height, width = maps.shape[1:]
    padded = F.pad(maps[None], [margin] * 4, mode="replicate")[0]
    for dilation in dilations:
        for down, right in DIRECTIONS:
            y, x = margin + down * dilation, margin + right * dilation
            yield padded[:, y : y + height, x : x + width]
