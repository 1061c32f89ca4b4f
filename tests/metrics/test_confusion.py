import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion

from seediff.metrics.confusion import boundary_band, confusion, count_boundaries, count_classes
from seediff.metrics.scores import accuracy, class_iou, labelled, mean_iou


def maps(seed, classes):
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(3):
        truth = rng.integers(0, classes, (17, 23)).astype(np.uint8)
        predicted = np.where(rng.random(truth.shape) < 0.5, truth, rng.integers(0, classes, truth.shape)).astype(
            np.uint8
        )
        truth[rng.random(truth.shape) < 0.1] = 255
        pairs.append((predicted, truth))
    return pairs


@pytest.mark.parametrize("classes", [2, 21, 150])
def test_equal_to_torchmetrics(classes):
    metrics = pytest.importorskip("torchmetrics.classification")
    table = metrics.MulticlassConfusionMatrix(classes, ignore_index=255)
    macro = metrics.MulticlassJaccardIndex(classes, ignore_index=255, average="macro")
    each = metrics.MulticlassJaccardIndex(classes, ignore_index=255, average="none")
    right = metrics.MulticlassAccuracy(classes, ignore_index=255, average="micro")
    ours = np.zeros((classes, classes + 1), np.int64)
    for predicted, truth in maps(classes, classes):
        ours += confusion(predicted, truth, classes)
        for metric in (table, macro, each, right):
            metric.update(torch.from_numpy(predicted).long(), torch.from_numpy(truth).long())
    assert np.array_equal(ours[:, :-1], table.compute().numpy())
    counts = count_classes(ours)
    np.testing.assert_allclose(np.nan_to_num(class_iou(counts)), each.compute().numpy(), rtol=1e-6)
    assert mean_iou(class_iou(counts)) == pytest.approx(float(macro.compute()), rel=1e-6)
    assert accuracy(counts) == pytest.approx(float(right.compute()), rel=1e-6)


def test_255_in_the_truth_is_ignored_and_in_a_prediction_wrong():
    truth = np.array([[0, 0, 1, 1, 255, 255]], np.uint8)
    predicted = np.array([[0, 255, 1, 0, 1, 255]], np.uint8)
    table = confusion(predicted, truth, 2)
    assert table.tolist() == [[1, 0, 1], [1, 1, 0]]
    counts = count_classes(table)
    assert (counts.tolist(), labelled(counts).tolist()) == ([[1, 1], [1, 0], [1, 1]], [2, 2])
    assert class_iou(counts).tolist() == [1 / 3, 1 / 2]


def test_maps_that_cannot_be_compared():
    with pytest.raises(ValueError, match="truth has ids 7, 9, 254"):
        confusion(np.zeros((2, 2), np.uint8), np.array([[0, 7], [9, 254]], np.uint8), 3)


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
    truth[:3] = 255
    predicted[:3] = 255  # as the truth is
    counts = count_boundaries(predicted, truth, 5)
    for number in range(5):
        ours, theirs = reference_band(predicted == number, distance), reference_band(truth == number, distance)
        assert counts[:, number].tolist() == [(ours & theirs).sum(), (ours & ~theirs).sum(), (theirs & ~ours).sum()]
