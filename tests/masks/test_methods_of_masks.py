import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_maps import class_map, random_maps, stretch

from seediff.config.methods import MaskConfig
from seediff.masks.make_masks import soft_masks
from seediff.masks.methods import background_seeds, cross_attention, cross_times_self, daam, find_seeds, seediff
from seediff.masks.own_methods import register_method
from seediff.masks.steps import main_steps


def up(x, side):
    return F.interpolate(torch.tensor(x)[None, None], (side, side), mode="bilinear", align_corners=False)[0, 0].numpy()


def grow(maps, soft, alpha):
    """Eq. 7 with a loop over seeds, then min-max."""
    side = len(soft)
    rows = maps.self_attention[side, side].double().numpy()
    seeds = [i * side + j for i in range(side) for j in range(side) if soft[i, j] >= alpha]
    return stretch(sum(rows[i] for i in seeds).reshape(side, side) / len(seeds))


def paper(maps, class_name, alpha, expansion, background):
    """Section 1 of the description in float64, for levels L/4, L/2, L."""
    sides = [maps.lattice[0] // d for d in (4, 2, 1)]
    cross = {side: class_map(maps, side, class_name, side) for side in sides}
    if expansion == "none":
        soft = stretch(np.mean([up(cross[side], sides[-1]) for side in sides], 0))
    elif expansion == "parallel":
        soft = stretch(np.mean([up(grow(maps, stretch(cross[side]), alpha), sides[-1]) for side in sides], 0))
    else:
        soft = stretch(cross[sides[0]])
        for side in sides:
            soft = grow(maps, up(soft, side), alpha)
    if background:
        soft = stretch((1 - grow(maps, 1 - soft, alpha)) * soft)
    return soft


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("expansion", ["none", "parallel", "iterative"])
@pytest.mark.parametrize(("class_name", "alpha", "normalized"), [("dog", 0.5, True), ("cat", 0.35, False)])
def test_equals_the_paper_in_float64(class_name, alpha, expansion, background, normalized):
    maps = random_maps(seed=3, normalized=normalized)
    result = seediff(maps, class_name, MaskConfig(alpha=alpha, expansion=expansion, background=background))
    np.testing.assert_allclose(result.soft.numpy(), paper(maps, class_name, alpha, expansion, background), atol=2e-5)
    assert result.flags == ()


def test_without_a_seed_the_highest_position_is_one_and_flagged():
    seeds, flags = find_seeds(torch.tensor([[0.1, 0.3], [0.2, 0.3]]), 0.5)
    assert seeds.tolist() == [[False, True], [False, False]]  # the first of equals
    assert flags == ("no_seeds",)
    seeds, flags = background_seeds(torch.full((4, 4), 0.9), 0.5)
    assert not seeds.any()
    assert flags == ("no_background_seeds",)


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


@pytest.mark.parametrize(
    ("constants", "expected"),
    [
        ({}, ["cross_attention", "seeds L/4", "expansion L"]),
        ({"expansion": "parallel"}, ["cross_attention L", "seeds L", "expansion L"]),
        ({"expansion": "none"}, ["cross_attention"]),
        ({"method": "ca"}, ["cross_attention"]),
        ({"method": "ca_sa"}, ["cross_attention", "self-attention product 4 L/2"]),
        ({"method": "own"}, ["soft mask"]),
    ],
    ids=str,
)
def test_a_short_explanation_has_at_most_three_steps(constants, expected):
    register_method("own", lambda maps, name, config: maps.cross_at(4, name))
    (made,) = soft_masks(random_maps(), ["dog"], MaskConfig(**constants))
    assert [str(step) for step in main_steps(made.trace)] == expected
