from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT
from random_maps import CLASSES, random_maps

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.config.levels import maps_read
from seediff.config.methods import METHOD_FACTS, Method
from seediff.errors import UserError
from seediff.masks.arithmetic import compete, otsu
from seediff.masks.make import label_pixels, make_masks, soft_mask
from seediff.masks.pamr import pamr
from seediff.masks.steps import BEFORE_PAMR, Step

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def fixed_values():
    torch.manual_seed(0)


def maps_for(method: Method) -> AttentionMaps:
    """Random maps as the method wants them captured."""
    return random_maps(normalized=not METHOD_FACTS[method].plain_means)


@pytest.mark.parametrize("method", list(METHOD_FACTS))
@pytest.mark.parametrize("use_pamr", [True, False])
def test_every_method_gives_masks_of_the_image_s_size(method, use_pamr: bool):
    result = make_masks(IMAGE, maps_for(method), CLASSES, MaskConfig(method=method, pamr=use_pamr))
    assert result.label_map.shape == (48, 64)
    assert result.label_map.dtype == np.uint8
    assert set(np.unique(result.label_map)) <= {0, 1, 2}
    assert result.soft.shape == (2, 48, 64)
    assert 0 <= result.soft.min() <= result.soft.max() <= 1
    assert result.classes == CLASSES
    for name, steps in result.trace.items():
        last = list(steps)[-2:] if use_pamr else [list(steps)[-1]]
        assert last == ([Step("final"), BEFORE_PAMR] if use_pamr else [Step("final")])
        if use_pamr:  # each method's own way of coming to the image's size
            without = make_masks(IMAGE, maps_for(method), CLASSES, MaskConfig(method=method, pamr=False))
            torch.testing.assert_close(steps[BEFORE_PAMR], without.soft[CLASSES.index(name)], atol=0, rtol=0)


@pytest.mark.parametrize("method", list(METHOD_FACTS))
@pytest.mark.parametrize(
    "changes", [{}, {"expansion": "parallel"}, {"expansion": "none"}, {"expansion": "none", "background": False}]
)
def test_no_other_maps_are_read_than_are_captured(method, changes):
    maps, config = maps_for(method), MaskConfig(method=method, **changes)
    reads = maps_read(config)
    some = replace(
        maps,
        self_attention={
            grid: one for grid, one in maps.self_attention.items() if maps.level(grid) in (reads.get("self") or ())
        },
        cross_attention={
            grid: one for grid, one in maps.cross_attention.items() if maps.level(grid) in (reads.get("cross") or ())
        },
    )
    whole = make_masks(IMAGE, maps, CLASSES, config)
    assert np.array_equal(make_masks(IMAGE, some, CLASSES, config).soft, whole.soft)


def test_seediff_is_enlarged_refined_and_cut_in_this_order():
    maps, config = random_maps(), MaskConfig(pamr_iterations=3, pamr_dilations=(1, 2))
    soft = soft_mask(maps, "dog", config).soft
    large = F.interpolate(soft[None, None], (48, 64), mode="bilinear", align_corners=False)[0]
    refined = pamr(torch.tensor(IMAGE).float() / 255, large, iterations=3, dilations=(1, 2))
    result = make_masks(IMAGE, maps, ["dog"], config)
    torch.testing.assert_close(result.soft, refined.clamp(0, 1), atol=0, rtol=0)
    assert np.array_equal(result.label_map, (refined[0] >= 0.3).byte().numpy())


def plain_labels(soft: np.ndarray, threshold: float) -> np.ndarray:
    classes, height, width = soft.shape
    labels = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            best = -1.0
            for c in range(classes):
                if soft[c, y, x] >= threshold and soft[c, y, x] > best:
                    best, labels[y, x] = soft[c, y, x], c + 1
    return labels


