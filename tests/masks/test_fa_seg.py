from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_maps import random_maps, stretch

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.masks.fa_seg import fa_seg
from seediff.masks.make import enlarge

CONFIG = MaskConfig(method="fa_seg")


def grown(x: np.ndarray, side: int) -> np.ndarray:
    """(h, h) with every value repeated."""
    factor = side // len(x)
    return x.repeat(factor, 0).repeat(factor, 1)


def recipe(maps: AttentionMaps, class_name: str, side: int = 16) -> np.ndarray:
    """As the authors do it, with keys repeated too: every matrix at the finest side, L/8 missing."""
    cross = 0.0
    for level, weight in {4: 0.7, 2: 0.15}.items():
        columns = maps.cross_attention[side // level, side // level][:, list(maps.words[class_name])]
        cross += weight / 0.85 * grown(columns.double().mean(1).reshape(side // level, -1).numpy(), side)
    total = np.zeros((side, side))
    for level, weight in {4: 0.1, 2: 0.5, 1: 0.3}.items():
        small = maps.self_attention[side // level, side // level].double().numpy()
        of_position = grown(np.arange(len(small)).reshape(side // level, -1), side).ravel()
        matrix = small[of_position][:, of_position]
        matrix = matrix / matrix.sum(1, keepdims=True)
        total += weight / 0.9 * stretch((np.linalg.matrix_power(matrix, 2) @ cross.ravel()).reshape(side, side))
    return total


@pytest.mark.parametrize("class_name", ["dog", "cat"])
@pytest.mark.parametrize("normalized", [True, False])
def test_equals_the_authors_order_of_work_in_float64(class_name: str, normalized: bool):
    maps = random_maps(normalized=normalized)
    result = fa_seg(maps, class_name, CONFIG)
    np.testing.assert_allclose(result.soft.numpy(), recipe(maps, class_name), atol=1e-4)
    assert [str(step) for step in result.trace][:3] == [
        "cross_attention",
        "self-attention product 1 L/4",
        "self-attention product 2 L/4",
    ]


def test_the_map_is_enlarged_bicubically_to_the_image():
    """What interpolation adds beyond [0, 1] is cut off."""
    coarse = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    exact = F.interpolate(coarse[None].double(), (6, 8), mode="bicubic", align_corners=False)[0]
    assert exact.min() < 0
    assert exact.max() > 1
    torch.testing.assert_close(enlarge(coarse, (6, 8), CONFIG).double(), exact.clamp(0, 1), atol=1e-6, rtol=0)


def test_levels_have_the_authors_weights_where_the_model_has_them_all():
    """Each level's product is 1 in one place of its own, and its weight stands there."""
    grids = [(8, 8), (4, 4), (2, 2), (1, 1)]
    identity = {grid: torch.eye(grid[0] ** 2) for grid in grids}
    cross = {grid: torch.full((grid[0] ** 2, 1), 0.5) for grid in grids}
    cross[2, 2] = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
    result = fa_seg(AttentionMaps(identity, cross, (8, 8), {"dog": (0,)}), "dog", CONFIG)
    assert result.flags == ("constant_map",)  # L/8 has one position
    assert sorted(set(result.soft.flatten().tolist())) == pytest.approx([0, 0.9])  # the quarter, without the .1 of L/8
    assert result.soft[4:, 4:].min() > 0.89


def test_other_words_and_levels_that_it_does_not_read_make_no_difference():
    maps = random_maps()
    cross = {grid: values.clone() for grid, values in maps.cross_attention.items()}
    cross[16, 16] = torch.rand(256, 8)  # L: has no weight
    for values in cross.values():
        values[:, 0] = 7
    assert torch.equal(
        fa_seg(replace(maps, cross_attention=cross), "cat", CONFIG).soft, fa_seg(maps, "cat", CONFIG).soft
    )
