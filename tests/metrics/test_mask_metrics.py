import numpy as np
import pytest

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
