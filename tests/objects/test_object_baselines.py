"""What the recipe is compared with, on maps of two objects that are known, and the parts' arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from two_objects import GRID, two_objects

from seediff.objects.baselines import UNLIKE, _foreground, diffcut_parts, diffseg_parts, maskcut_parts
from seediff.objects.cells import absorb, at_pixels, connected

WAYS = {
    "diffseg": lambda inside, rows: diffseg_parts(inside, rows, threshold=0.5, least=4),
    "diffcut": lambda inside, rows: diffcut_parts(inside, rows, power=1.0, cost=0.5, least=4),
    "maskcut": lambda inside, rows: maskcut_parts(inside, rows, similarity=0.5, cost=0.5, least=4),
}


@pytest.mark.parametrize("way", WAYS)
def test_two_objects_that_touch_are_told_apart_and_one_is_left_whole(way):
    rows, half = two_objects()
    inside = np.ones(GRID, bool)
    inside[:2, 3:9] = False
    parts = WAYS[way](inside, rows)
    assert set(parts[inside].tolist()) == {0, 1}
    assert np.array_equal(parts[inside] == parts[0, -1], half[inside])
    assert (parts[~inside] == -1).all()
    assert WAYS[way](half, rows)[half].tolist() == [0] * int(half.sum())


def test_anchors_are_counted_along_the_longer_side():
    """Four objects of a strip, each of which attends to itself."""
    of = np.arange(16).reshape(2, 8) % 8 // 2
    rows = np.where(of.reshape(-1, 1) == of.ravel(), 0.24, 0.01 / 3)
    assert np.array_equal(WAYS["diffseg"](of >= 0, rows), of)


def test_the_foreground_of_a_graph_by_hand():
    """Four positions against two: the Fiedler vector is largest where the fewer are, and a cut between them costs nothing."""
    weights = np.full((6, 6), UNLIKE)
    weights[:4, :4] = weights[4:, 4:] = 1
    side, seed = _foreground(weights, 0.1)
    assert side.tolist() == [False] * 4 + [True] * 2
    assert seed >= 4
    assert not _foreground(np.ones((6, 6)), 0.5)[0].any()


def test_small_parts_join_the_part_that_attends_to_them_most_of_those_that_they_touch():
    parts = np.array([[0, 0, 2, 1, 1, 3, -1, 4]])
    rows = np.full((8, 8), 0.01)
    rows[3:5, 2] = 0.5
    rows[:2, 5] = 0.9  # does not touch it
    rows[:2, 7] = 0.3
    assert absorb(parts, rows, 2).tolist() == [[0, 0, 1, 1, 1, 1, -1, 0]]
    assert absorb(np.array([[0, 1, 1, -1]]), rows[:4, :4], 3).tolist() == [[0, 0, 0, -1]]  # the largest stays
    loose = np.array([[True, True, False, False]])
    assert absorb(np.array([[0, 0, 1, 1]]), rows[:4, :4], 1, loose).tolist() == [[0, 0, 0, 0]]


def test_pieces_meet_at_corners_and_belong_to_one_part():
    parts = np.array([[0, -1, 1], [-1, 0, 1], [1, -1, 0]])
    assert connected(parts).tolist() == [[0, -1, 1], [-1, 0, 1], [2, -1, 0]]


def test_parts_at_pixels_fill_the_mask():
    mask = np.zeros((8, 16), bool)
    mask[:, 2:15] = True
    pixels = at_pixels(np.array([[-1, 0, 1, -1], [-1, 0, 1, -1]]), mask)
    assert np.array_equal(pixels >= 0, mask)
    assert (pixels[:, 2:8] == 0).all()
    assert (pixels[:, 8:15] == 1).all()
    assert at_pixels(np.full((2, 4), -1), mask).max() == 0
