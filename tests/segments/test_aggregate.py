import copy

import pytest
import torch
import torch.nn.functional as F
from refusals import user_error
from region_maps import region_maps

from seediff.devices import cpu_threads
from seediff.segments.aggregate import aggregate, level_weights


def plain_aggregate(maps, size, shares):
    """The original's steps in float64: every row upsampled and normalised, every query tiled, at all levels alike."""
    positions = size[0] * size[1]
    total = torch.zeros(positions, positions, dtype=torch.float64)
    for (height, width), share in shares.items():
        rows = F.interpolate(maps[height, width].double().view(1, -1, height, width), size, mode="bilinear")[0]
        rows = (rows / rows.sum((1, 2), keepdim=True)).view(height, width, -1)
        tile = size[0] // height
        total += share * rows.repeat_interleave(tile, 0).repeat_interleave(tile, 1).view(positions, -1)
    return total


@pytest.mark.parametrize("weights", ["proportional", "uniform", (1,), (0, 0, 2, 1), (0.5, 0.2, 0.2, 0.1)])
@pytest.mark.parametrize("size", [(16, 16), (16, 24), (8, 16)])
def test_equals_the_plain_reference(weights, size):
    maps = region_maps(size)
    expected, before = plain_aggregate(maps, size, level_weights(maps, size, weights)), copy.deepcopy(maps)
    torch.testing.assert_close(aggregate(maps, size, weights).double(), expected, rtol=2e-6, atol=0)
    assert all(torch.equal(maps[grid], before[grid]) for grid in maps)


def test_bits_do_not_depend_on_threads():
    maps = region_maps(32)
    expected = aggregate(maps, (32, 32))
    with cpu_threads(3):
        assert torch.equal(aggregate(maps, (32, 32)), expected)


def squares(sides):
    return [(side, side) for side in sorted(sides, reverse=True)]


@pytest.mark.parametrize(
    ("sides", "weights", "expected"),
    [
        ([64, 32, 16, 8], "proportional", {64: 8 / 15, 32: 4 / 15, 16: 2 / 15, 8: 1 / 15}),  # the paper's
        ([64, 32, 16, 8], "uniform", {64: 0.25, 32: 0.25, 16: 0.25, 8: 0.25}),
        ([32, 16], (0, 1, 3), {32: 0.25, 16: 0.75}),  # no attention at L, as in Stable Diffusion XL
    ],
)
def test_weights_by_level(sides, weights, expected):
    shares = level_weights(squares(sides), (64, 64), weights)
    assert list(shares) == squares(expected)
    assert list(shares.values()) == pytest.approx(list(expected.values()))


@pytest.mark.parametrize(
    ("sides", "weights", "message"),
    [
        ([64, 32], (1, 1, 1), "segment.weights: 1, 1, 1: the model has no self-attention at L/4; levels there: 1, 2"),
        ([32, 16], (1, 1), "no self-attention at L/1; levels there: 2, 4"),
        ([64, 24], "uniform", "of 24 does not divide latents of 64"),
        ([], "uniform", "no self-attention was captured"),
    ],
)
def test_weights_that_make_no_sense(sides, weights, message):
    with user_error(message) as error:
        level_weights(squares(sides), (64, 64), weights)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_attention_that_is_no_distribution_is_an_error(value):
    maps = region_maps(8, levels=2)
    maps[4, 4][3] = value
    with user_error("NaN or infinite"):
        aggregate(maps, (8, 8))
