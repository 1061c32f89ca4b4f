import numpy as np
import pytest
import torch

from seediff.evaluate.mask_protocols import BETAS, count, score_column, strongest
from seediff.evaluate.protocols import own


def plain_counts(soft, ids, truth, num_classes, background):
    """The definition, pixel by pixel in float64."""
    betas = BETAS if background is not None else [0.0]
    counts = np.zeros((len(betas), 3, num_classes), np.int64)
    for k, beta in enumerate(betas):
        for at, exact in np.ndenumerate(truth):
            if exact == 255:
                continue
            values = [float(part[at]) for part in soft]
            best = int(np.argmax(values)) if values else None
            label = background if best is None or values[best] < beta else ids[best]
            if label == exact:
                counts[k, 0, exact] += 1
            else:
                counts[k, 2, exact] += 1
                if label is not None:
                    counts[k, 1, label] += 1
    return counts


@pytest.mark.parametrize("background", [0, 2, None])
@pytest.mark.parametrize("maps", [0, 1, 4])
def test_counts_are_those_of_a_plain_loop(background, maps):
    rng = np.random.default_rng(maps)
    soft = rng.random((maps, 9, 7)).astype(np.float32)
    ids = [1, 3, 3, 4][:maps]  # two words of one class
    truth = rng.choice([0, 1, 2, 3, 4, 255], (9, 7)).astype(np.uint8)
    value, classes = strongest(torch.from_numpy(soft), ids, truth.shape)
    assert np.array_equal(count(value, classes, truth, 5, background), plain_counts(soft, ids, truth, 5, background))


def test_the_threshold_comes_from_the_tuning_images_alone():
    """Truth: half background, half class 1. Class 1's value is 0.2 outside and 0.4 inside when tuning, 0.6 and 0.8 when
    scored.
    """
    truth = np.array([[0, 1]], np.uint8)

    def counted(outside, inside):
        return count(np.array([[outside, inside]], np.float32), np.ones((1, 2), np.uint8), truth, 2, 0)[None]

    column = score_column(own(("background", "dog")), counted(0.2, 0.4), counted(0.6, 0.8), seed=0, draws=9)
    assert column.beta == 0.22
    assert column.miou.value == 1 / 4  # all is dog: 0 and 1/2
    assert {name: iou.value for name, iou in column.per_class.items()} == {"background": 0, "dog": 0.5}
