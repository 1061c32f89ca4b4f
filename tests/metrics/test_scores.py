import numpy as np
import pytest
from tallies import random_tallies

from seediff.metrics.scores import Tally, class_figures, class_iou, mean_figure, mean_iou, stack


def test_iou_of_classes_that_are_labelled_or_predicted():
    tp, fp, fn = np.array([6, 0, 0, 0]), np.array([2, 5, 0, 0]), np.array([4, 0, 3, 0])
    iou = class_iou(tp, fp, fn)
    np.testing.assert_array_equal(iou, [0.5, 0, 0, np.nan])
    assert mean_iou(iou) == pytest.approx(0.5 / 3)  # a class that is only predicted, or only labelled, counts
    assert mean_iou(iou) == pytest.approx(np.nanmean(iou))
    assert Tally(tp, fp, fn, 12).accuracy == 0.5


def test_intervals_are_those_of_resampled_images():
    tallies = random_tallies(12, 3)
    ious, accuracy = class_figures("abc", stack(tallies), seed=4, draws=250)
    rng = np.random.default_rng(4)  # the same draws, one at a time with images repeated
    accs, mious, first = [], [], []
    for _ in range(250):
        drawn = [t for t, n in zip(tallies, rng.multinomial(12, np.full(12, 1 / 12)), strict=True) for _ in range(n)]
        sums = [sum(getattr(t, k) for t in drawn) for k in ("tp", "fp", "fn")]
        iou = sums[0] / sum(sums)
        accs.append(sums[0].sum() / sum(t.pixels for t in drawn))
        mious.append(iou.mean())
        first.append(iou[0])
    for figure, values in ((accuracy, accs), (mean_figure("mean", ious.values()), mious), (ious["a"], first)):
        np.testing.assert_allclose(figure.ci95, np.quantile(values, (0.025, 0.975)), rtol=1e-12)
