"""The whole path of each family on a pretended device, where it fails at whatever was left on the CPU; then with parts
that take turns there, by diffusers' own hooks: the same values, and never two large ones at a time.
"""

import numpy as np
import pytest
import torch
from builders.families import SPECS, generate
from builders.off_cpu import elsewhere, offloaded_elsewhere
from builders.plans import plan_of
from builders.reference_attention import BOOKS

from seediff.attention import layers
from seediff.attention.photograph import capture_images, denoising_errors, encode_images
from seediff.config.constants import CaptureConfig, MaskConfig, SegmentConfig
from seediff.config.levels import fit_levels
from seediff.masks.make import make_masks
from seediff.models.registry import load_model
from seediff.segments.make import make_segments

SEQUENTIAL = ("xl", "flux", "qwen_image")
"""Sequential offload moves modules, whatever the family: tried on a UNet, and on two transformers with different
autoencoders.
"""


def path(model):
    """All that commands have a model do: a picture, its maps and those that are seen in it, errors of two sentences."""
    spec = SPECS[0]
    steps = 2 if "DPM" in type(model.pipe.scheduler).__name__ else 1  # which cannot take one
    images, drawn = generate(model, [spec], steps=steps)
    seen = capture_images(model, images, [spec.prompt], [spec.classes], timesteps=(200,), seed=1, plan=plan_of(model))
    errors = denoising_errors(model, encode_images(model, images)[0], ["a dog", "a cat"], timesteps=[300])
    return images, [drawn[0], seen[0]], errors


def masks_of(model, images, maps):
    """A mask by each of the maps, and segments where there is self-attention."""
    method = MaskConfig(method="ca" if model.family.no_self_attention else "seediff")
    config = fit_levels(model.network.config, method, CaptureConfig(), model.family)[0]
    masks = [make_masks(images[0], one, SPECS[0].classes, config).label_map for one in maps]
    if not model.family.no_self_attention:
        masks += [one.label_map for one in make_segments(model, images, SegmentConfig(num_points=4), size=64)]
    return masks


def tensors(maps):
    return [tensor for one in maps for kind in (one.self_attention, one.cross_attention) for tensor in kind.values()]


@pytest.mark.parametrize("name", BOOKS)
def test_nothing_is_left_behind_and_parts_take_turns(name, twin):
    """Also outside of the pipeline's call, where photographs are encoded and shown."""
    model = load_model(str(twin(name)), device="cpu")
    images, maps, errors = path(model)
    masks = masks_of(model, images, maps)
    with elsewhere(model) as (there, device):
        their_images, their_maps, their_errors = path(there)
        assert all(tensor.device.type == "lazy" for one in their_maps for tensor in one.cross_attention.values())
        their_masks = masks_of(there, their_images, their_maps)
        moved = [device.take(tensor) for tensor in (*tensors(their_maps), their_errors)]
    for theirs, ours in zip(moved, (*tensors(maps), errors), strict=True):
        # Rounding of another attention kernel, through all steps.
        torch.testing.assert_close(theirs, ours, atol=1e-3, rtol=1e-3)
    assert all(np.mean(theirs == ours) > 0.97 for theirs, ours in zip(their_masks[:2], masks[:2], strict=True))

    turns = [] if name in ("unet", "lcm") else ["model", "sequential"] if name in SEQUENTIAL else ["model"]
    for offload in turns:  # the UNet of the others is XL's
        with offloaded_elsewhere(model, offload) as (there, device, beside):
            found_images, found_maps, found_errors = path(there)
            found = [device.take(tensor) for tensor in (*tensors(found_maps), found_errors)]
            parts = [part for part in there.pipe.components.values() if isinstance(part, torch.nn.Module)]
            kinds = {weight.device.type for part in parts for weight in part.parameters()}
        assert kinds == {"cpu" if offload == "model" else "meta"}
        # On some CPUs the rounding of a sum depends on where in memory its numbers lie.
        assert np.abs(found_images[0].astype(int) - their_images[0]).max() <= 1
        for theirs, ours in zip(found, moved, strict=True):
            torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)
        assert beside() == set()


def test_what_is_left_behind_is_found(twin, monkeypatch):
    model = load_model(str(twin("z_image")), device="cpu")
    bias = layers._bias
    monkeypatch.setattr(layers, "_bias", lambda *arguments: torch.zeros(bias(*arguments).shape))
    specs = [SPECS[0], SPECS[1].__class__(1, ("cat",), "a photo of a cat" + " and a bus" * 20, 12)]
    with elsewhere(model) as (there, _), pytest.raises(AssertionError, match="tensors of two devices, one of them"):
        generate(there, specs)
