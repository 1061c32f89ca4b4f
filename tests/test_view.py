import numpy as np
import pytest
import torch
import torch.nn.functional as F
from items import noise_pixels
from refusals import user_error

from seediff.view import View, Window, seen_shape, seen_window


@pytest.mark.parametrize("fit", ["crop", "resize"])
@pytest.mark.parametrize(("shape", "side"), [((31, 57), 64), ((200, 8), 16)])
def test_what_is_seen_follows_the_bilinear_filter(fit, shape, side):
    """As PyTorch's: plain when enlarging, antialiased when reducing."""
    image, window = noise_pixels(*shape), seen_window(*shape, fit)
    square = View(shape, window, (side, side), image).seen
    assert (square.shape, square.dtype) == ((side, side, 3), np.uint8)
    part = torch.from_numpy(image[window.slices]).permute(2, 0, 1)[None].float()
    for antialias in {True, side < max(window.height, window.width)}:
        expected = F.interpolate(part, (side, side), mode="bilinear", antialias=antialias)[0].permute(1, 2, 0).numpy()
        assert np.abs(square - expected).max() <= 1.01


@pytest.mark.parametrize(("window", "part"), [((0, 13, 31, 31), np.s_[:, 13:44]), ((-2, 0, 35, 57), np.s_[:])])
def test_pasted_labels_are_where_they_were_cut(window, part):
    """The last window reaches two rows beyond the picture at both ends, as a pipeline cuts off what it drew."""
    picture = noise_pixels(31, 57)
    view, expected = View((31, 57), Window(*window), (8, 8), picture), np.full((31, 57), 7)
    expected[part] = picture[part][..., 0]
    np.testing.assert_array_equal(view.paste(view.part[view.kept.slices][..., 0], 7), expected)
    assert view.part.shape[:2] == window[2:]


def test_at_which_size_a_photo_is_seen(mini_model):
    assert seen_shape(mini_model.sizes, (300, 400), "keep", None) == (48, 64)
    assert seen_shape(mini_model.sizes, (400, 300), "keep", "128x128") == (144, 112)
    assert seen_shape(mini_model.sizes, (77, 77), "keep", 128) == (128, 128)
    assert seen_shape(mini_model.sizes, (80, 640), "keep", 128) == (48, 336)
    assert seen_shape(mini_model.sizes, (300, 400), "resize", None) == (64, 64)
    assert seen_shape(mini_model.sizes, (300, 400), "resize", "128x64") == (64, 128)
    assert seen_shape(mini_model.sizes, (300, 4000), "crop", 32) == (32, 32)
    with user_error(r"^4000 × 80 pixels: one side is 50 times the other, and the limit"):
        seen_shape(mini_model.sizes, (80, 4000), "keep", None)
