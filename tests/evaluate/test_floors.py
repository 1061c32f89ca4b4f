from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENT

from seediff.evaluate.floors import FLOORS, PARTS, floor_map, floor_maps, score_floors
from seediff.metrics.matching import contingency, match, tally
from seediff.metrics.scores import stack

KNOWN = {
    "one": ["000000"] * 6,
    "top-bottom": ["000000"] * 3 + ["111111"] * 3,
    "left-right": ["000111"] * 6,
    "quadrants": ["000111"] * 3 + ["222333"] * 3,
    "bands": ["000000"] * 2 + ["111111"] * 2 + ["222222"] * 2,
    "centre": ["000000", "011110", "011110", "011110", "011110", "000000"],
    "rings": ["000000", "011110", "012210", "012210", "011110", "000000"],
}


@pytest.mark.parametrize("floor", KNOWN)
def test_known_maps(floor):
    found = floor_map(floor, 6, 6)
    assert found.dtype == np.int32
    assert ["".join(map(str, row)) for row in found] == KNOWN[floor]


def test_the_box_has_half_the_sides_and_the_rings_thirds():
    assert (floor_map("centre", 120, 200) == 1).sum() == 60 * 100
    rings = floor_map("rings", 120, 240)
    assert [(rings >= n).sum() for n in (1, 2)] == [80 * 160, 40 * 80]


@PATIENT
@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_a_grid_has_exactly_as_many_tiles_as_asked_for(height, width, data):
    pieces = data.draw(st.integers(1, height * width))
    found = floor_map("grid", height, width, pieces=pieces)
    np.testing.assert_array_equal(np.unique(found), np.arange(pieces))
    for tile in range(pieces):  # rectangles
        rows, columns = np.nonzero(found == tile)
        assert np.ptp(rows) + 1 == len(set(rows))
        assert (np.ptp(rows) + 1) * (np.ptp(columns) + 1) == len(rows)


def test_tiles_are_nearly_square_and_of_nearly_one_size():
    areas = np.bincount(floor_map("grid", 300, 400, pieces=12).ravel())
    assert areas.tolist() == [100 * 100] * 12
    areas = np.bincount(floor_map("grid", 100, 100, pieces=7).ravel())
    assert areas.max() < 2 * areas.min()


@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1), (2, 3), (4, 4)])
def test_tiny_images(floor, size):
    found = floor_map(floor, *size)
    assert found.shape == size
    np.testing.assert_array_equal(np.unique(found), np.arange(found.max() + 1))


def test_grids_have_the_numbers_of_the_method_and_of_the_truth():
    found, label = np.full((8, 8), -1), np.full((8, 8), -1)
    found[:2], found[2:4], found[4:6] = 9, 70, 5
    label[0], label[1] = 3, 1
    maps = floor_maps(found, label)
    assert list(maps) == list(FLOORS)
    assert [len(np.unique(maps[name])) for name in ("grid", "grid-truth")] == [3, 2]
    blank = floor_maps(found * 0 - 1, label)["grid"]  # of a method that found nothing: still a division
    np.testing.assert_array_equal(blank, 0)
    assert set(PARTS) < set(FLOORS)


def test_a_floor_that_is_right_is_ahead_of_a_method_that_is_wrong():
    """Upper and lower half are the truth of every image; the method says left and right."""
    label = floor_map("top-bottom", 8, 8)
    wrong = floor_map("left-right", 8, 8)
    counts = {name: [contingency(found, label, 2)] * 5 for name, found in floor_maps(wrong, label).items()}
    tallies = {name: stack([tally(table, match([table])) for table in tables]) for name, tables in counts.items()}
    scores = score_floors(tallies["left-right"], tallies, {name: [len(np.unique(floor_map(name, 8, 8)))] * 5 for name in tallies})
    best = scores["top-bottom"]
    assert (best.acc, best.miou, best.segments) == (1, 1, 2)
    assert best.ahead.acc == best.ahead.acc_ci95[0] == best.ahead.acc_ci95[1] == -0.5  # all images alike, so no width
    assert best.ahead.miou == pytest.approx(1 / 3 - 1)
    assert scores["left-right"].ahead.miou_ci95 == (0, 0)
