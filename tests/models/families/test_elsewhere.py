"""The whole path of each family on a pretended device: whatever was left on the CPU fails where it meets what was
not.
"""

import numpy as np
import pytest
import torch
from builders.families import SPECS, generate
from builders.off_cpu import elsewhere
from builders.plans import plan_of
from builders.reference_attention import BOOKS

from seediff.attention import layers
from seediff.attention.photograph import capture_images, denoising_errors, encode_images
from seediff.config.constants import CaptureConfig, MaskConfig, SegmentConfig
from seediff.config.levels import fit_levels
from seediff.masks.make import make_masks
from seediff.models.registry import load_model
from seediff.segments.make import make_segments


@pytest.fixture(scope="module", params=BOOKS)
def model(request, twin):
    return load_model(str(twin(request.param)), device="cpu")


def whole_path(model):
    """Maps drawn and seen, on the model's device, a mask of each, errors of two sentences, and segments where there is
    self-attention.
    """
    spec = SPECS[0]
    images, drawn = generate(model, [spec])
    seen = capture_images(
        model, images, [spec.prompt], [spec.classes], timesteps=(200, 500), seed=1, plan=plan_of(model)
    )["all"]
    errors = denoising_errors(model, encode_images(model, images)[0], ["a dog", "a cat"], timesteps=[300])
    method = MaskConfig(method="ca" if model.family.no_self_attention else "seediff")
    config = fit_levels(model.network.config, method, CaptureConfig(), model.family)[0]
    masks = [make_masks(images[0], maps, spec.classes, config).label_map for maps in (drawn[0], seen[0])]
    if not model.family.no_self_attention:
        masks += [one.label_map for one in make_segments(model, images, SegmentConfig(num_points=4), size=64)]
    return [drawn[0], seen[0]], errors, masks


def test_nothing_is_left_behind(model):
    here, errors, masks = whole_path(model)
    with elsewhere(model) as (there, device):
        found, their_errors, their_masks = whole_path(there)
        taken = [
            device.take(tensor)
            for maps in found
            for kind in (maps.self_attention, maps.cross_attention)
            for tensor in kind.values()
        ]
        assert all(tensor.device.type == "lazy" for maps in found for tensor in maps.cross_attention.values())
    expected = [
        tensor for maps in here for kind in (maps.self_attention, maps.cross_attention) for tensor in kind.values()
    ]
    for theirs, ours in zip(taken, expected, strict=True):
        torch.testing.assert_close(
            theirs, ours, atol=1e-3, rtol=0
        )  # rounding of another attention kernel, through all steps
    torch.testing.assert_close(device.take(their_errors), errors, atol=1e-3, rtol=1e-3)
    for theirs, ours in zip(their_masks[:2], masks[:2], strict=True):
        assert np.mean(theirs == ours) > 0.97


def test_what_is_left_behind_is_found(twin, monkeypatch):
    model = load_model(str(twin("z_image")), device="cpu")
    bias = layers._bias

    def left(*arguments):
        found = bias(*arguments)
        return torch.zeros(found.shape)

    monkeypatch.setattr(layers, "_bias", left)
    specs = [SPECS[0], SPECS[1].__class__(1, ("cat",), "a photo of a cat" + " and a bus" * 20, 12)]
    with elsewhere(model) as (there, _), pytest.raises(AssertionError, match="tensors of two devices, one of them"):
        generate(there, specs)
