import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENT
from tallies import random_tallies

from recipes.studies.floors import differences, floor_map
from seediff.metrics.scores import Tally, stack


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


def test_differences_are_those_of_the_same_draws():
    one, other = random_tallies(12, 3), random_tallies(12, 3, seed=1)
    other = [Tally(o.tp, o.fp, o.fn, t.pixels) for o, t in zip(other, one, strict=True)]
    found, same = differences(stack(one), [stack(other), stack(one)], seed=4, draws=250)
    rng = np.random.default_rng(4)  # the same draws, one at a time with images repeated
    accs, mious = [], []
    for _ in range(250):
        times = rng.multinomial(12, np.full(12, 1 / 12))
        scores = []
        for tallies in (one, other):
            drawn = [t for t, n in zip(tallies, times, strict=True) for _ in range(n)]
            sums = [sum(getattr(t, k) for t in drawn) for k in ("tp", "fp", "fn")]
            scores.append((sums[0].sum() / sum(t.pixels for t in drawn), (sums[0] / sum(sums)).mean()))
        accs.append(scores[0][0] - scores[1][0])
        mious.append(scores[0][1] - scores[1][1])
    np.testing.assert_allclose(found.acc_ci95, np.quantile(accs, (0.025, 0.975)), rtol=1e-9)
    np.testing.assert_allclose(found.miou_ci95, np.quantile(mious, (0.025, 0.975)), rtol=1e-9)
    assert found.acc_ci95[0] < found.acc < found.acc_ci95[1]
    assert (same.acc, same.acc_ci95, same.miou, same.miou_ci95) == (0, (0, 0), 0, (0, 0))
    with pytest.raises(ValueError, match="the same labels in the same order"):
        differences(stack(one), [stack(one[::-1])])
