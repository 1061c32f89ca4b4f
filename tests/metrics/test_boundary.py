import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from seediff.metrics.boundary import boundary_band, boundary_counts


def reference_band(mask, distance):
    """The pixels of a mask that `distance` erosions with a 3 × 3 square take away; outside the image there is no
    mask.
    """
    return mask & ~binary_erosion(mask, np.ones((3, 3)), iterations=distance, border_value=0)


def blobs(rng, shape, classes):
    coarse = rng.integers(0, classes, (-(-shape[0] // 9), -(-shape[1] // 7)))
    return np.repeat(np.repeat(coarse, 9, 0), 7, 1)[: shape[0], : shape[1]].astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (2, 40), (80, 53)])
@pytest.mark.parametrize("distance", [1, 2, 5])
def test_all_classes_at_once_are_each_class_by_itself(shape, distance):
    labels = blobs(np.random.default_rng(sum(shape)), shape, 4)
    expected = np.zeros(shape, bool)
    for number in range(4):
        expected |= reference_band(labels == number, distance)
    assert np.array_equal(boundary_band(labels, distance), expected)


@pytest.mark.parametrize("shape", [(60, 90), (200, 150)])
def test_counts_are_those_of_the_definition(shape):
    rng = np.random.default_rng(1)
    truth, predicted = blobs(rng, shape, 5), blobs(rng, shape, 5)
    predicted[rng.random(shape) < 0.6] = truth[0, 0]
    distance = round(0.02 * float(np.hypot(*shape)))
    inter, union = boundary_counts(predicted, truth, 5)
    for number in range(5):
        ours, theirs = reference_band(predicted == number, distance), reference_band(truth == number, distance)
        assert (inter[number], union[number]) == ((ours & theirs).sum(), (ours | theirs).sum())
