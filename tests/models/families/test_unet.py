"""Stable Diffusion 1 and 2 and the embedded model by the book; what else there is of them is tried in tests/attention."""

import pytest
from builders.families import largest_difference

from seediff.config.constants import CaptureConfig


@pytest.mark.parametrize("guidance", [3.0, 0.0])
@pytest.mark.parametrize("capture", [CaptureConfig(), CaptureConfig(normalize=False)])
@pytest.mark.parametrize("name", ["sd1_model", "sd2_model", "mini_model"])
def test_maps_are_those_by_the_book(name, capture, guidance, request):
    assert largest_difference(request.getfixturevalue(name), capture=capture, guidance_scale=guidance) < 1e-5
