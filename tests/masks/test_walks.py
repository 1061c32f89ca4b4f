"""Published methods that spread cross-attention over self-attention, against their equations in float64."""

from __future__ import annotations

from math import e, log10

import numpy as np
import pytest
import torch
from random_maps import class_map, random_maps, stretch

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.masks.walks import diffsegmenter, entropy_walk, fa_seg, restart_walk

FA_SEG = MaskConfig(method="fa_seg")
DIFFSEGMENTER = MaskConfig(method="diffsegmenter", self_level=1)


def rows_of(maps: AttentionMaps, side: int) -> np.ndarray:
    rows = maps.self_attention[side, side].double().numpy()
    return rows / rows.sum(1, keepdims=True)


def grown(x: np.ndarray, side: int) -> np.ndarray:
    """(h, h) with every value repeated."""
    factor = side // len(x)
    return x.repeat(factor, 0).repeat(factor, 1)


def recipe(maps: AttentionMaps, class_name: str, side: int = 16) -> np.ndarray:
    """As the authors do it, with keys repeated too: every matrix at the finest side, L/8 missing."""
    cross = 0.0
    for level, weight in {4: 0.7, 2: 0.15}.items():
        columns = maps.cross_attention[side // level, side // level][:, list(maps.words[class_name])]
        cross += weight / 0.85 * grown(columns.double().mean(1).reshape(side // level, -1).numpy(), side)
    total = np.zeros((side, side))
    for level, weight in {4: 0.1, 2: 0.5, 1: 0.3}.items():
        small = maps.self_attention[side // level, side // level].double().numpy()
        of_position = grown(np.arange(len(small)).reshape(side // level, -1), side).ravel()
        matrix = small[of_position][:, of_position]
        matrix = matrix / matrix.sum(1, keepdims=True)
        total += weight / 0.9 * stretch((np.linalg.matrix_power(matrix, 2) @ cross.ravel()).reshape(side, side))
    return total


@pytest.mark.parametrize("class_name", ["dog", "cat"])
@pytest.mark.parametrize("normalized", [True, False])
def test_fa_seg_equals_the_authors_order_of_work(class_name: str, normalized: bool):
    maps = random_maps(normalized=normalized)
    result = fa_seg(maps, class_name, FA_SEG)
    np.testing.assert_allclose(result.soft.numpy(), recipe(maps, class_name), atol=1e-4)
    assert [str(step) for step in result.trace][:3] == [
        "cross_attention",
        "self-attention product 1 L/4",
        "self-attention product 2 L/4",
    ]


def test_fa_seg_has_the_authors_weights_where_the_model_has_all_levels():
    """Each level's product is 1 in one place of its own, and its weight stands there."""
    grids = [(8, 8), (4, 4), (2, 2), (1, 1)]
    identity = {grid: torch.eye(grid[0] ** 2) for grid in grids}
    cross = {grid: torch.full((grid[0] ** 2, 1), 0.5) for grid in grids}
    cross[2, 2] = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
    result = fa_seg(AttentionMaps(identity, cross, (8, 8), {"dog": (0,)}), "dog", FA_SEG)
    assert result.flags == ("constant_map",)  # L/8 has one position
    assert sorted(set(result.soft.flatten().tolist())) == pytest.approx([0, 0.9])  # the quarter, without the .1 of L/8
    assert result.soft[4:, 4:].min() > 0.89


@pytest.mark.parametrize("class_name", ["dog", "cat"])
@pytest.mark.parametrize("normalized", [True, False])
def test_diffsegmenter_equals_the_equation(class_name: str, normalized: bool):
    maps = random_maps(normalized=normalized)
    rows = rows_of(maps, 16)
    cross = (
        sum(
            weight * stretch(class_map(maps, 16 // level, class_name, 16))
            for level, weight in {4: 0.5, 2: 0.1, 1: 0.1}.items()
        )
        / 0.7
    )
    result = diffsegmenter(maps, class_name, DIFFSEGMENTER)
    np.testing.assert_allclose(result.soft.numpy(), stretch((rows @ cross.ravel()).reshape(16, 16)), atol=1e-5)
    names = ["cross_attention L/4", "cross_attention L/2", "cross_attention L", "self-attention product L", "final"]
    assert [str(step) for step in result.trace] == names


def test_diffsegmenter_has_the_authors_weights_where_the_model_has_all_levels():
    """Self-attention that changes nothing: of the positions where one level alone is bright, each has that level's
    weight.
    """
    cross = {(side, side): torch.zeros(side * side, 1) for side in (16, 8, 4, 2)}
    for side, column in ((16, 0), (8, 2), (4, 1), (2, 1)):
        cross[side, side][column] = 1  # in the first row, each where the others are dark enough
    maps = AttentionMaps({(16, 16): torch.eye(256)}, cross, (16, 16), {"dog": (0,)})
    trace = {str(step): values.double() for step, values in diffsegmenter(maps, "dog", DIFFSEGMENTER).trace.items()}
    total = 0.3 * trace["cross_attention L/8"] + 0.5 * trace["cross_attention L/4"]
    total += 0.1 * trace["cross_attention L/2"] + 0.1 * trace["cross_attention L"]
    np.testing.assert_allclose(trace["final"], stretch(total.numpy()), atol=1e-6)


@pytest.mark.parametrize(("class_name", "normalized", "level"), [("dog", True, 1), ("cat", False, 1), ("cat", True, 2)])
def test_the_entropy_walk_equals_the_authors_steps(class_name: str, normalized: bool, level: int):
    maps, side = random_maps(normalized=normalized), 16 // level
    x = 0.0
    for of_level, weight in {4: 0.7, 2: 0.3}.items():
        small = class_map(maps, 16 // of_level, class_name, 16 // of_level)
        x += weight * class_map(maps, 16 // of_level, class_name, side) / small.sum()
    x = x.ravel() - x.min()
    x /= x.sum()
    rows = maps.self_attention[side, side].double().numpy()
    rows = rows / rows.max(0)
    for i, j in np.ndindex(rows.shape):
        rows[i, j] = max(0, rows[i, j] + 0.015 * log10(e * rows[i, j]))
    rows /= rows.sum(1, keepdims=True)
    for _ in range(8):
        x = rows @ x
        x -= x.min()
        x /= x.sum()
    result = entropy_walk(maps, class_name, MaskConfig(method="iseg_walk", self_level=level, tau=8))
    np.testing.assert_allclose(
        result.soft.numpy(), stretch(x.reshape(side, side)), atol=1e-3
    )  # eight rounds leave little contrast
    assert len(result.trace) == 10


@pytest.mark.parametrize(("class_name", "normalized", "rounds"), [("dog", True, 1), ("cat", False, 5)])
def test_the_walk_with_restart_equals_its_rounds(class_name: str, normalized: bool, rounds: int):
    maps = random_maps(normalized=normalized)
    rows, start = rows_of(maps, 8), stretch(class_map(maps, 4, class_name, 8)).ravel()
    p = start
    for _ in range(rounds):
        p = 0.2 * start + 0.8 * rows @ p
    result = restart_walk(maps, class_name, MaskConfig(method="nerve_walk", tau=rounds))
    np.testing.assert_allclose(result.soft.numpy(), stretch(p.reshape(8, 8)), atol=1e-4)
    assert [str(step) for step in result.trace][:2] == ["cross_attention", "walk with restart 1 L/2"]
