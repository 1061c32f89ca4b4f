from __future__ import annotations

from math import e, log10

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT
from random_maps import class_map, random_maps, replaced, stretch

from seediff.config.constants import MaskConfig
from seediff.masks.iseg import entropy_walk, less_entropy


@pytest.mark.parametrize(("class_name", "normalized", "level"), [("dog", True, 1), ("cat", False, 1), ("cat", True, 2)])
def test_equals_the_authors_steps_in_float64(class_name: str, normalized: bool, level: int):
    maps, side = random_maps(normalized=normalized), 16 // level
    x = 0.0
    for of_level, weight in {4: 0.7, 2: 0.3}.items():
        small = class_map(maps, 16 // of_level, class_name, 16 // of_level)
        x += weight * class_map(maps, 16 // of_level, class_name, side) / small.sum()
    x = x.ravel() - x.min()
    x /= x.sum()
    rows = maps.self_attention[side, side].double().numpy()
    rows = rows / rows.max(0)
    for i, j in np.ndindex(rows.shape):
        rows[i, j] = max(0, rows[i, j] + 0.015 * log10(e * rows[i, j]))
    rows /= rows.sum(1, keepdims=True)
    for _ in range(8):
        x = rows @ x
        x -= x.min()
        x /= x.sum()
    result = entropy_walk(maps, class_name, MaskConfig(method="iseg_walk", self_level=level, tau=8))
    np.testing.assert_allclose(
        result.soft.numpy(), stretch(x.reshape(side, side)), atol=1e-3
    )  # eight rounds leave little contrast
    assert len(result.trace) == 10


@pytest.mark.parametrize(("strength", "cut"), [(0.2, 0.107), (0.1, 0.071), (0.015, 0.019), (0.002, 0.004)])
def test_a_strength_cuts_off_what_is_below_a_share_of_the_maximum(strength: float, cut: float):
    weights = torch.tensor([[1.0, cut - 0.001], [cut + 0.001, 1.0]])
    assert (less_entropy(weights, strength) > 0).tolist() == [[True, False], [True, True]]


@given(st.integers(0, 10_000), st.floats(0.001, 0.5))
@settings(PATIENT, max_examples=30)
def test_rows_sum_to_one_and_have_no_more_entropy(seed: int, strength: float):
    rows = torch.randn(12, 12, generator=torch.Generator().manual_seed(seed)).mul(3).softmax(1)
    rows[3] = 0  # attends to nothing: keeps to itself
    after = less_entropy(rows, strength)
    torch.testing.assert_close(after.sum(1), torch.ones(12))
    assert (after >= 0).all()
    assert after[3, 3] == 1
    assert (torch.special.entr(after).sum(1) <= torch.special.entr(rows).sum(1) + 1e-5)[rows.sum(1) > 0].all()


def test_many_rounds_stay_inside_what_attends_to_itself():
    """Two halves that attend to each other a little: a plain walk would mix them, this one does not."""
    rows = torch.full((16, 16), 0.001)
    rows[:8, :8] = rows[8:, 8:] = 0.124
    maps = replaced(random_maps(4))
    maps.self_attention[4, 4] = rows
    maps.cross_attention[1, 1][:] = 1
    maps.cross_attention[2, 2][:, 5] = torch.tensor([1.0, 0.5, 0.0, 0.0])
    soft = entropy_walk(maps, "dog", MaskConfig(method="iseg_walk", self_level=1, tau=60)).soft
    torch.testing.assert_close(soft, torch.tensor([1.0, 0.0]).repeat_interleave(8).view(4, 4), atol=1e-5, rtol=0)
