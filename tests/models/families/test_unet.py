"""Stable Diffusion 1 and 2 and the embedded model by the book; what else there is of them is tried in tests/attention."""

import pytest
from builders.families import SPECS, generate, held_beyond_plain, largest_difference

from seediff.config.constants import CaptureConfig


@pytest.mark.parametrize("guidance", [3.0, 0.0])
@pytest.mark.parametrize("capture", [CaptureConfig(), CaptureConfig(normalize=False)])
@pytest.mark.parametrize("name", ["sd1_model", "sd2_model", "mini_model"])
def test_maps_are_those_by_the_book(name, capture, guidance, request):
    assert largest_difference(request.getfixturevalue(name), capture=capture, guidance_scale=guidance) < 1e-5


def test_what_capture_holds_does_not_grow_with_steps(sd1_model):
    """The maps of one image, from the first step on."""
    first, last = held_beyond_plain(sd1_model, 4)
    maps = generate(sd1_model, SPECS[:1])[1][0]
    assert first >= sum(4 * one.numel() for one in (*maps.self_attention.values(), *maps.cross_attention.values()))
    assert last - first < 1000
