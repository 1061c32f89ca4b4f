from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_maps import class_map, random_maps

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.errors import UserError
from seediff.masks.anchor_walk import anchor_walk, peaks
from seediff.masks.make import soft_mask

CONFIG = MaskConfig(method="anchor_walk", self_level=2, seed_level=2, tau=4)


def with_outputs(maps: AttentionMaps, seed: int = 3) -> AttentionMaps:
    return replace(maps, features={(8, 8): torch.randn(64, 6, generator=torch.Generator().manual_seed(seed))})


def stretch(x: np.ndarray) -> np.ndarray:
    return (x - x.min()) / (x.max() - x.min())


@pytest.mark.parametrize(("class_name", "normalized"), [("dog", True), ("cat", False)])
def test_the_walk_in_float64(class_name: str, normalized: bool):
    maps = with_outputs(random_maps(normalized=normalized))
    cross = stretch(class_map(maps, 8, class_name, 8))
    start = np.zeros((8, 8))
    for i, j in np.ndindex(8, 8):
        around = cross[max(0, i - 1) : i + 2, max(0, j - 1) : j + 2]
        if cross[i, j] == around.max() and cross[i, j] >= 0.5:
            start[i, j] = cross[i, j]
    assert (start > 0).sum() > 1
    features, attention = maps.features[8, 8].double().numpy(), maps.self_attention[8, 8].double().numpy()
    walk = np.zeros((64, 64))
    for i, j in np.ndindex(64, 64):
        cosine = features[i] @ features[j] / np.linalg.norm(features[i]) / np.linalg.norm(features[j])
        walk[i, j] = max(0, cosine) * attention[i, j] / attention[i].max()
    walk /= walk.sum(1, keepdims=True)
    x = start.ravel()
    for _ in range(4):
        x = 0.05 * start.ravel() + 0.95 * walk @ x
    soft = anchor_walk(maps, class_name, CONFIG).soft
    np.testing.assert_allclose(soft.numpy(), stretch(x.reshape(8, 8)), atol=1e-5)


def test_by_hand():
    """Four positions, of which 0, 1 and 2, 3 have opposite outputs; all attend to all alike. From a seed at 0, position 1 gets
    .475 of what 0 and 1 have together, and 2 and 3 nothing."""
    maps = AttentionMaps(
        {(1, 4): torch.full((4, 4), 0.25)},
        {(1, 4): torch.tensor([[1.0], [0.2], [0.1], [0.0]])},
        (1, 4),
        {"dog": (0,)},
        features={(1, 4): torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])},
    )
    soft = anchor_walk(maps, "dog", replace(CONFIG, self_level=1, seed_level=1, tau=400)).soft.flatten()
    # x0 = .05 + .475 (x0 + x1), x1 = .475 (x0 + x1): x0 + x1 = 1, x0 = .525, x1 = .475
    np.testing.assert_allclose(soft, [1, 0.475 / 0.525, 0, 0], atol=1e-5)


def test_peaks():
    values = torch.tensor([[1.0, 0.2, 0.4, 0.9], [0.3, 0.1, 0.2, 0.1], [0.6, 0.2, 0.3, 0.45]])
    assert peaks(values, 0.5).int().tolist() == [[1, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_outputs_that_were_not_captured_are_refused():
    with pytest.raises(UserError, match=r"capture\.features = false: method anchor_walk compares a layer's features"):
        soft_mask(random_maps(), "dog", CONFIG)
