import json

import numpy as np
import pytest

from seediff.evaluate.protocols import PROTOCOLS, own
from seediff.evaluate.semantic import evaluate_pairs


def random_pairs(protocol, images):
    rng = np.random.default_rng(0)
    pairs = []
    for number in range(images):
        truth = np.kron(rng.integers(0, len(protocol.classes), (3, 4)), np.ones((7, 7))).astype(np.uint8)
        predicted = np.where(rng.random(truth.shape) < 0.7, truth, 0).astype(np.uint8)
        truth[0] = 255
        pairs.append((f"image {number}", predicted, truth))
    return pairs


def test_zero_shot_parts_and_their_harmonic_mean():
    one = PROTOCOLS["voc-zero-shot"]
    seen, unseen = one.classes.index("dog"), one.classes.index("sofa")
    truth = np.array([[0, 0, seen, seen, unseen, unseen, unseen, unseen]], np.uint8)
    predicted = np.array([[0, 0, seen, 0, unseen, 0, 0, 0]], np.uint8)
    scores = evaluate_pairs([("a", predicted, truth)], one)
    assert scores.groups["seen"].value == 1 / 2
    assert scores.groups["unseen"].value == 1 / 4
    assert scores.groups["harmonic"].value == pytest.approx(2 * (1 / 2) * (1 / 4) / (3 / 4))
    assert scores.miou.value == 3 / 8
    nothing = evaluate_pairs([("a", predicted * 0, truth)], one)
    assert nothing.groups["harmonic"].keyed("miou") == {"miou": 0.0, "miou_ci95": (0.0, 0.0)}


def test_intervals_are_of_the_seed():
    one = own(("background", "cat", "dog"))
    pairs = random_pairs(one, 12)
    scores, again, other = (evaluate_pairs(pairs, one, seed=seed, draws=100, boundary=False) for seed in (3, 3, 4))
    low, high = scores.miou.ci95
    assert low < scores.miou.value < high
    assert (again.table(), np.isnan(again.boundary_miou)) == (scores.table(), True)
    assert other.miou.ci95 != scores.miou.ci95


def test_json_has_no_nan_and_the_key_miou():
    one = own(("background", "cat", "dog"))
    truth = np.array([[0, 1]], np.uint8)
    table = evaluate_pairs([("a", truth, truth)], one, draws=10).table()
    assert table["miou"] == 1.0
    assert table["per_class"]["dog"] == {"iou": None, "iou_ci95": [None, None], "boundary_iou": None, "pixels": 0}
    json.dumps(table, allow_nan=False)
