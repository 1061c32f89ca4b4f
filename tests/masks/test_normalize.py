from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from patience import PATIENT

from seediff.errors import UserError
from seediff.masks.normalize import min_max, resize


@pytest.fixture(autouse=True)
def fixed_values():
    torch.manual_seed(0)


@given(arrays(np.float32, (4, 5), elements=st.floats(-1e3, 1e3, width=32)))
@settings(PATIENT)
def test_min_max_reaches_both_ends_or_says_why_not(values: np.ndarray):
    result, flags = min_max(torch.tensor(values))
    if flags:
        assert flags == ("constant_map",)
        assert not result.any()
        assert np.ptp(values) <= 1e-6 * np.abs(values).max()
    else:
        assert (result.min(), result.max()) == (0, 1)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.06, -3.0])
def test_a_constant_map_becomes_zeros_and_is_flagged(value: float):
    result, flags = min_max(torch.full((8, 8), value))
    assert not result.any()
    assert flags == ("constant_map",)


def test_rounding_is_not_blown_up_to_full_contrast():
    nearly = torch.full((8, 8), 0.1)
    nearly[3, 3] = torch.nextafter(nearly[3, 3], torch.tensor(1.0))
    assert min_max(nearly)[1] == ("constant_map",)


def test_a_small_map_of_real_differences_is_not_constant():
    assert min_max(torch.tensor([[1e-12, 2e-12]]))[1] == ()


def test_the_input_is_not_modified():
    values = torch.rand(4, 4)
    before = values.clone()
    min_max(values)
    assert torch.equal(values, before)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_nan_is_an_error_that_says_what_to_do(bad: float):
    with pytest.raises(UserError, match="float32"):
        min_max(torch.tensor([[0.0, bad], [1.0, 0.5]]))


def bilinear(values: np.ndarray, side: int) -> np.ndarray:
    """align_corners=False, in float64."""
    out, scale, last = np.zeros((side, side)), len(values) / side, len(values) - 1
    for y in range(side):
        for x in range(side):
            v, u = max((y + 0.5) * scale - 0.5, 0), max((x + 0.5) * scale - 0.5, 0)
            i, j = int(v), int(u)
            a, b, i2, j2 = v - i, u - j, min(i + 1, last), min(j + 1, last)
            top, bottom = (1 - b) * values[i, j] + b * values[i, j2], (1 - b) * values[i2, j] + b * values[i2, j2]
            out[y, x] = (1 - a) * top + a * bottom
    return out


@pytest.mark.parametrize("side", [4, 8, 12, 13])
def test_resize_up_is_bilinear_without_aligned_corners(side: int):
    values = torch.rand(4, 4)
    torch.testing.assert_close(
        resize(values, (side, side)).double(), torch.tensor(bilinear(values.double().numpy(), side)), atol=1e-6, rtol=0
    )


def test_resize_down_averages_every_position():
    values = torch.rand(2, 8, 8)
    torch.testing.assert_close(resize(values, (2, 2)), values.reshape(2, 2, 4, 2, 4).mean((2, 4)))


def test_resize_keeps_leading_dimensions_and_equal_sizes():
    values = torch.rand(3, 2, 4, 4)
    assert resize(values, (4, 4)) is values
    assert resize(values, (6, 8)).shape == (3, 2, 6, 8)
