"""Moves segments to the edges of the picture: PAMR of every segment's mask along the picture, then the highest at each
pixel.

It is not part of DiffSeg's paper or of K-Means. DiffCut's program does it with ten rounds at 4, 8, 16, 32 pixels of a
side of 512, and a 3 × 3 median of the segment numbers afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..config.method_constants import SegmentConfig
from ..files.label_maps import resize_nearest
from ..masks.arithmetic import highest, resize
from ..masks.pamr import affinity, largest_size, pamr, reduce_picture, scaled_dilations


def follow_edges(picture: np.ndarray, segments: np.ndarray, config: SegmentConfig) -> np.ndarray:
    """Segments (H, W) int32 moved to the edges of the picture (H, W, 3) uint8, in `config.edge_rounds` rounds; 0 rounds
    change nothing. Ids stay in their order, without those of segments that win no pixel.

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

    # 2. The highest mask at each pixel
    def refined() -> Iterator[torch.Tensor]:
        for number in range(count):
            mask = pamr((coarse == number).float()[None], weights, config.edge_rounds, dilations)
            yield resize(mask, (height, width))[0]

    _, numbers = highest(refined())
    return np.unique(numbers.numpy(), return_inverse=True)[1].reshape(height, width).astype(np.int32)
