from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_maps import apart, class_map, random_maps, stretch

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.errors import UserError
from seediff.masks.make import soft_mask
from seediff.masks.maskdiffusion import maskdiffusion

CONFIG = MaskConfig(method="maskdiffusion", expand_levels=(4,))


@pytest.mark.parametrize("levels", [(4,), (4, 2)])
def test_equals_the_equations_in_float64(levels: tuple):
    maps = apart(random_maps(normalized=False))
    unit = maps.features[8, 8].double().numpy()
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    weights = {name: stretch(np.mean([class_map(maps, 16 // level, name, 8) for level in levels], 0)).ravel() for name in maps.words}
    weights["background"] = 1 - np.max(list(weights.values()), 0)
    prototypes = {name: (of**2) @ unit / np.linalg.norm((of**2) @ unit) for name, of in weights.items()}
    for name in maps.words:
        found = maskdiffusion(maps, name, replace(CONFIG, expand_levels=levels))
        wanted = (1 + unit @ prototypes[name] - unit @ prototypes["background"]) / 2
        np.testing.assert_allclose(found.soft.numpy().ravel(), wanted.clip(0, 1), atol=1e-6)


def two_positions(**about) -> AttentionMaps:
    cross = {(1, 2): torch.tensor([[0.3, 0.1], [0.1, 0.1]])}
    features = {(1, 2): torch.tensor([[3.0, 0.0], [0.0, 5.0]])}
    maps = AttentionMaps({}, cross, (4, 8), {"dog": (0,)}, "", False, features=features)
    return replace(maps, **about)


def test_by_hand():
    """A dog attended to on the left alone has the left's direction (1, 0), and the background (0, 1), whatever the features' lengths. With
    the right turned to (.6, .8): ½ (1 + 1 − .6) = .7 and ½ (1 + .6 − 1) = .3."""
    assert maskdiffusion(two_positions(), "dog", CONFIG).soft.tolist() == [[1, 0]]
    near = two_positions(features={(1, 2): torch.tensor([[2.0, 0.0], [0.3, 0.4]])})
    assert maskdiffusion(near, "dog", CONFIG).soft[0].tolist() == pytest.approx([0.7, 0.3])
    flat = maskdiffusion(two_positions(cross_attention={(1, 2): torch.full((2, 2), 0.5)}), "dog", CONFIG)
    assert flat.flags == ("constant_map",)
    assert (flat.soft < 0.5).all()  # all is background


def test_maps_without_features_are_refused_in_one_line():
    with pytest.raises(UserError, match=r"^capture.features = false: method maskdiffusion compares a layer's features; use --capture-feat"):
        soft_mask(two_positions(features={}), "dog", CONFIG)


def test_features_are_captured_saved_and_joined(mini_model, tmp_path):
    from seediff.attention.photograph import capture_images, join_maps
    from seediff.config.constants import CaptureConfig

    image = np.random.default_rng(0).integers(0, 256, (mini_model.image_side, mini_model.image_side, 3), dtype=np.uint8)
    how = {"timesteps": (100, 400), "seed": 0}
    config = CaptureConfig(normalize=False, features=True)
    maps = capture_images(mini_model, [image], ["a photo of a dog"], [["dog"]], capture=config, **how)["all"][0]
    ((grid, features),) = maps.features.items()
    assert len(features) == grid[0] * grid[1]
    assert not maps.agreement
    maps.save(tmp_path / "a.safetensors")
    assert torch.equal(AttentionMaps.load(tmp_path / "a.safetensors").features[grid], features)
    torch.testing.assert_close(join_maps([maps, maps]).features[grid], features)
    assert soft_mask(maps, "dog", CONFIG).soft.shape == grid
