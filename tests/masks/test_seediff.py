from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT
from random_maps import random_maps, replaced

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.errors import UserError
from seediff.masks.seediff import seediff
from seediff.masks.trace import Step


def stretch(x: np.ndarray) -> np.ndarray:
    return (x - x.min()) / (x.max() - x.min())


def up(x: np.ndarray, side: int) -> np.ndarray:
    return F.interpolate(torch.tensor(x)[None, None], (side, side), mode="bilinear", align_corners=False)[0, 0].numpy()


def class_map(maps: AttentionMaps, side: int, class_name: str) -> np.ndarray:
    """Mean of the class's token maps, (R, R) float64."""
    return sum(maps.cross_attention[side, side][:, c].double().numpy() for c in maps.words[class_name]).reshape(side, side)


def grow(maps: AttentionMaps, soft: np.ndarray, alpha: float) -> np.ndarray:
    """Eq. 7 with a loop over seeds, then min-max."""
    side = len(soft)
    rows = maps.self_attention[side, side].double().numpy()
    seeds = [i * side + j for i in range(side) for j in range(side) if soft[i, j] >= alpha]
    return stretch(sum(rows[i] for i in seeds).reshape(side, side) / len(seeds))


def paper(maps: AttentionMaps, class_name: str, alpha: float, expansion: str, background: bool) -> np.ndarray:
    """Section 1 of the description in float64, for levels L/4, L/2, L."""
    sides = [maps.latent_size[0] // d for d in (4, 2, 1)]
    if expansion == "none":
        soft = stretch(np.mean([up(class_map(maps, s, class_name), sides[-1]) for s in sides], 0))
    elif expansion == "parallel":
        soft = stretch(np.mean([up(grow(maps, stretch(class_map(maps, s, class_name)), alpha), sides[-1]) for s in sides], 0))
    else:
        soft = stretch(class_map(maps, sides[0], class_name))
        for side in sides:
            soft = grow(maps, up(soft, side), alpha)
    if background:
        soft = stretch((1 - grow(maps, 1 - soft, alpha)) * soft)
    return soft


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("expansion", ["none", "parallel", "iterative"])
@pytest.mark.parametrize(("class_name", "alpha"), [("dog", 0.5), ("cat", 0.35)])
def test_equals_the_paper_in_float64(class_name: str, alpha: float, expansion, background: bool, normalized: bool):
    maps = random_maps(seed=3, normalized=normalized)
    result = seediff(maps, class_name, MaskConfig(alpha=alpha, expansion=expansion, background=background))
    np.testing.assert_allclose(result.soft.numpy(), paper(maps, class_name, alpha, expansion, background), atol=2e-5)
    assert result.flags == ()


def test_the_trace_holds_every_step_in_order():
    trace = seediff(random_maps(), "dog", MaskConfig()).trace
    assert [str(step) for step in trace] == [
        "cross_attention", "seeds L/4", "expansion L/4", "seeds L/2", "expansion L/2", "seeds L", "expansion L",
        "background seeds", "background", "final",
    ]  # fmt: skip
    assert [m.shape[0] for m in trace.values()] == [4, 4, 4, 8, 8, 16, 16, 16, 16, 16]
    assert all(m.dtype == (torch.bool if "seeds" in step.kind else torch.float32) for step, m in trace.items())


def test_ablations_leave_their_steps_out():
    maps = random_maps()
    assert [str(step) for step in seediff(maps, "dog", MaskConfig(expansion="none", background=False)).trace] == [
        "cross_attention",
        "final",
    ]
    parallel = [str(step) for step in seediff(maps, "dog", MaskConfig(expansion="parallel", background=False)).trace]
    assert parallel[:3] == ["cross_attention L/4", "seeds L/4", "expansion L/4"]
    assert parallel[-2:] == ["expansion mean", "final"]


@pytest.mark.parametrize("levels", [(4, 2), (2, 1), (4,), (1,)])
@pytest.mark.parametrize("seed_level", [4, 2, 1])
@pytest.mark.parametrize("expansion", ["none", "parallel", "iterative"])
def test_any_levels_give_a_map_at_the_finest(levels: tuple[int, ...], seed_level: int, expansion):
    result = seediff(random_maps(), "cat", MaskConfig(expansion=expansion, expand_levels=levels, seed_level=seed_level))
    side = 16 // levels[-1]
    assert result.soft.shape == (side, side)
    assert (result.soft.min(), result.soft.max()) == (0, 1)


def test_maps_are_not_modified():
    maps, untouched = random_maps(), random_maps()
    seediff(maps, "dog", MaskConfig())
    for side in maps.self_attention:
        assert torch.equal(maps.self_attention[side], untouched.self_attention[side])
        assert torch.equal(maps.cross_attention[side], untouched.cross_attention[side])


def test_constant_cross_attention_is_flagged_and_still_gives_a_mask():
    result = seediff(replaced(random_maps(), cross_value=0.06), "dog", MaskConfig())
    assert result.flags == ("constant_map", "no_seeds")
    assert result.trace[Step("seeds", 4)].sum() == 1
    assert torch.isfinite(result.soft).all()


def test_constant_self_attention_is_flagged():
    result = seediff(replaced(random_maps(), self_value=1 / 7), "dog", MaskConfig())
    assert "constant_map" in result.flags
    assert not result.soft.any()


@pytest.mark.parametrize(("alpha", "count"), [(1.0, 1), (1e-6, 15)])
def test_one_seed_and_all_but_the_lowest(alpha: float, count: int):
    trace = seediff(random_maps(), "dog", MaskConfig(alpha=alpha)).trace
    assert trace[Step("seeds", 4)].sum() == count


def test_a_level_that_was_not_captured_is_named():
    maps = random_maps()
    without = AttentionMaps({(16, 16): maps.self_attention[16, 16]}, maps.cross_attention, (16, 16), maps.words, maps.prompt)
    with pytest.raises(UserError, match="self-attention at L/4"):
        seediff(without, "dog", MaskConfig())


def test_a_class_that_is_not_in_the_prompt_is_named():
    with pytest.raises(UserError, match="horse"):
        seediff(random_maps(), "horse", MaskConfig())


@given(st.integers(0, 10_000), st.floats(0.01, 100))
@settings(PATIENT, max_examples=15)
def test_scales_of_the_maps_do_not_matter(seed: int, scale: float):
    maps = random_maps(seed=seed)
    scaled = AttentionMaps(
        {s: t * scale for s, t in maps.self_attention.items()},
        {s: t * scale for s, t in maps.cross_attention.items()},
        (16, 16),
        maps.words,
    )
    plain, other = seediff(maps, "dog", MaskConfig()), seediff(scaled, "dog", MaskConfig())
    seeds = [step for step in plain.trace if "seeds" in step.kind]
    if all(torch.equal(plain.trace[step], other.trace[step]) for step in seeds):  # rounding may move a value across α
        torch.testing.assert_close(plain.soft, other.soft, atol=1e-4, rtol=0)
    assert (
        torch.equal(plain.trace[Step("seeds", 4)], other.trace[Step("seeds", 4)])
        or (plain.trace[Step("cross_attention")] - 0.5).abs().min() < 1e-5
    )
