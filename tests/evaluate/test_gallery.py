from __future__ import annotations

import numpy as np

from seediff.evaluate.evaluation import SIDE, gallery, worst


def test_the_worst_come_first_and_those_without_a_score_not_at_all():
    images = {"good": 0.9, "none": float("nan"), "bad": 0.1, "also bad": 0.1, "fair": 0.5}
    assert worst(images, 3) == ["also bad", "bad", "fair"]
    assert worst(images, 9) == ["also bad", "bad", "fair", "good"]


def test_a_line_shows_image_truth_and_prediction():
    image = np.full((30, 60, 3), 200, np.uint8)
    truth, predicted = np.zeros((2, 30, 60), np.uint8)
    truth[:, :30] = 1
    predicted[:, 30:] = 2
    sheet = gallery([("a", image, truth, predicted)] * 2)
    left, middle, right = (sheet[20:100, 20 + i * (SIDE + 6) : i * (SIDE + 6) + SIDE - 10] for i in range(3))
    assert (left == 200).all()
    half = middle.shape[1] // 2
    assert (middle[:, half + 20 :] == 200).all()
    assert not (middle[:, : half - 20] == 200).all()
    assert (right[:, : half - 20] == 200).all()
    assert not (right[:, half + 20 :] == 200).all()
    assert sheet.shape[0] > 2 * 120
