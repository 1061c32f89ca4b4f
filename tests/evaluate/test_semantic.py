import json

import numpy as np
import pytest

from seediff.evaluate.protocols import PROTOCOLS, own
from seediff.evaluate.semantic import GroupScore, evaluate_pairs


def random_pairs(protocol, images, seed=0):
    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(images):
        truth = np.kron(rng.integers(0, len(protocol.classes), (3, 4)), np.ones((7, 7))).astype(np.uint8)
        predicted = np.where(rng.random(truth.shape) < 0.7, truth, 0).astype(np.uint8)
        truth[0] = 255
        pairs.append((f"image {number}", predicted, truth))
    return pairs


def test_scores_of_a_set_by_hand():
    truth = np.array([[0, 0, 1, 1], [0, 0, 2, 255]], np.uint8)
    predicted = np.array([[0, 1, 1, 1], [0, 0, 255, 2]], np.uint8)
    scores = evaluate_pairs([("a", predicted, truth)], own(("background", "cat", "dog")))
    assert [score.iou for score in scores.per_class.values()] == [3 / 4, 2 / 3, 0]
    assert scores.miou == pytest.approx((3 / 4 + 2 / 3 + 0) / 3)
    assert scores.groups["objects"].miou == pytest.approx(1 / 3)
    assert scores.pixel_accuracy == 5 / 7
    assert scores.pixels == 7
    assert scores.miou_ci95 == (scores.miou, scores.miou)  # of one image every draw is the same
    assert scores.images == {"a": pytest.approx(scores.miou)}


def test_zero_shot_parts_and_their_harmonic_mean():
    one = PROTOCOLS["voc-zero-shot"]
    seen, unseen = one.classes.index("dog"), one.classes.index("sofa")
    truth = np.array([[0, 0, seen, seen, unseen, unseen, unseen, unseen]], np.uint8)
    predicted = np.array([[0, 0, seen, 0, unseen, 0, 0, 0]], np.uint8)
    scores = evaluate_pairs([("a", predicted, truth)], one)
    assert scores.groups["seen"].miou == 1 / 2
    assert scores.groups["unseen"].miou == 1 / 4
    assert scores.groups["harmonic"].miou == pytest.approx(2 * (1 / 2) * (1 / 4) / (3 / 4))
    assert scores.miou == 3 / 8
    nothing = evaluate_pairs([("a", predicted * 0, truth)], one)
    assert nothing.groups["harmonic"] == GroupScore(0.0, (0.0, 0.0))


def test_intervals_are_of_the_seed():
    one = own(("background", "cat", "dog"))
    pairs = random_pairs(one, 12)
    scores, again, other = (evaluate_pairs(pairs, one, seed=seed, bootstrap=400, boundary=False) for seed in (3, 3, 4))
    assert scores.miou_ci95[0] < scores.miou < scores.miou_ci95[1]
    assert (again.miou_ci95, again.groups) == (scores.miou_ci95, scores.groups)
    assert other.miou_ci95 != scores.miou_ci95
    assert np.isnan(again.boundary_miou)


def test_json_has_no_nan_and_the_key_miou():
    one = own(("background", "cat", "dog"))
    truth = np.array([[0, 1]], np.uint8)
    table = evaluate_pairs([("a", truth, truth)], one, bootstrap=10).table()
    assert table["miou"] == 1.0
    assert table["per_class"]["dog"] == {"iou": None, "iou_ci95": [None, None], "boundary_iou": None, "pixels": 0}
    json.dumps(table, allow_nan=False)
