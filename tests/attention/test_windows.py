from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENT
from refusals import user_error

from seediff.attention.windows import Window, cut, paste, seen_shape, windows

SIDES = st.integers(8, 700)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@PATIENT
@given(SIDES, SIDES)
def test_tiles_cover_everything_and_overlap_by_half(height, width):
    tiles = windows(height, width, "tile")
    side = min(height, width)
    assert {(t.height, t.width) for t in tiles} == {(side, side)}
    starts = [t.top + t.left for t in tiles]
    assert starts[0] == 0
    assert starts[-1] + side == max(height, width)
    steps = [b - a for a, b in pairwise(starts)]
    assert all(0 < step <= side / 2 for step in steps)
    assert max(steps, default=0) - min(steps, default=0) <= 1
    covered = np.zeros((height, width), bool)
    for tile in tiles:
        assert min(tile.top, tile.left) == 0
        covered[tile.slices] = True
    assert covered.all()
    assert windows(width, height, "tile") == [Window(t.left, t.top, t.width, t.height) for t in tiles]


@pytest.mark.parametrize("fit", ["crop", "resize", "tile"])
@pytest.mark.parametrize(("shape", "side"), [((31, 57), 64), ((60, 41), 16), ((20, 400), 64), ((200, 8), 16)])
def test_cut_follows_the_bilinear_filter(fit, shape, side):
    """As PyTorch's: plain when enlarging, antialiased when reducing."""
    image = noise(*shape)
    for window in windows(shape[0], shape[1], fit):
        square = cut(image, window, (side, side))
        assert square.shape == (side, side, 3)
        assert square.dtype == np.uint8
        part = torch.from_numpy(image[window.slices]).permute(2, 0, 1)[None].float()
        expected = F.interpolate(part, (side, side), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
        assert np.abs(square - expected).max() <= 1.01
        if side >= max(window.height, window.width):
            plain = F.interpolate(part, (side, side), mode="bilinear")[0].permute(1, 2, 0).numpy()
            assert np.abs(square - plain).max() <= 1.01


@pytest.mark.parametrize("fit", ["crop", "resize", "tile"])
@pytest.mark.parametrize("shape", [(8, 8), (31, 57), (20, 400)])
def test_pasted_labels_are_where_they_were_cut(fit, shape):
    """Every pixel's own number survives the way out and back; outside the window it is -1."""
    numbers = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape)
    seen = np.zeros(shape, bool)
    for window in windows(shape[0], shape[1], fit):
        pasted = paste(numbers[window.slices], window, shape)
        inside = np.zeros(shape, bool)
        inside[window.slices] = True
        assert pasted.dtype == np.int32
        np.testing.assert_array_equal(pasted, np.where(inside, numbers, -1))
        seen |= inside
    assert seen.all() == (fit != "crop" or shape[0] == shape[1])


def test_at_which_size_a_photo_is_seen(mini_model):
    assert seen_shape(mini_model, (300, 400), "keep", None) == (48, 64)
    assert seen_shape(mini_model, (300, 400), "keep", 128) == (112, 144)
    assert seen_shape(mini_model, (400, 300), "keep", "128x128") == (144, 112)
    assert seen_shape(mini_model, (77, 77), "keep", 128) == (128, 128)
    assert seen_shape(mini_model, (80, 640), "keep", 128) == (48, 336)
    assert seen_shape(mini_model, (300, 400), "resize", None) == (64, 64)
    assert seen_shape(mini_model, (300, 400), "resize", "128x64") == (64, 128)
    assert seen_shape(mini_model, (300, 400), "crop", 32) == seen_shape(mini_model, (300, 4000), "tile", 32) == (32, 32)
    with user_error(r"^4000 × 80 pixels: one side is 50 times the other, and the limit"):
        seen_shape(mini_model, (80, 4000), "keep", None)


def test_paste_takes_soft_maps():
    soft = paste(np.full((3, 4, 4), 0.5, np.float32), Window(2, 0, 4, 4), (8, 4), outside=0)
    assert (soft.shape, soft.dtype, soft.sum()) == ((3, 8, 4), np.float32, 24)
