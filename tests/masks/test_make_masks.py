from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from items import noise_pixels
from patience import PATIENT
from random_maps import CLASSES, random_maps, replaced

import recipes.methods  # noqa: F401  registers the methods that are files
from seediff.attention.maps import AttentionMaps
from seediff.config.methods import METHOD_FACTS, MaskConfig, maps_read
from seediff.config.settings import table_values
from seediff.masks.arithmetic import compete, otsu
from seediff.masks.make_masks import label_pixels, make_masks, soft_mask
from seediff.masks.steps import AFTER_PAMR, BEFORE_PAMR, MaskStep
from seediff.rows.values import NAMING_CLASSES

IMAGE = noise_pixels(48, 64)


def maps_for(method):
    """Random maps as the method wants them captured."""
    return random_maps(normalized=not METHOD_FACTS[method].plain_means)


@pytest.mark.parametrize("method", list(METHOD_FACTS))
def test_every_method_gives_masks_of_the_image_s_size(method):
    maps, without = maps_for(method), MaskConfig(method=method, pamr=False)
    result, plain = (make_masks(IMAGE, maps, CLASSES, config) for config in (MaskConfig(method=method), without))
    assert (result.label_map.shape, result.label_map.dtype, result.classes) == ((48, 64), np.uint8, CLASSES)
    assert set(np.unique(result.label_map)) <= {0, 1, 2}
    assert result.soft.shape == (2, 48, 64)
    assert 0 <= result.soft.min() <= result.soft.max() <= 1
    for number, (name, steps) in enumerate(result.trace.items()):
        assert list(steps)[-3:] == [MaskStep("soft mask"), BEFORE_PAMR, AFTER_PAMR]
        assert torch.equal(steps[BEFORE_PAMR], plain.soft[number])
        assert torch.equal(steps[AFTER_PAMR], result.soft[number])
        assert list(plain.trace[name])[-1] == MaskStep("soft mask")


@pytest.mark.parametrize("method", list(METHOD_FACTS))
def test_maps_are_not_modified_and_constant_ones_are_flagged(method):
    maps, untouched = (random_maps(normalized=False) for _ in range(2))
    config = MaskConfig(method=method, **table_values(METHOD_FACTS[method].defaults, "mask"))
    soft_mask(maps, "dog", config)
    pairs = zip(maps.tensors(), untouched.tensors(), strict=True)
    assert all(torch.equal(found, before) for (_, _, found), (_, _, before) in pairs)
    flat = soft_mask(replaced(maps, 0.05), "dog", config)
    assert "constant_map" in flat.flags
    assert {*flat.flags} <= {*NAMING_CLASSES}
    assert flat.soft.isfinite().all()


@pytest.mark.parametrize("method", list(METHOD_FACTS))
@pytest.mark.parametrize("changes", [{}, {"expansion": "parallel"}, {"expansion": "none", "background": False}])
def test_no_other_maps_are_read_than_are_captured(method, changes):
    maps, config = maps_for(method), MaskConfig(method=method, pamr=False, **changes)
    reads = maps_read(config)
    some = {"self": {}, "cross": {}}
    for kind, grid, one in maps.tensors():
        if maps.level(grid) in (reads.get(kind) or ()):
            some[kind][grid] = one
    part = replace(maps, self_attention=some["self"], cross_attention=some["cross"])
    assert np.array_equal(make_masks(IMAGE, part, CLASSES, config).soft, make_masks(IMAGE, maps, CLASSES, config).soft)


def plain_labels(soft, threshold):
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
def test_the_highest_class_above_the_threshold_wins_the_first_of_equals(classes, eighths, seed):
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


@pytest.mark.parametrize(("beta", "degenerate"), [(0.3, False), (1e-6, True), (0.99999, True)])
def test_masks_of_nearly_nothing_or_nearly_everything_are_degenerate(beta, degenerate):
    """Of a map that rises evenly from 0 to 1 over 32² positions, β keeps the share 1 − β."""
    ramp = AttentionMaps({}, {(32, 32): torch.linspace(0, 1, 1024)[:, None]}, (32, 32), {"dog": (0,)})
    config = MaskConfig(method="ca", pamr=False, beta=beta, expand_levels=(1,))
    flags = make_masks(None, ramp, ["dog"], config, size=(32, 32)).flags
    assert flags == (("degenerate:dog",) if degenerate else ())


@pytest.mark.parametrize(
    ("left", "changes", "flags"),
    [
        (0, {}, ("no_background",)),
        (0.008, {}, ("no_background",)),
        (0.012, {}, ()),
        (0, {"ignore_band": (0.2, 0.35)}, ("no_background",)),  # a band of uncertain pixels is no background
    ],
)
def test_classes_that_leave_no_background_are_flagged(left, changes, flags):
    """A dog at the left and a cat at the right. left: the share of positions where neither is."""
    dog, cat = torch.zeros(2, 64, 64)
    dog[:, :32], cat[:, 32:] = 1, 1
    dog[: round(left * 64 * 64), 0] = 0
    dog[60:, :32] = torch.where(dog[60:, :32] > 0, 0.3, 0)
    maps = AttentionMaps({}, {(64, 64): torch.stack([dog, cat]).flatten(1).T}, (64, 64), {"dog": (0,), "cat": (1,)})
    config = MaskConfig(method="ca", pamr=False, beta=0.25, expand_levels=(1,), **changes)
    assert make_masks(None, maps, ["dog", "cat"], config, size=(64, 64)).flags == flags


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
