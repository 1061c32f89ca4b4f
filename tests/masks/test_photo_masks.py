"""The masks of photographs in memory."""

import numpy as np
import pytest
import torch

from seediff.attention.windows import Window
from seediff.config.methods import MaskConfig
from seediff.masks.clips import ROUNDS, SAME_COLOUR, along_time, frame_weights
from seediff.masks.make_masks import MaskResult, refine_photo
from seediff.masks.photos import PhotoView, enlarge_masks


@pytest.mark.parametrize("megapixels", [0.0, 0.01, 2.0])
def test_masks_follow_the_edges_of_the_photograph(megapixels):
    """A model saw a photograph at a quarter of its size, and its soft mask is off by some pixels."""
    photo = np.zeros((128, 160, 3), np.uint8)
    photo[:, 70:] = 230
    soft = torch.zeros(1, 32, 40)
    soft[:, :, 19:] = 1  # the edge is at 17.5
    refined = refine_photo(photo, soft, MaskConfig(pamr_dilations=(1, 2, 4)), megapixels)
    if not megapixels:
        assert refined is None
        return
    assert refined.shape[1:] == ((128, 160) if megapixels == 2 else (89, 111))
    edge = round(70 * refined.shape[2] / 160)
    shown = refined[0] > 0.5
    assert (shown == (torch.arange(refined.shape[2]) >= edge)).float().mean() > 0.99


def test_what_a_model_saw_at_full_size_stays():
    soft = torch.rand(2, 32, 40)
    assert refine_photo(np.zeros((32, 40, 3), np.uint8), soft, MaskConfig(), 2.0) is None
    assert refine_photo(np.zeros((64, 80, 3), np.uint8), soft, MaskConfig(pamr=False), 2.0) is None


def test_flags_of_areas_are_those_of_the_whole_photograph():
    """The model saw the middle half, without background; what it did not see is none, either."""
    small = MaskResult(
        np.zeros((4, 4), np.uint8),
        torch.zeros(2, 4, 4),
        ("dog", "cat"),
        ("degenerate:dog", "missing:cat"),
        trace={"dog": {}},
        agreement={"dog": 0.5},
    )
    fine = torch.zeros(2, 4, 4)
    fine[0, :, :2] = fine[1, :, 2:] = 1
    view = PhotoView(np.zeros((12, 4, 3), np.uint8), Window(2, 0, 8, 4), np.zeros((4, 4, 3), np.uint8), 0)
    for background, flag in ((False, "no_background"), (True, None)):
        fine[0, 0, 0] = 1 - background
        found = enlarge_masks(small, fine, view, MaskConfig(pamr=False))
        assert found.flags == ("missing:cat", *filter(None, [flag]))
        again = enlarge_masks(found, fine, view, MaskConfig(pamr=False))
        assert again.flags == found.flags
        assert (found.trace, found.agreement, found.pixels) == (small.trace, small.agreement, view.pixels)


@pytest.mark.parametrize(
    ("frames", "latents", "expected"),
    [
        (3, 3, np.eye(3)),
        # Latent frame 1 is decoded to frames 1 to 4, so its centre is 2.5.
        (9, 3, [[1, 0.6, 0.2, 0, 0, 0, 0, 0, 0], [0, 0.4, 0.8, 0.875, 0.625, 0.375, 0.125, 0, 0]]),
    ],
)
def test_weights_of_latent_frames(frames, latents, expected):
    weights = frame_weights(frames, latents)
    assert weights.shape == (frames, latents)
    np.testing.assert_allclose(weights.T[: len(expected)], expected, atol=1e-6)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)


def test_values_are_shared_along_time():
    """Pixel by pixel in float64."""
    random = np.random.default_rng(0)
    images = random.integers(0, 40, (5, 3, 4, 3), dtype=np.uint8)
    images[3, 0] = 255  # colours change
    soft = random.random((5, 2, 3, 4), dtype=np.float32)
    expected = soft.astype(float)
    for _ in range(ROUNDS):
        before = expected.copy()
        for t, y, x in np.ndindex(5, 3, 4):
            total, weight = before[t, :, y, x].copy(), 1.0
            for other in {max(t - 1, 0), min(t + 1, 4)} - {t}:
                change = np.abs(images[t, y, x].astype(float) - images[other, y, x]).mean() / 255
                total += np.exp(-change / SAME_COLOUR) * before[other, :, y, x]
                weight += np.exp(-change / SAME_COLOUR)
            expected[t, :, y, x] = total / weight
    found = along_time(torch.from_numpy(soft), list(images))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(found[3, :, 0].numpy(), soft[3, :, 0], atol=1e-3)
