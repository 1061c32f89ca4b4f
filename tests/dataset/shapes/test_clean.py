import numpy as np

from seediff.dataset.shapes.changes import clean_labels


def test_specks_and_holes_get_the_label_around_them():
    labels = np.zeros((8, 10), np.uint8)
    labels[1:7, 1:7] = 1
    labels[3, 3] = 0  # a hole
    labels[4, 6:8] = 2  # on the edge: more of its border is background
    labels[0, 9] = 255
    expected = np.zeros((8, 10), np.uint8)
    expected[1:7, 1:7] = 1
    expected[4, 6] = 0
    expected[0, 9] = 255
    assert np.array_equal(clean_labels(labels, 3), expected)
    assert np.array_equal(clean_labels(labels, 1), labels)
