from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_maps import CLASSES, apart, class_map, random_maps

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.errors import UserError
from seediff.masks.make import make_masks, soft_mask
from seediff.masks.maskdiffusion import maskdiffusion

CONFIG = MaskConfig(method="maskdiffusion", pamr=False)


def stretch(x: np.ndarray) -> np.ndarray:
    return (x - x.min()) / (x.max() - x.min())


def test_equals_the_equations_in_float64():
    maps = apart(random_maps(normalized=False))
    unit = maps.features[8, 8].double().numpy()
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    prototypes = []
    for name in maps.words:
        weights = stretch(class_map(maps, 4, name, 8)).ravel()  # of L/8 and L/4 there is L/4
        prototypes.append((weights[:, None] * unit).sum(0) / weights.sum())
    likeness = stretch(unit @ np.array(prototypes).T)
    for index, name in enumerate(maps.words):
        result = maskdiffusion(maps, name, CONFIG)
        np.testing.assert_allclose(result.soft.numpy().ravel(), likeness[:, index], atol=1e-6)
    soft = make_masks(None, maps, CLASSES, CONFIG, size=(8, 8)).soft
    assert (soft.argmax(0).ravel().numpy() == likeness[:, [list(maps.words).index(name) for name in CLASSES]].argmax(1)).all()


def two_positions(**about) -> AttentionMaps:
    cross = {(1, 2): torch.tensor([[0.3, 0.1], [0.1, 0.3]])}
    features = {(1, 2): torch.tensor([[3.0, 0.0], [0.0, 5.0]])}
    maps = AttentionMaps({}, cross, (4, 8), {"dog": (0,), "cat": (1,)}, "", False, features=features)
    return replace(maps, **about)


def test_by_hand():
    """A dog attended to on the left alone has the left's direction (1, 0): f · p is 1 and 0, whatever the features' lengths."""
    assert maskdiffusion(two_positions(), "dog", CONFIG).soft.tolist() == [[1, 0]]
    assert maskdiffusion(two_positions(), "cat", CONFIG).soft.tolist() == [[0, 1]]
    flat = two_positions(cross_attention={(1, 2): torch.full((2, 2), 0.5)})
    assert maskdiffusion(flat, "dog", CONFIG).flags == ("constant_map",)  # both classes have the mean of all features


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
