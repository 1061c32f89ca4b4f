from __future__ import annotations

import numpy as np
import pytest
import torch
from random_maps import class_map, random_maps, stretch

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.masks.diffsegmenter import diffsegmenter

CONFIG = MaskConfig(method="diffsegmenter", self_level=1)


@pytest.mark.parametrize("class_name", ["dog", "cat"])
@pytest.mark.parametrize("normalized", [True, False])
def test_equals_the_equation_in_float64(class_name: str, normalized: bool):
    maps = random_maps(normalized=normalized)
    rows = maps.self_attention[16, 16].double().numpy()
    rows /= rows.sum(1, keepdims=True)
    cross = (
        sum(
            weight * stretch(class_map(maps, 16 // level, class_name, 16))
            for level, weight in {4: 0.5, 2: 0.1, 1: 0.1}.items()
        )
        / 0.7
    )
    result = diffsegmenter(maps, class_name, CONFIG)
    np.testing.assert_allclose(result.soft.numpy(), stretch((rows @ cross.ravel()).reshape(16, 16)), atol=1e-5)
    names = ["cross_attention L/4", "cross_attention L/2", "cross_attention L", "self-attention product L", "final"]
    assert [str(step) for step in result.trace] == names


def test_the_authors_weights_where_the_model_has_all_levels():
    """Self-attention that changes nothing: of the positions where one level alone is bright, each has that level's
    weight.
    """
    cross = {(side, side): torch.zeros(side * side, 1) for side in (16, 8, 4, 2)}
    for side, column in ((16, 0), (8, 2), (4, 1), (2, 1)):
        cross[side, side][column] = 1  # in the first row, each where the others are dark enough
    maps = AttentionMaps({(16, 16): torch.eye(256)}, cross, (16, 16), {"dog": (0,)})
    trace = {str(step): values.double() for step, values in diffsegmenter(maps, "dog", CONFIG).trace.items()}
    total = 0.3 * trace["cross_attention L/8"] + 0.5 * trace["cross_attention L/4"]
    total += 0.1 * trace["cross_attention L/2"] + 0.1 * trace["cross_attention L"]
    np.testing.assert_allclose(trace["final"], stretch(total.numpy()), atol=1e-6)
