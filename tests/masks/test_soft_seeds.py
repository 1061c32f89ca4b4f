from __future__ import annotations

import numpy as np
import pytest
import torch
from random_maps import class_map, random_maps, replaced

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.masks.soft_seeds import soft_seeds


def stretch(x: np.ndarray) -> np.ndarray:
    return (x - x.min()) / (x.max() - x.min())


@pytest.mark.parametrize(("class_name", "normalized", "level"), [("dog", True, 2), ("cat", False, 1)])
def test_equals_the_equation_in_float64(class_name: str, normalized: bool, level: int):
    maps = random_maps(normalized=normalized)
    side = maps.grid(level)[0]
    rows = maps.self_attention[side, side].double().numpy()
    cross = stretch(class_map(maps, side, class_name, side))
    seeds = 1 / (1 + np.exp(-(cross - 0.5) / 0.1))
    expected = stretch((rows @ seeds.ravel() / rows.sum(1)).reshape(side, side))
    result = soft_seeds(maps, class_name, MaskConfig(method="soft_seeds", expand_levels=(level,)))
    np.testing.assert_allclose(result.soft.numpy(), expected, atol=1e-4)


def test_weak_attention_is_cut_off_by_hand():
    """Three positions, each attending to itself: N(CA) = 1, .5, 0 → σ(5), σ(0), σ(−5) → 1, .5, 0. With α = .75 the middle, σ(−2.5),
    is far nearer to the last."""
    maps = AttentionMaps({(1, 3): torch.eye(3)}, {(1, 3): torch.tensor([[0.4], [0.2], [0.0]])}, (1, 3), {"dog": (0,)})
    for alpha, middle in ((0.5, 0.5), (0.75, (0.0758582 - 0.0005528) / (0.9241418 - 0.0005528))):
        config = MaskConfig(method="soft_seeds", alpha=alpha, expand_levels=(1,))
        assert soft_seeds(maps, "dog", config).soft[0].tolist() == pytest.approx([1, middle, 0], abs=1e-5)


def test_constant_attention_is_flagged():
    config = MaskConfig(method="soft_seeds", expand_levels=(2,))
    assert soft_seeds(replaced(random_maps(), cross_value=0.05), "dog", config).flags == ("constant_map",)
