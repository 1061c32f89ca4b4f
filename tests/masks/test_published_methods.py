"""What all methods promise."""

from __future__ import annotations

import pytest
import torch
from random_maps import random_maps, replaced

from seediff.config.constants import MaskConfig
from seediff.config.methods import METHOD_FACTS
from seediff.masks.make import soft_mask

"""Those without α, which rounding may carry a value across."""


def config_of(method) -> MaskConfig:
    return MaskConfig(method=method, **METHOD_FACTS[method].defaults.get("mask", {}))


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
