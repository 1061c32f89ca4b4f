"""The masks of photographs in memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_maps import random_maps

from seediff.config.methods import MaskConfig
from seediff.masks import make_masks
from seediff.masks.clips import ROUNDS, SAME_COLOUR, along_time, frame_weights
from seediff.masks.make_masks import Edges, masks_of_view, refine
from seediff.masks.steps import SoftMask
from seediff.view import View, Window


@pytest.mark.parametrize(("megapixels", "size"), [(0, (32, 40)), (0.01, (89, 111)), (2, (128, 160))])
def test_masks_follow_the_edges_of_the_photograph(megapixels, size):
    """A model saw a photograph at a quarter of its size, and its soft mask is off by some pixels."""
    photo = np.zeros((128, 160, 3), np.uint8)
    photo[:, 70:] = 230
    soft = torch.zeros(1, 32, 40)
    soft[:, :, 19:] = 1  # the edge is at 17.5
    view = replace(View.whole(photo.shape, photo), shape=(32, 40))
    config = MaskConfig(pamr_dilations=(1, 2, 4))
    edges = Edges(megapixels, {})
    refined = refine(view, soft, config, edges)
    assert refined.shape[1:] == size
    shown = refined[0] > 0.5
    assert (shown == (torch.arange(size[1]) >= round(70 * size[1] / 160))).float().mean() > 0.97
    assert torch.equal(refine(view, soft, config, edges), refined)
    assert len(edges.kept) == 1
    assert refine(view, soft, MaskConfig(pamr=False)) is soft


@pytest.mark.parametrize(("background", "flags"), [(False, ("no_background",)), (True, ())])
def test_masks_of_a_part_of_a_photograph(monkeypatch, background, flags):
    """The model saw the middle half at half its size; what it did not see is no background, either."""
    soft = torch.zeros(2, 4, 2)
    soft[0, :, :1] = soft[1, :, 1:] = 1
    soft[0, 0, 0] = 1 - background
    softs = [SoftMask(values) for values in soft]
    monkeypatch.setattr(make_masks, "soft_masks", lambda *_: softs)
    view = View((16, 4), Window(4, 0, 8, 4), (4, 2), np.zeros((16, 4, 3), np.uint8))
    found = masks_of_view(view, random_maps(), ("dog", "cat"), MaskConfig(pamr=False))
    assert found.flags == flags
    assert (found.label_map[[0, 3, 12, 15]] == 255).all()
    assert (found.label_map[6:12] == [1, 1, 2, 2]).all()


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
