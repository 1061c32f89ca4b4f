from math import e, log10

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_maps import class_map, random_maps, stretch

from recipes.methods.diffsegmenter import diffsegmenter
from recipes.methods.fa_seg import fa_seg
from recipes.methods.iseg_walk import iseg_walk
from recipes.methods.nerve_walk import nerve_walk
from recipes.methods.reference import reference
from seediff.config.methods import MaskConfig
from seediff.masks.arithmetic import otsu

CASES = pytest.mark.parametrize(
    ("class_name", "normalized", "levels"), [("dog", True, (1, 2, 4)), ("cat", False, (1, 2, 4, 8))]
)


def rows_of(maps, side):
    rows = maps.self_attention[side, side].double().numpy()
    return rows / rows.sum(1, keepdims=True)


def grown(x, side):
    """(h, h) with every value repeated."""
    factor = side // len(x)
    return x.repeat(factor, 0).repeat(factor, 1)


def shares(levels, weights):
    total = sum(weight for level, weight in weights.items() if level in levels)
    return {level: weight / total for level, weight in weights.items() if level in levels}


@CASES
def test_fa_seg_equals_the_authors_order_of_work(class_name, normalized, levels):
    """With keys repeated too: every matrix at the finest side."""
    maps, cross, expected = random_maps(normalized=normalized, levels=levels), 0.0, 0.0
    for level, weight in shares(levels, {8: 0.15, 4: 0.7, 2: 0.15}).items():
        cross += weight * grown(class_map(maps, 16 // level, class_name, 16 // level), 16)
    for level, weight in shares(levels, {8: 0.1, 4: 0.1, 2: 0.5, 1: 0.3}).items():
        small = maps.self_attention[16 // level, 16 // level].double().numpy()
        of_position = grown(np.arange(len(small)).reshape(16 // level, -1), 16).ravel()
        matrix = small[of_position][:, of_position]
        matrix = matrix / matrix.sum(1, keepdims=True)
        expected += weight * stretch((np.linalg.matrix_power(matrix, 2) @ np.ravel(cross)).reshape(16, 16))
    result = fa_seg(maps, class_name, MaskConfig(method="fa_seg"))
    np.testing.assert_allclose(result.soft.numpy(), expected, atol=1e-4)
    names = [f"self-attention product {n} L/{max(levels)}" for n in (1, 2)]
    assert [str(step) for step in result.trace][:3] == ["cross_attention", *names]


@CASES
def test_diffsegmenter_equals_the_equation(class_name, normalized, levels):
    maps, cross = random_maps(normalized=normalized, levels=levels), 0.0
    for level, weight in shares(levels, {8: 0.3, 4: 0.5, 2: 0.1, 1: 0.1}).items():
        cross += weight * stretch(class_map(maps, 16 // level, class_name, 16))
    result = diffsegmenter(maps, class_name, MaskConfig(method="diffsegmenter", self_level=1))
    expected = stretch((rows_of(maps, 16) @ np.ravel(cross)).reshape(16, 16))
    np.testing.assert_allclose(result.soft.numpy(), expected, atol=1e-5)
    assert [str(step) for step in result.trace][-3:] == ["cross_attention L", "self-attention product L", "soft mask"]


@pytest.mark.parametrize(("class_name", "normalized", "level"), [("dog", True, 1), ("cat", False, 2)])
def test_the_entropy_walk_equals_the_authors_steps(class_name, normalized, level):
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
    result = iseg_walk(maps, class_name, MaskConfig(method="iseg_walk", self_level=level, tau=8))
    np.testing.assert_allclose(  # eight rounds leave little contrast
        result.soft.numpy(), stretch(x.reshape(side, side)), atol=1e-3
    )
    assert len(result.trace) == 10


@pytest.mark.parametrize(("class_name", "normalized", "rounds"), [("dog", True, 1), ("cat", False, 5)])
def test_the_walk_with_restart_equals_its_rounds(class_name, normalized, rounds):
    maps = random_maps(normalized=normalized)
    rows, start = rows_of(maps, 8), stretch(class_map(maps, 4, class_name, 8)).ravel()
    p = start
    for _ in range(rounds):
        p = 0.2 * start + 0.8 * rows @ p
    result = nerve_walk(maps, class_name, MaskConfig(method="nerve_walk", tau=rounds))
    np.testing.assert_allclose(result.soft.numpy(), stretch(p.reshape(8, 8)), atol=1e-4)
    assert [str(step) for step in result.trace][:2] == ["cross_attention", "walk with restart 1 L/2"]


def cosines(rows, seeds):
    """Σ over seeds of the cosine with every row, one seed at a time."""
    side = int(len(rows) ** 0.5)
    total = np.zeros(len(rows))
    for i in seeds:
        for s in range(len(rows)):
            total[s] += rows[i] @ rows[s] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[s])
    return total.reshape(side, side)


@pytest.mark.parametrize("class_name", ["dog", "cat"])
def test_reference_equals_its_description_in_float64(class_name):
    maps = random_maps(8, seed=1)
    rows = {s: t.double().numpy() for s, t in maps.self_attention.items()}
    cross = stretch(maps.cross_at(4, class_name).double().numpy())
    soft = cosines(rows[2, 2], [i for i, v in enumerate((cross**2).ravel()) if v >= otsu(torch.tensor(cross**2))])
    for side in (4, 8):
        soft = F.interpolate(torch.tensor(soft)[None, None], (side, side), mode="bicubic", align_corners=False)[
            0, 0
        ].numpy()
        split = otsu(torch.tensor(soft**2))
        behind = cosines(rows[side, side], [i for i, v in enumerate((soft**2).ravel()) if v < split])
        soft = stretch((1 - stretch(behind)) * stretch(soft))
    result = reference(maps, class_name, MaskConfig(method="reference"))
    np.testing.assert_allclose(result.soft.numpy(), soft, atol=1e-4)
    assert [str(step) for step in result.trace][:3] == ["cross_attention", "seeds L/4", "expansion L/4"]
    assert [str(step) for step in result.trace][-4:] == ["background seeds L", "background L", "visible L", "soft mask"]
