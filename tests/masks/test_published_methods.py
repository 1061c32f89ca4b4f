"""What all methods promise."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT
from random_maps import random_maps, replaced

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.config.methods import METHOD_FACTS
from seediff.masks.make import soft_mask

METHODS = ["ca", "ca_sa", "fa_seg", "diffsegmenter", "iseg_walk", "nerve_walk", "daam"]
"""Those without α, which rounding may carry a value across."""


def config_of(method) -> MaskConfig:
    return MaskConfig(method=method, **METHOD_FACTS[method].defaults.get("mask", {}))


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-2, 1e2))
@settings(PATIENT, max_examples=10)
def test_the_scale_of_attention_makes_no_difference(method, seed: int, scale: float):
    maps = random_maps(8, seed=seed, normalized=False)
    scaled = AttentionMaps(
        {grid: values * scale for grid, values in maps.self_attention.items()},
        {grid: values * scale for grid, values in maps.cross_attention.items()},
        maps.latent_size,
        maps.words,
        normalized=False,
    )
    expected = soft_mask(maps, "cat", config_of(method)).soft
    assert 0 <= expected.min() < expected.max() <= 1
    torch.testing.assert_close(soft_mask(scaled, "cat", config_of(method)).soft, expected, atol=5e-3, rtol=0)


@pytest.mark.parametrize("method", list(METHOD_FACTS))
def test_maps_are_not_modified_and_constant_ones_are_flagged(method):
    maps, untouched = (random_maps(normalized=False) for _ in range(2))
    soft_mask(maps, "dog", config_of(method))
    for kind in ("self_attention", "cross_attention"):
        found, before = getattr(maps, kind), getattr(untouched, kind)
        assert all(torch.equal(found[grid], before[grid]) for grid in before)
    flat = soft_mask(replaced(maps, cross_value=0.05), "dog", config_of(method))
    assert "constant_map" in flat.flags
    assert flat.soft.isfinite().all()
