"""The masks of photographs in memory."""

import numpy as np
import torch

from seediff.attention.windows import seen_window
from seediff.config.constants import MaskConfig
from seediff.masks.make_masks import MaskResult
from seediff.masks.photos import enlarge_masks


def test_degenerate_is_about_the_whole_photo():
    """A class that fills the middle square of a wide photograph has a quarter of it; 3 % of the square are less than 1
    %.
    """
    soft = torch.ones(2, 8, 8)
    soft[1] = 0
    soft[1, 0, :2], soft[0, 0, :2] = 1, 0
    small = MaskResult(np.ones((8, 8), np.uint8), soft, ("dog", "cat"), ("degenerate:dog", "no_seeds:dog"))
    full = enlarge_masks(small, seen_window(8, 32, "crop"), (8, 32), MaskConfig())
    assert full.flags == (
        "no_seeds:dog",
        "degenerate:cat",
    )
