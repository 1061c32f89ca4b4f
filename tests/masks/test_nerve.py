from __future__ import annotations

import numpy as np
import pytest
from random_maps import class_map, random_maps, stretch

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.masks.nerve import restart_walk


def rows_of(maps: AttentionMaps, side: int) -> np.ndarray:
    rows = maps.self_attention[side, side].double().numpy()
    return rows / rows.sum(1, keepdims=True)


@pytest.mark.parametrize(("class_name", "normalized", "rounds"), [("dog", True, 1), ("cat", False, 5)])
def test_equals_the_rounds_in_float64(class_name: str, normalized: bool, rounds: int):
    maps = random_maps(normalized=normalized)
    rows, start = rows_of(maps, 8), stretch(class_map(maps, 4, class_name, 8)).ravel()
    p = start
    for _ in range(rounds):
        p = 0.2 * start + 0.8 * rows @ p
    result = restart_walk(maps, class_name, MaskConfig(method="nerve_walk", tau=rounds))
    np.testing.assert_allclose(result.soft.numpy(), stretch(p.reshape(8, 8)), atol=1e-4)
    assert [str(step) for step in result.trace][:2] == ["cross_attention", "walk with restart 1 L/2"]


def test_many_rounds_reach_the_limit():
    """(1 − α) (I − α S)⁻¹ G"""
    maps = random_maps()
    start = stretch(class_map(maps, 4, "dog", 8)).ravel()
    limit = 0.2 * np.linalg.solve(np.eye(64) - 0.8 * rows_of(maps, 8), start)
    result = restart_walk(maps, "dog", MaskConfig(method="nerve_walk", tau=100))
    np.testing.assert_allclose(result.soft.numpy(), stretch(limit.reshape(8, 8)), atol=1e-4)
