import pytest
import torch
from builders.families import denoised, generate, largest_difference

from seediff.config.methods import CaptureConfig

pytestmark = pytest.mark.slow


def test_an_image_that_is_filled_up(model):
    """100 positions are filled up to 128, which are no picture and no text, and are attended to."""
    assert largest_difference(model, size=40, capture=CaptureConfig(normalize=False)) < 1e-5
    maps = generate(model, size=40, capture=CaptureConfig(normalize=False), guidance_scale=0.0)[1][0]
    rows = maps.self_attention[10, 10].sum(1)
    assert 0 < float(rows.min()) <= float(rows.max()) < 1


def test_the_network_predicts_image_less_noise(model):
    """The other way round than the others."""
    predicted, _, own = denoised(model, torch.randn(1, 4, 32, 32), "a dog")
    torch.testing.assert_close(predicted[0], -own[0].squeeze(1))
