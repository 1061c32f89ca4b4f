"""Turns a method's proposals into a label map of segments at the photograph's size: `label`, then `follow_edges`.

`label` gives each pixel to the proposal with the highest value (DiffSeg section 3.4). It resizes proposals itself, in
bands of rows. `F.interpolate` takes up to 1.6 times as long, and rounds its weights to float32, which would decide
between nearly equal proposals.

`follow_edges` moves segments to the edges of the picture: PAMR refines every segment's mask along the picture, and each
pixel goes to the segment with the highest mask. Neither DiffSeg's paper nor K-Means has this step. DiffCut's program
has it, with ten rounds, dilations of 4, 8, 16 and 32 pixels for a side of 512, and a 3 × 3 median of the segments'
numbers afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ..config.methods import SegmentConfig
from ..files.label_maps import resize_nearest
from ..masks.arithmetic import highest, resize
from ..masks.pamr import largest_size, pamr, pamr_weights, reduce_picture, scaled_dilations

CHUNK = 2**18
"""Maximum pixels in a band of rows: 1 MiB, few enough for the cache."""
ROWS = 2**22
"""Maximum elements of all proposals in a band of rows."""


def label(proposals: torch.Tensor, size: Sequence[int]) -> np.ndarray:
    """Label map (H, W) int32: each pixel has the id of the proposal with the highest value, the first of
    equals. Ids are 0 … n − 1 in the order of the proposals. A proposal that wins no pixel gets no id.

    proposals: (P, h, w), which are resized bilinearly (align_corners=False). size: (H, W).
    """
    maps = proposals.float()
    if maps.device.type == "mps":
        maps = maps.cpu()  # it has no float64

    # 1. Bands of rows
    height, width = size
    labels = np.empty((height, width), np.int32)
    used = np.zeros(len(maps), bool)  # whether a proposal wins a pixel
    rows = max(1, min(CHUNK // width, ROWS // (len(maps) * maps.shape[2])))
    for top in range(0, height, rows):
        band = labels[top : top + rows]
        _, numbers = highest(_transposed_bands(maps, size, top, len(band)))  # (W, rows)
        band[:] = numbers.cpu().T.numpy()
        used[band] = True

    # 2. Ids without gaps
    consecutive = (used.cumsum() - 1).astype(np.int32)
    for row in labels:
        row[:] = consecutive[row]
    return labels


def _transposed_bands(maps: torch.Tensor, size: Sequence[int], top: int, rows: int) -> Iterator[torch.Tensor]:
    """Yields the same band of each map, resized bilinearly (align_corners=False) and transposed: (W, rows). Transposed
    bands are faster to widen, because widening copies whole rows of memory.

    maps: (P, h, w). size: (H, W) of the whole resized maps. top, rows: the band's first row, and its number of rows."""
    above, below, down = _taps(maps.shape[1], size[0], top, rows, maps.device)
    left, right, across = _taps(maps.shape[2], size[1], 0, size[1], maps.device)
    bands = maps[:, above] * (1 - down[:, None]) + maps[:, below] * down[:, None]  # (P, rows, w)
    for band in bands.transpose(1, 2).contiguous():  # (w, rows)
        yield (band[left] * (1 - across[:, None])).add_(band[right].mul_(across[:, None]))


def _taps(
    positions: int, pixels: int, start: int, count: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(before, after, weight), (count,) each: what bilinear interpolation reads along one side for each pixel. before,
    after: the positions before and after the pixel. weight: the weight of the position after the pixel. For example, 2
    positions and 4 pixels give before = 0, 0, 0, 1 and weight = 0, ¼, ¾, 0.

    positions, pixels: the numbers of positions and of pixels on this side. start, count: the first pixel, and the
    number of pixels.
    """
    along = torch.arange(start, start + count, dtype=torch.float64, device=device)
    points = ((along + 0.5) * positions / pixels - 0.5).clamp(0, positions - 1)
    before = points.long()
    return before, (before + 1).clamp_max(positions - 1), (points - before).float()


def follow_edges(picture: np.ndarray, segments: np.ndarray, config: SegmentConfig) -> np.ndarray:
    """Segments (H, W) int32 moved to the edges of the picture. Ids keep their order. If a segment wins no pixel, the
    ids above its own become lower by one.

    picture: (H, W, 3) uint8. segments: (H, W) int32, before they are moved. config: PAMR takes `edge_rounds` rounds;
    without rounds, the segments are returned. A picture of more than `edge_megapixels` is reduced for PAMR, and the
    refined masks are enlarged.
    """
    count = int(segments.max()) + 1
    if not config.edge_rounds or count < 2:
        return segments

    # 1. The picture's weights, at the size that PAMR works at
    size = largest_size(segments.shape, config.edge_megapixels)
    picture = reduce_picture(picture, size)
    coarse = torch.from_numpy(resize_nearest(segments, *size))
    dilations = scaled_dilations(size, config.edge_dilations)
    weights = pamr_weights(picture, dilations)

    # 2. The highest mask at each pixel
    def refined_masks() -> Iterator[torch.Tensor]:
        for number in range(count):
            mask = pamr((coarse == number).float()[None], weights, config.edge_rounds, dilations)
            yield resize(mask, segments.shape)[0]

    _, numbers = highest(refined_masks())
    return np.unique(numbers.numpy(), return_inverse=True)[1].reshape(segments.shape).astype(np.int32)
