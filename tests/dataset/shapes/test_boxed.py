import numpy as np
import pytest

from seediff.dataset.shapes.rle import boxed_at, crop_to_box


@pytest.mark.parametrize("seed", range(6))
def test_there_and_back(seed):
    rng = np.random.default_rng(seed)
    inside = rng.random((9, 13)) < 0.3
    inside[:2], inside[:, :3] = False, False
    one = crop_to_box(inside)
    rows, columns = np.nonzero(inside)
    assert (one.left, one.top) == (columns.min(), rows.min())
    assert (one.width, one.height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
    values = np.zeros(0, bool)
    for number, count in enumerate(one.counts.tolist()):  # outside first
        values = np.append(values, np.full(count, number % 2 == 1))
    assert np.array_equal(
        values.reshape(one.height, one.width), inside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    )
    labels = np.full((9, 13), 5, np.uint8)
    one.paint(labels, 7)
    assert np.array_equal(labels, np.where(inside, 7, 5))


def test_a_mask_that_fills_its_box_begins_with_nothing_outside():
    inside = np.zeros((4, 4), bool)
    inside[1:3, 2:4] = True
    assert crop_to_box(inside).counts.tolist() == [0, 4]
    assert boxed_at(inside[1:3, 1:], 1, 1).counts.tolist() == [1, 2, 1, 2]
