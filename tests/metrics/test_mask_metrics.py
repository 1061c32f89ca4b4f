import numpy as np
import pytest

from recipes.studies.score import boundary, boundary_f, boundary_tolerance
from seediff.metrics.scores import iou


def square(top, left, side, size=32):
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_iou():
    assert iou(square(0, 0, 4), square(0, 0, 4)) == 1
    assert iou(square(0, 0, 4), square(0, 2, 4)) == pytest.approx(8 / 24)
    assert iou(square(0, 0, 4), square(9, 9, 4)) == 0
    empty = np.zeros((4, 4), bool)
    assert iou(empty, empty) == 1


def test_boundary_f_against_all_distances():
    rng = np.random.default_rng(0)
    exact, predicted = square(8, 6, 14, 64), square(9, 9, 15, 64) | (rng.random((64, 64)) < 0.01)
    tolerance = boundary_tolerance(64, 64)
    ours, theirs = np.argwhere(boundary(predicted)), np.argwhere(boundary(exact))
    distances = np.sqrt(((ours[:, None] - theirs[None]) ** 2).sum(-1).astype(np.float64))
    precision = (distances.min(1) <= tolerance).mean()
    recall = (distances.min(0) <= tolerance).mean()
    assert boundary_f(predicted, exact) == pytest.approx(2 * precision * recall / (precision + recall))
