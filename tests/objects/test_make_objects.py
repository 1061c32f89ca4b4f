"""From masks and attention to objects: numbers, classes, scores, and options that are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from two_objects import GRID, two_objects

from seediff.attention.maps import AttentionMaps
from seediff.errors import UserError
from seediff.masks.make import MaskResult
from seediff.objects.make import ObjectConfig, make_objects

SCALE = 4


def picture() -> tuple[MaskResult, AttentionMaps]:
    """A cat of two objects that touch, and a dog and its speck apart from them."""
    rows, _ = two_objects()
    labels = np.zeros((GRID[0] * SCALE, GRID[1] * SCALE), np.uint8)
    labels[:24, 8:40] = 1
    labels[26:, 4:20] = 2
    labels[-1, -1] = 2
    soft = torch.zeros(2, *labels.shape)
    soft[0][:, :24], soft[0][:, 24:], soft[1] = 0.5, 0.9, 0.7
    latent = GRID[0] * 2, GRID[1] * 2
    return MaskResult(labels, soft, ("cat", "dog")), AttentionMaps({GRID: torch.from_numpy(rows).float()}, {}, latent)


def test_pieces_are_objects_by_falling_score():
    result, maps = picture()
    objects = make_objects(result, maps, ObjectConfig())
    assert (objects.class_ids, objects.scores) == ((1, 2), pytest.approx((0.7, 0.7), abs=1e-6))
    assert np.array_equal(objects.numbers == 1, result.label_map == 1)
    assert objects.numbers[-1, -1] == 0  # less than 1 % of the picture
    sure = make_objects(result, maps, ObjectConfig(), {"cat": 0.5, "dog": 1.0})
    assert (sure.class_ids, sure.scores) == ((2, 1), pytest.approx((0.7, 0.35), abs=1e-6))


@pytest.mark.parametrize("method", ["peaks", "diffseg", "diffcut", "maskcut"])
def test_methods_divide_the_cat_where_attention_does(method):
    result, maps = picture()
    objects = make_objects(result, maps, ObjectConfig(method, power=1.0))
    assert objects.class_ids == (1, 2, 1)
    assert objects.scores == pytest.approx((0.9, 0.7, 0.5), abs=0.06)
    right = objects.numbers == 1
    assert right[:24, 28:40].all()
    assert not right[:, :20].any()
    assert np.array_equal((right | (objects.numbers == 3)), result.label_map == 1)


def test_without_masks_there_are_no_objects():
    _, maps = picture()
    nothing = MaskResult(np.zeros((32, 48), np.uint8), torch.zeros(1, 32, 48), ("cat",))
    objects = make_objects(nothing, maps, ObjectConfig("peaks"))
    assert objects.class_ids == objects.scores == ()
    assert not objects.numbers.any()


def test_options_out_of_range_and_levels_that_were_not_captured_are_refused():
    with pytest.raises(UserError, match="cost"):
        ObjectConfig(cost=3)
    with pytest.raises(UserError, match="method"):
        ObjectConfig(method="magic")
    result, maps = picture()
    with pytest.raises(UserError, match="L/4"):
        make_objects(result, maps, ObjectConfig("peaks", level=4))
