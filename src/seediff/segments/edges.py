"""Moves segments to the edges of the picture: PAMR of every segment's mask along the picture, then the highest at each
pixel.

It is not part of DiffSeg's paper or of K-Means. DiffCut's program does it with ten rounds at 4, 8, 16, 32 pixels of a
side of 512, and a 3 × 3 median of the segment numbers afterwards.
"""

from __future__ import annotations

import numpy as np
import torch

from ..config.method_constants import SegmentConfig
from ..files.label_maps import resize_nearest
from ..masks.arithmetic import resize
from ..masks.pamr import affinity, largest_size, pamr, reduce_picture, scaled_dilations


def follow_edges(picture: np.ndarray, segments: np.ndarray, config: SegmentConfig) -> np.ndarray:
    """Segments (H, W) int32 along the edges of the picture (H, W, 3) uint8, in `config.edge_rounds` rounds; 0: as they
    are. Ids stay in their order, without those of segments that win no pixel.

    Above `config.edge_megapixels`, PAMR works on the picture reduced to that many, and its masks are enlarged.
    """
    height, width = segments.shape
    count = int(segments.max()) + 1
    if not config.edge_rounds or count < 2:
        return segments

    # 1. The picture's weights, at the size that PAMR works at
    size = largest_size((height, width), config.edge_megapixels)
    picture = reduce_picture(picture, size)
    coarse = torch.from_numpy(resize_nearest(segments, *size))
    dilations = scaled_dilations(size, config.edge_dilations)
    weights = affinity(torch.tensor(picture).permute(2, 0, 1) / 255, dilations)

    # 2. One segment after the other, because together they would take hundreds of megabytes
    highest, winner = torch.zeros(height, width), torch.from_numpy(segments).clone()
    for number in range(count):
        mask = pamr((coarse == number).float()[None], weights, config.edge_rounds, dilations)
        (values,) = resize(mask, (height, width))
        winner.masked_fill_(values > highest, number)
        torch.maximum(highest, values, out=highest)
    return np.unique(winner.numpy(), return_inverse=True)[1].reshape(height, width).astype(np.int32)
