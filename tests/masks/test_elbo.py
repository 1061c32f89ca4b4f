"""ELBO-T2IAlign's exponent, with any method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_maps import CLASSES, apart, random_maps

from seediff.attention.maps import AttentionMaps
from seediff.attention.photograph import ERROR_LEVELS, capture_classes, capture_images, denoising_errors, encode_images
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.generate import GenerateConfig
from seediff.config.methods import METHOD_FACTS
from seediff.errors import UserError
from seediff.masks.arithmetic import min_max
from seediff.masks.elbo import exponents, sharpened
from seediff.masks.make import soft_masks
from seediff.masks.steps import SoftMask, Step


def test_by_hand():
    """Errors .2 and .4: values .5 and .5 become .5 and .125."""
    powers = exponents({"dog": 0.2, "cat": 0.4})
    assert powers == {"dog": 1, "cat": 3}
    soft = torch.tensor([[0.0, 0.5, 1.0]])
    assert [sharpened(SoftMask(soft), powers[name]).soft[0, 1].item() for name in powers] == [0.5, 0.125]
    assert exponents({"dog": 0.2}) == exponents({}) == {}
    assert exponents({"dog": 0.2, "cat": 0.2}) == {"dog": 1, "cat": 1}


OWN_SCALE = ("fa_seg",)
"""Methods whose soft masks are not stretched to [0, 1] one by one."""


@pytest.mark.parametrize("method", list(METHOD_FACTS))
def test_every_method_in_float64(method: str):
    """The best class keeps its map, on whatever scale its method leaves it. The authors' maps are min-maxed first, as most here are."""
    maps = apart(random_maps(normalized=False))
    config = MaskConfig(method=method)
    plain = soft_masks(maps, CLASSES, config)
    found = soft_masks(replace(maps, errors={"cat": 0.3, "bus": 0.4, "dog": 0.5}), CLASSES, config)
    for name, before, after in zip(CLASSES, plain, found, strict=True):
        wanted = before.soft.double().numpy() ** {"cat": 1, "dog": 3}[name]
        np.testing.assert_allclose(after.soft.numpy(), wanted, atol=1e-6)
        assert list(after.trace)[-1] == Step("sharpened")
        assert method in OWN_SCALE or torch.equal(min_max(before.soft)[0], before.soft)


def test_errors_of_a_photograph(mini_model, tmp_path):
    """Those of a sentence per class, over all noise levels; the same whichever sentences name the classes."""
    image = np.random.default_rng(0).integers(0, 256, (mini_model.image_side, mini_model.image_side, 3), dtype=np.uint8)
    how = {"timesteps": (100,), "seed": 0, "capture": CaptureConfig(errors=True)}
    (maps,) = capture_images(mini_model, [image], ["a dog and a cat"], [["dog", "cat"]], **how)["all"]
    latents = encode_images(mini_model, [image])
    by_hand = denoising_errors(mini_model, latents[0], ["a photo of a dog", "a photo of a cat"], timesteps=ERROR_LEVELS).sum((1, 2, 3))
    assert len(ERROR_LEVELS) == 20
    assert maps.errors["dog"] / maps.errors["cat"] == pytest.approx(float(by_hand[0] / by_hand[1]), rel=1e-5)
    (joined,) = capture_classes(mini_model, latents, [[("a dog", ("dog",)), ("a cat", ("cat",))]], indices=[0], **how)
    assert joined.errors == pytest.approx(maps.errors)
    (alone,) = capture_images(mini_model, [image], ["a dog"], [["dog"]], **how)["all"]
    assert alone.errors == {}
    maps.save(tmp_path / "a.safetensors")
    assert AttentionMaps.load(tmp_path / "a.safetensors").errors == maps.errors


@pytest.mark.parametrize("switch", ["flip", "errors"])
def test_drawn_pictures_are_refused_in_one_line(switch: str):
    with pytest.raises(UserError, match=rf"^capture.{switch} = true: looks once more at photographs"):
        GenerateConfig(("dog",), capture=CaptureConfig(**{switch: True}))
