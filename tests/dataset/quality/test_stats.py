import numpy as np
import pytest

from seediff.dataset.quality.stats import AREA_BINS, measure, summarize


def test_counts_of_a_small_set():
    one = np.zeros((10, 10), np.uint8)
    one[:2, :5] = 1  # 10 %
    one[5, 5] = one[7, 7] = 1  # two more pieces, 12 % in all
    one[9] = 255
    two = np.full((5, 10), 2, np.uint8)
    found = summarize([measure(one), measure(two)], ("dog", "cat", "bus"))
    dog, cat, bus = found.classes
    assert (found.images, found.sizes) == (2, {"10×10": 1, "5×10": 1})
    assert (found.background, found.ignored) == (pytest.approx(78 / 150), pytest.approx(10 / 150))
    assert (dog.images, dog.pixels, dog.mean_area, dog.mean_pieces) == (
        1,
        pytest.approx(12 / 150),
        pytest.approx(0.12),
        3,
    )
    assert dog.areas[AREA_BINS.index(0.1)] == cat.areas[-1] == 1
    assert (bus.images, bus.mean_area, bus.mean_pieces, sum(bus.areas)) == (0, None, None, 0)
    assert found.as_json()["area_bins"][-1] == 1
