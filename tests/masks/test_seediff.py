import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_maps import class_map, random_maps, replaced, stretch

from seediff.config.method_constants import MaskConfig
from seediff.masks.seediff import background_seeds, find_seeds, seediff
from seediff.masks.steps import MaskStep


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
    sides = [maps.latent_size[0] // d for d in (4, 2, 1)]
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


def test_constant_cross_attention_is_flagged_and_still_gives_a_mask():
    result = seediff(replaced(random_maps(), cross_value=0.06), "dog", MaskConfig())
    assert result.flags == ("constant_map", "no_seeds")
    assert result.trace[MaskStep("seeds", 4)].sum() == 1
    assert torch.isfinite(result.soft).all()


def test_without_a_seed_the_highest_position_is_one_and_flagged():
    seeds, flags = find_seeds(torch.tensor([[0.1, 0.3], [0.2, 0.3]]), 0.5)
    assert seeds.tolist() == [[False, True], [False, False]]  # the first of equals
    assert flags == ("no_seeds",)
    seeds, flags = background_seeds(torch.full((4, 4), 0.9), 0.5)
    assert not seeds.any()
    assert flags == ("no_background_seeds",)
