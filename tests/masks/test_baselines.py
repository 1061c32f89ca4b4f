import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_maps import class_map, random_maps, stretch

from seediff.config.method_constants import MaskConfig
from seediff.masks.baselines import cross_attention, cross_times_self, daam


@pytest.mark.parametrize(("class_name", "levels"), [("dog", (4, 2, 1)), ("cat", (4, 2))])
def test_ca_is_the_mean_over_levels(class_name, levels):
    maps, finest = random_maps(), 16 // levels[-1]
    expected = stretch(np.mean([class_map(maps, 16 // d, class_name, finest) for d in levels], 0))
    result = cross_attention(maps, class_name, MaskConfig(method="ca", expand_levels=levels))
    np.testing.assert_allclose(result.soft.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize(("tau", "self_level", "seed_level"), [(4, 2, 4), (8, 1, 2), (2, 4, 1)])
def test_ca_sa_is_the_matrix_power_of_row_stochastic_self_attention(tau, self_level, seed_level, normalized):
    maps, side = random_maps(normalized=normalized), 16 // self_level
    transition = maps.self_attention[side, side].double().numpy()
    transition = transition / transition.sum(1, keepdims=True)
    cross = class_map(maps, 16 // seed_level, "cat", max(side, 16 // seed_level))
    cross = cross.reshape(side, len(cross) // side, side, -1).mean((1, 3))
    expected = stretch((np.linalg.matrix_power(transition, tau) @ cross.ravel()).reshape(side, side))
    config = MaskConfig(method="ca_sa", tau=tau, self_level=self_level, seed_level=seed_level)
    result = cross_times_self(maps, "cat", config)
    # many steps leave little contrast
    np.testing.assert_allclose(result.soft.numpy(), expected, atol=2e-3 if tau == 8 else 1e-4)


@pytest.mark.parametrize("class_name", ["dog", "cat"])
def test_daam_equals_the_program(class_name):
    """Its `compute_global_heat_map` of one map per level, then its mean over a word's tokens."""
    maps, merged = random_maps(normalized=False), []
    for side in (4, 8, 16):
        of_class = torch.tensor(class_map(maps, side, class_name, side))[None, None]
        merged.append(F.interpolate(of_class, (16, 16), mode="bicubic").clamp(min=0)[0, 0])
    soft = daam(maps, class_name, MaskConfig(method="daam")).soft
    np.testing.assert_allclose(soft.numpy(), stretch(torch.stack(merged).mean(0).numpy()), atol=1e-5)
