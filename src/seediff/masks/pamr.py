"""PAMR, pixel-adaptive mask refinement: soft masks move to the edges of the image.

The method is Araslanov and Roth's ("Single-Stage Semantic Segmentation from Image Labels", CVPR 2020; their program
visinf/1-stage-wseg is Apache-2.0, © 2020 TU Darmstadt). Their arithmetic copies every neighbourhood with dilated
convolutions, for weights and masks alike; here the image is padded once, neighbours are shifted views, and the weights
of the image are computed once for all classes. Results agree within 1e-5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F

PAPER_DILATIONS = (1, 2, 4, 8, 12, 24)
"""SeeDiff's dilations, in pixels of a 512² image."""

CHUNK = {"cpu": 2**19, "cuda": 2**24}
"""Elements per operation. On a CPU 2 MiB: few enough for the cache, enough to outweigh the overhead. On a GPU as many
as keep it busy: with few, starting operations takes longer than computing."""

DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


def scaled_dilations(size: Sequence[int], base: Sequence[int] = PAPER_DILATIONS) -> tuple[int, ...]:
    """`base`, which is for a side of 512 pixels, scaled to an image of `size` (H, W) by its shorter side, each at least
    1, without repeats. 128² → (1, 2, 3, 6)."""
    return tuple(dict.fromkeys(max(1, round(d * min(size) / 512)) for d in base))


def pamr(
    image: torch.Tensor,
    masks: torch.Tensor,
    *,
    iterations: int,
    dilations: Sequence[int],
    bandwidth: float = 0.1,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """`m_i ← Σ_j w_ij m_j`, `iterations` times, all masks at once. Gives (C, H, W).

    image: (H, W, 3) float in [0, 1]. masks: (C, H, W) float32. j runs over the 8 neighbours at every dilation (pixels;
    beyond the border the nearest pixel counts); w is `affinity` of the image. Each step is an average, so values stay
    within the mask's range. weights: the image's `affinity`, if already computed.
    """
    if image.shape[:2] != masks.shape[1:]:
        raise ValueError(
            f"image {tuple(image.shape)} and masks {tuple(masks.shape)} must have the same height and width"
        )
    if weights is None:
        weights = affinity(image.permute(2, 0, 1), dilations, bandwidth)
    for _ in range(iterations):
        masks = _step(masks, weights, dilations)
    return masks


def affinity(image: torch.Tensor, dilations: Sequence[int], bandwidth: float = 0.1) -> torch.Tensor:
    """`w_ij = softmax_j mean_rgb −|x_i − x_j| / (1e-8 + bandwidth σ_i)`, (8·|D|, H, W), summing to 1 over the
    neighbours.

    image: (3, H, W). σ_i is the unbiased deviation, per channel, of the 9·|D| samples around i: the pixel itself counts
    once per dilation. bandwidth: at least 0.05.

    σ is taken from differences to the pixel itself, Σd² − (Σd)²/n: a ninth of the n samples are that pixel, with d = 0,
    so (Σd)² ≤ 8n/9 Σd² and float32 loses at most a digit, where Σx² − (Σx)²/n needs float64, which some devices lack.
    """
    if bandwidth < 0.05:
        raise ValueError(f"bandwidth = {bandwidth} must be at least 0.05, or the weights underflow")
    channels, height, width = image.shape
    samples = 9 * len(dilations)
    image = image.float().contiguous()  # a transposed (H, W, 3) would stride through every view
    padded = _pad(image, dilations)
    weights = image.new_empty(8 * len(dilations), height, width)
    for top, rows in _bands(image.device, height, channels * width):
        here = image[:, top : top + rows]
        total, squares, difference = torch.zeros_like(here), torch.zeros_like(here), torch.empty_like(here)
        for there in _neighbours(padded, top, rows, dilations):
            torch.sub(there, here, out=difference)
            total += difference
            squares.addcmul_(difference, difference)
        deviation = squares.addcmul_(total, total, value=-1 / samples).div_(samples - 1).clamp_min_(0).sqrt_()
        scale = deviation.mul_(bandwidth).add_(1e-8).reciprocal_().div_(-channels)
        partition = image.new_zeros(rows, width)
        for weight, there in zip(weights[:, top : top + rows], _neighbours(padded, top, rows, dilations), strict=True):
            torch.sub(there, here, out=difference).abs_()
            torch.mul(difference[0], scale[0], out=weight)
            for channel in range(1, channels):
                weight.addcmul_(difference[channel], scale[channel])
            # No maximum is subtracted: the mean |x_i − x_j| is at most 3.2 σ_i, so some exponent is above −3.2 /
            # bandwidth.
            partition += weight.exp_()
        weights[:, top : top + rows] /= partition
    return weights


def _step(masks: torch.Tensor, weights: torch.Tensor, dilations: Sequence[int]) -> torch.Tensor:
    """One iteration: every mask (C, H, W) averaged with the weights (8·|D|, H, W)."""
    classes, height, width = masks.shape
    padded = _pad(masks, dilations)
    refined = torch.empty_like(masks)
    for top, rows in _bands(masks.device, height, classes * width):
        average = masks.new_zeros(classes, rows, width)
        for weight, there in zip(weights[:, top : top + rows], _neighbours(padded, top, rows, dilations), strict=True):
            average.addcmul_(there, weight)
        refined[:, top : top + rows] = average
    return refined


def _pad(maps: torch.Tensor, dilations: Sequence[int]) -> torch.Tensor:
    """(C, H, W) with its border repeated as far as the widest dilation reaches."""
    return F.pad(maps[None], [max(dilations)] * 4, mode="replicate")[0]


def _neighbours(padded: torch.Tensor, top: int, rows: int, dilations: Sequence[int]) -> Iterator[torch.Tensor]:
    """Views (C, rows, W) of `_pad`'s result: the neighbours of `rows` rows from `top`, one view per direction and
    dilation.
    """
    margin = max(dilations)
    width = padded.shape[2] - 2 * margin
    for dilation in dilations:
        for down, right in DIRECTIONS:
            y, x = margin + top + down * dilation, margin + right * dilation
            yield padded[:, y : y + rows, x : x + width]


def _bands(device: torch.device, height: int, row_elements: int) -> list[tuple[int, int]]:
    """(first row, number of rows) of bands of about CHUNK elements."""
    rows = max(1, CHUNK.get(device.type, CHUNK["cpu"]) // row_elements)
    return [(top, min(rows, height - top)) for top in range(0, height, rows)]