@given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 10_000))
@settings(PATIENT, max_examples=30)
def test_the_highest_class_above_the_threshold_wins_the_first_of_equals(classes: int, eighths: int, seed: int):
    random = np.random.default_rng(seed)
    soft = random.integers(0, 9, (classes, 6, 7)).astype(np.float32) / 8  # eighths: many ties, on the threshold too
    found = label_pixels(torch.tensor(soft), MaskConfig(beta=eighths / 8))
    assert np.array_equal(found.numpy(), plain_labels(soft, eighths / 8))


def test_a_threshold_of_its_own_for_every_class():
    soft = torch.stack([torch.linspace(0, 0.4, 64).view(8, 8), torch.linspace(1, 0.5, 64).view(8, 8)])
    labels = label_pixels(soft, MaskConfig(beta="otsu"))
    assert torch.equal(labels == 2, soft[1] >= otsu(soft[1]))
    assert torch.equal(labels == 1, (soft[0] >= otsu(soft[0])) & (soft[1] < otsu(soft[1])))


def test_the_ignore_band_becomes_255():
    soft = torch.tensor([[[0.1, 0.5, 0.55, 0.6, 0.9]], [[0.2, 0.1, 0.7, 0.59, 0.95]]])
    assert label_pixels(soft, MaskConfig(ignore_band=(0.5, 0.6))).tolist() == [[0, 255, 2, 1, 2]]
    assert label_pixels(soft, MaskConfig(ignore_band=(0.5, 0.6))).dtype == torch.uint8


@pytest.mark.parametrize(("beta", "degenerate"), [(0.3, False), (1e-6, True), (0.99999, True)])
def test_masks_of_nearly_nothing_or_nearly_everything_are_degenerate(beta: float, degenerate: bool):
    """Of a map that rises evenly from 0 to 1 over 32² positions, β keeps the share 1 − β."""
    ramp = AttentionMaps({}, {(32, 32): torch.linspace(0, 1, 1024)[:, None]}, (32, 32), {"dog": (0,)})
    config = MaskConfig(method="ca", pamr=False, beta=beta, expand_levels=(1,))
    flags = make_masks(None, ramp, ["dog"], config, size=(32, 32)).flags
    assert flags == (("degenerate:dog",) if degenerate else ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": []}, "classes: none"),
        ({"classes": ["dog", "dog"]}, "each once"),
        ({"classes": ["horse"]}, "horse"),
        ({"image": None}, "PAMR follows the image"),
        ({"image": None, "config": MaskConfig(pamr=False)}, "need a size"),
        ({"image": IMAGE[..., 0]}, "uint8"),
        ({"size": (10, 10)}, "contradicts"),
        ({"config": replace(MaskConfig(), expand_levels=(8, 4))}, "L/8"),
    ],
)
def test_bad_input_is_answered_in_one_line(changes: dict, message: str):
    given = {"image": IMAGE, "classes": ["dog"], "config": MaskConfig(), "size": None} | changes
    with pytest.raises(UserError, match=message) as caught:
        make_masks(given["image"], random_maps(), given["classes"], given["config"], size=given["size"])
    assert "\n" not in str(caught.value)


def test_classes_compete_as_the_equation_says_at_the_images_size_before_pamr():
    soft = torch.rand(3, 6, 5, dtype=torch.float64)
    z = (soft - soft.mean((1, 2), keepdim=True)) / soft.std((1, 2), correction=0, keepdim=True)
    torch.testing.assert_close(compete(soft), soft.amax(0) * (2 * (z - z.amax(0))).exp())
    assert torch.equal(compete(soft[:1]), soft[:1])
    with_constant = compete(torch.cat([torch.zeros(1, 6, 5), soft[:1].float()]))
    assert torch.equal(with_constant[1], soft[0].float())
    assert not with_constant[0].any()
    maps = random_maps()
    before, after = (make_masks(IMAGE, maps, CLASSES, MaskConfig(pamr=False, compete=on)).soft for on in (False, True))
    assert torch.equal(after, compete(before))
