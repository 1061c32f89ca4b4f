"""Classes that compete for each place, against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_maps import CLASSES, random_maps

from seediff.config.constants import MaskConfig
from seediff.masks.arithmetic import compete
from seediff.masks.make import make_masks

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def reference(soft: np.ndarray) -> np.ndarray:
    classes, height, width = soft.shape
    result = np.zeros_like(soft)
    z = np.stack([(values - values.mean()) / values.std() for values in soft])
    for y in range(height):
        for x in range(width):
            for c in range(classes):
                result[c, y, x] = soft[:, y, x].max() * np.exp(2 * (z[c, y, x] - z[:, y, x].max()))
    return result


def test_it_is_what_the_equation_says():
    soft = torch.rand(3, 6, 5, dtype=torch.float64)
    assert compete(soft).numpy() == pytest.approx(reference(soft.numpy()), abs=1e-9)


def test_a_class_alone_stays_and_a_constant_map_wins_nothing():
    soft = torch.rand(1, 4, 4)
    assert torch.equal(compete(soft), soft)
    both = compete(torch.cat([torch.zeros(1, 4, 4), soft]))
    assert torch.equal(both[1], soft[0])
    assert not both[0].any()
    assert not compete(torch.zeros(2, 4, 4)).any()


def test_masks_compete_at_the_images_size_before_pamr():
    maps, plain = random_maps(), MaskConfig(pamr=False)
    before = make_masks(IMAGE, maps, CLASSES, plain).soft
    after = make_masks(IMAGE, maps, CLASSES, MaskConfig(pamr=False, compete=True)).soft
    assert torch.equal(after, compete(before))
    assert 0 <= after.min() <= after.max() <= 1
