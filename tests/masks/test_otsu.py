from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT

from seediff.masks.otsu import otsu


@pytest.fixture(autouse=True)
def fixed_values():
    torch.manual_seed(0)


def test_two_groups_are_told_apart():
    values = torch.cat([0.2 + 0.02 * torch.randn(500), 0.7 + 0.05 * torch.randn(100)])
    assert 0.26 < otsu(values) < 0.56


def test_the_split_has_the_largest_variance_between_classes():
    values = torch.rand(400).square().double()
    chosen = otsu(values)

    def between(t: float) -> float:
        low, high = values[values < t], values[values >= t]
        return float(len(low) * len(high) * (low.mean() - high.mean()) ** 2)

    best = max(between(float(t)) for t in values.sort().values[1:])
    assert between(chosen) >= 0.995 * best  # one bin's width away at most


@given(st.floats(0.01, 100), st.floats(-5, 5), st.integers(0, 20))
@settings(PATIENT)
def test_it_moves_and_scales_with_the_values(scale: float, shift: float, seed: int):
    values = torch.rand(64, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    bin_width = scale * float(values.max() - values.min()) / 256
    assert otsu(values * scale + shift) == pytest.approx(otsu(values) * scale + shift, abs=1.01 * bin_width)


def test_a_constant_map_is_all_above():
    values = torch.full((4, 4), 0.3)
    assert (values >= otsu(values)).all()
