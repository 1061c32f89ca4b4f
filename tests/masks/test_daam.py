from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_maps import random_maps, stretch

from seediff.config.constants import MaskConfig
from seediff.masks.daam import daam

CONFIG = MaskConfig(method="daam")


@pytest.mark.parametrize("class_name", ["dog", "cat"])
def test_equals_the_program_in_float64(class_name: str):
    """Its `compute_global_heat_map` of one map per level, then its mean over a word's tokens."""
    maps = random_maps(normalized=False)
    merged = []
    for side in (4, 8, 16):
        of_class = (
            maps.cross_attention[side, side][:, list(maps.words[class_name])].double().mean(1).view(1, 1, side, side)
        )
        merged.append(F.interpolate(of_class, (16, 16), mode="bicubic").clamp(min=0)[0, 0])
    np.testing.assert_allclose(
        daam(maps, class_name, CONFIG).soft.numpy(), stretch(torch.stack(merged).mean(0).numpy()), atol=1e-5
    )
