import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from patience import PATIENT
from refusals import user_error

from seediff.devices import cpu_threads
from seediff.masks.arithmetic import SUM_LENGTH, min_max, otsu, resize, sum_of_rows, times_vector


@pytest.fixture(autouse=True)
def fixed_values():
    torch.manual_seed(0)


@given(arrays(np.float32, (4, 5), elements=st.floats(-1e3, 1e3, width=32)))
@settings(PATIENT)
def test_min_max_reaches_both_ends_or_says_why_not(values):
    result, flags = min_max(torch.tensor(values))
    if flags:
        assert flags == ("constant_map",)
        assert not result.any()
        assert np.ptp(values) <= 1e-6 * np.abs(values).max()  # also of zeros
    else:
        assert (result.min(), result.max()) == (0, 1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_nan_is_an_error_that_says_what_to_do(bad):
    with user_error("float32"):
        min_max(torch.tensor([[0.0, bad], [1.0, 0.5]]))


def test_resize_down_along_one_side_averages_along_it():
    values = torch.rand(2, 34, 4)
    averaged = values.reshape(2, 2, 17, 4).mean(2)
    torch.testing.assert_close(resize(values, (2, 4)), averaged)
    torch.testing.assert_close(resize(values, (2, 9)), resize(averaged, (2, 9)))


SIDE = 1024  # large enough for PyTorch to use several threads


@pytest.fixture(scope="module")
def matrix():
    return torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def some(count):
    return torch.randperm(SIDE, generator=torch.Generator().manual_seed(count))[:count].sort().values


@pytest.mark.parametrize("count", [1, SUM_LENGTH, SUM_LENGTH + 1, SIDE])
def test_sum_of_rows_in_float64(matrix, count):
    rows, weights = some(count), torch.rand(count)
    torch.testing.assert_close(sum_of_rows(matrix, rows).double(), matrix[rows].double().sum(0), rtol=1e-6, atol=0)
    expected = (matrix[rows].double() * weights.double()[:, None]).sum(0)
    torch.testing.assert_close(sum_of_rows(matrix, rows, weights).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("misaligned", [1, 8])
@pytest.mark.parametrize("threads", [1, 3])
@cpu_threads(1)
def test_bits_do_not_depend_on_where_the_values_lie_nor_on_threads(matrix, misaligned, threads):
    def results(values):
        rows = some(700)
        return sum_of_rows(values, rows), sum_of_rows(values, rows, values[0, rows]), times_vector(values, values[1])

    elsewhere = torch.empty(SIDE * SIDE + misaligned)[misaligned:].view(SIDE, SIDE).copy_(matrix)
    expected = results(matrix)
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(results(elsewhere), expected, strict=True))


def test_the_split_has_the_largest_variance_between_classes():
    values = torch.rand(400).square().double()
    chosen = otsu(values)

    def between(t):
        low, high = values[values < t], values[values >= t]
        return float(len(low) * len(high) * (low.mean() - high.mean()) ** 2)

    best = max(between(float(t)) for t in values.sort().values[1:])
    assert between(chosen) >= 0.995 * best  # one bin's width away at most
