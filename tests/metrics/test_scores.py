import numpy as np
import pytest

from seediff.evaluate.score_list import keyed, often_shown
from seediff.metrics.scores import accuracy, mean_estimate, resample


def scored(counts, **how):
    """(IoU of each class, accuracy) of the classes a, b and c."""
    drawn = resample(counts, **how)
    return drawn.of_classes("abc"), drawn.of_all("pixel accuracy", accuracy)


def test_intervals_are_those_of_resampled_images():
    counts = np.random.default_rng(0).integers(0, 50, (12, 3, 3))
    ious, right = scored(counts, seed=4, draws=250)
    rng = np.random.default_rng(4)  # the same draws, one at a time with images repeated
    accs, mious, first = [], [], []
    for _ in range(250):
        tp, fp, fn = np.repeat(counts, rng.multinomial(12, np.full(12, 1 / 12)), axis=0).sum(0)
        iou = tp / (tp + fp + fn)
        accs.append(tp.sum() / (tp + fn).sum())
        mious.append(iou.mean())
        first.append(iou[0])
    for estimate, values in ((right, accs), (mean_estimate("mean", ious.values()), mious), (ious["a"], first)):
        np.testing.assert_allclose(estimate.ci95, np.quantile(values, (0.025, 0.975)), rtol=1e-12)


def shown_by(pictures, *, predicted=True):
    """The counts of 12 images, of which as many show each class as `pictures` says. predicted: the last class has false
    positives in one image that does not show it."""
    rng = np.random.default_rng(len(pictures))
    shown = np.arange(12)[:, None] < np.array(pictures)
    tp, fp, fn = rng.integers(1, 50, (3, 12, len(pictures))) * shown
    fp[11, -1] += 7 * predicted
    return np.stack([tp, fp, fn], 1)


@pytest.mark.parametrize("pictures", [0, 1, 4, 5])
def test_no_interval_from_fewer_than_five_pictures_that_show_the_class(pictures):
    ious, right = scored(shown_by([12, 9, pictures]), seed=0, draws=50)
    assert [iou.pictures for iou in ious.values()] == [12, 9, pictures]
    assert not np.isnan([*ious["a"].ci95, *ious["b"].ci95, *right.ci95]).any()
    mean = mean_estimate("mIoU", ious.values())
    assert mean.pictures == pictures
    assert np.isnan([ious["c"].ci95, mean.ci95]).all() == (pictures < 5)
    # Then the mean of the others has one.
    often = often_shown(mean)
    if pictures == 5:
        assert not often
    else:
        (others,) = often
        assert others.name == "mIoU: mean of the 2 classes that 5 or more images show"
        assert (others.value, others.ci95, others.pictures) == (
            (ious["a"].value + ious["b"].value) / 2,
            mean_estimate("", [ious["a"], ious["b"]]).ci95,
            9,
        )
        written = keyed(mean, "miou")
        assert written["miou_often_shown"] == keyed(others, "miou")


def test_means_are_compared_over_the_classes_of_both():
    """A stray pixel of a class that no truth shows made the difference + 20."""
    found, other = (
        mean_estimate("mIoU", scored(shown_by([12, 9, 0], predicted=stray), seed=3, draws=99)[0].values())
        for stray in (False, True)
    )
    assert found.value == pytest.approx(other.value * 3 / 2)
    assert [estimate.value for estimate in found.of_same_classes(other)] == [found.value] * 2
    difference = found.minus(other)
    assert (difference.value, difference.ci95, difference.pictures) == (0, (0, 0), 9)
    a, b = found.classes["a"], other.classes["b"]  # paired: over the same draws
    assert a.minus(b).ci95 == pytest.approx(np.quantile(a.drawn - b.drawn, (0.025, 0.975)))


def test_a_class_that_is_rare_for_one_of_two_is_in_neither_mean_of_frequent_ones():
    ious, _ = scored(shown_by([12, 9, 3]), seed=4, draws=50)
    others, _ = scored(shown_by([12, 12, 9]), seed=4, draws=50)
    ious["d"], others["d"] = ious["a"]._replace(name="d"), others["c"]._replace(name="d", pictures=2)
    one, two = (mean_estimate("mIoU", estimates.values()) for estimates in (ious, others))
    assert [[*estimate.classes] for estimate in often_shown(one, two)] == [["a", "b"]] * 2
