"""Panoptic quality against a plain loop over segments, torchmetrics' published example, and worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from seediff.metrics.panoptic import panoptic_quality, panoptic_tally


def reference(predicted, predicted_classes, truth, true_classes, num_classes):
    """The definition, segment by segment, in sets of pixels."""
    iou, tp, fp, fn = np.zeros(num_classes), *np.zeros((3, num_classes), int)
    ours = {i: set(np.flatnonzero(predicted == i)) for i in range(1, len(predicted_classes) + 1)}
    theirs = {i: set(np.flatnonzero(truth == i)) for i in range(1, len(true_classes) + 1)}
    void = set(np.flatnonzero(truth == 0))
    matched = set()
    for g, its in theirs.items():
        if not its:
            continue
        for p, pixels in ours.items():
            share = len(its & pixels) / max(1, len((its | pixels) - (pixels & void)))
            if predicted_classes[p - 1] == true_classes[g - 1] and share > 0.5:
                iou[true_classes[g - 1]] += share
                tp[true_classes[g - 1]] += 1
                matched.add(p)
                break
        else:
            fn[true_classes[g - 1]] += 1
    for p, pixels in ours.items():
        kind = predicted_classes[p - 1]
        if pixels and p not in matched and len(pixels & void) <= len(pixels) / 2:
            fp[kind] += 1
    return iou, tp, fp, fn


def blocks(rng: np.random.Generator, most: int) -> np.ndarray:
    return np.repeat(np.repeat(rng.integers(0, most + 1, (5, 6)), 4, 0), 5, 1)


@pytest.mark.parametrize("seed", range(20))
def test_counts_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    truth = blocks(rng, 5)
    predicted = np.where(rng.random(truth.shape) < 0.25, blocks(rng, 7), truth)
    classes, true_classes = rng.integers(0, 3, 7).tolist(), rng.integers(0, 3, 5).tolist()
    classes[:5] = [c if rng.random() < 0.8 else 2 for c in true_classes]
    arguments = predicted, classes, truth, true_classes, 3
    tally = panoptic_tally(*arguments)
    iou, *counts = reference(*arguments)
    assert tally.iou == pytest.approx(iou, abs=1e-12)
    assert [tally.tp.tolist(), tally.fp.tolist(), tally.fn.tolist()] == [count.tolist() for count in counts]


def test_the_published_example_of_torchmetrics():
    """(class, object) of each pixel; things 0 and 1, stuff 6 and 7, whose object does not count."""
    predicted = "60 00 60 60|00 00 60 01|00 00 60 01|00 70 60 10|00 70 70 70"
    truth = "60 01 60 01|01 01 60 01|01 01 60 10|01 70 10 10|01 70 70 70"

    def segments(text: str) -> tuple[np.ndarray, list[int]]:
        pairs = [[pair[0] + pair[1] * (pair[0] in "01") for pair in row.split()] for row in text.split("|")]
        names, numbers = np.unique(pairs, return_inverse=True)
        return numbers.reshape(5, 4) + 1, [[0, 1, 6, 7].index(int(name[0])) for name in names.tolist()]

    tally = panoptic_tally(*segments(predicted), *segments(truth), 4)
    assert panoptic_quality([tally]).pq == pytest.approx(0.5463, abs=5e-5)


def test_by_hand():
    truth = np.array([[1] * 8 + [0] * 8])  # an object of 8 pixels, 8 void
    predicted = np.array([[1] * 6 + [0] * 2 + [2] * 3 + [0] + [3] * 4])
    tally = panoptic_tally(predicted, [0, 0, 0], truth, [0], 2)
    assert (tally.iou[0], tally.tp[0], tally.fp[0], tally.fn[0]) == (0.75, 1, 0, 0)  # the second and the third are void
    alone = panoptic_tally(predicted, [0, 0, 1], np.where(predicted == 3, 2, truth), [0, 0], 2)
    assert (alone.fp.tolist(), alone.fn.tolist()) == ([0, 1], [1, 0])  # of another class than its object
    assert panoptic_quality([tally]).pq == 0.75
    both = panoptic_quality([tally, alone])
    assert both.per_class == pytest.approx([0.6, 0])
    assert (both.pq, both.sq, both.rq) == pytest.approx((0.3, 0.375, 0.4))


def test_void_is_no_part_of_a_union():
    truth, predicted = np.array([[1, 1, 0, 0, 0]]), np.ones((1, 5), int)
    assert panoptic_tally(predicted, [0], truth, [0], 1).iou.tolist() == [1]


def test_maps_of_different_sizes_and_sets_without_segments():
    with pytest.raises(ValueError, match="one shape"):
        panoptic_tally(np.zeros((2, 2), int), [], np.zeros((2, 3), int), [], 1)
    nothing = panoptic_quality([panoptic_tally(np.zeros((2, 2), int), [], np.zeros((2, 2), int), [], 2)])
    assert np.isnan([nothing.pq, nothing.sq, nothing.rq, *nothing.per_class]).all()
