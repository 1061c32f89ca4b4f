import numpy as np
import pytest

from seediff.evaluate.evaluation import evaluate_pairs
from seediff.evaluate.protocols import PROTOCOLS, own
from seediff.metrics.confusion import count_boundaries
from seediff.metrics.scores import draw_counts


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
    assert scores.named("group")["seen"].value == 1 / 2
    assert scores.named("group")["unseen"].value == 1 / 4
    assert scores.named("group")["harmonic"].value == pytest.approx(2 * (1 / 2) * (1 / 4) / (3 / 4))
    assert scores.miou.value == 3 / 8
    (table, *_) = scores.score_tables("share")
    assert [row[0] for row in table.rows if "mean" in row[0]] == ["background (not in the mean)"]
    nothing = evaluate_pairs([("a", predicted * 0, truth)], one)
    assert nothing.named("group")["harmonic"].value == 0


def test_intervals_are_of_the_seed():
    one = own(("background", "cat", "dog"))
    pairs = random_pairs(one, 12)
    scores, again, other = (evaluate_pairs(pairs, one, seed=seed, draws=100, boundary=False) for seed in (3, 3, 4))
    low, high = scores.miou.ci95
    assert low < scores.miou.value < high
    assert (again.to_json(), "boundary mIoU" in again.whole) == (scores.to_json(), False)
    assert other.miou.ci95 != scores.miou.ci95


def test_boundary_iou_has_intervals():
    """From the sums of the drawn images' counts, as IoU's."""
    one = own(("background", "dog", "cat"))
    rng, pairs = np.random.default_rng(1), []
    for number in range(8):
        truth = np.zeros((60, 80), np.uint8)
        truth[10:40, 5:35], truth[15:45, 45:75] = 1, 2
        pairs.append((f"image {number}", np.roll(truth, rng.integers(0, 4), axis=1), truth))
    scores = evaluate_pairs(pairs, one, seed=5, draws=200)
    bands = np.array([count_boundaries(predicted, truth, 3) for _, predicted, truth in pairs])
    counts = np.stack([bands[:, 0], bands.sum(1)], 1).astype(float)
    shared, joined = np.einsum("di,ixc->xdc", np.concatenate([*draw_counts(8, seed=5, draws=200)]), counts)
    drawn = shared / joined
    table = scores.to_json()
    assert table["per_class"]["cat"]["boundary_iou"] == pytest.approx(np.divide(*counts.sum(0)[:, 2]))
    assert table["per_class"]["cat"]["boundary_iou_ci95"] == pytest.approx(np.quantile(drawn[:, 2], (0.025, 0.975)))
    assert table["boundary_miou"] == scores.whole["boundary mIoU"].value
    assert table["boundary_miou_ci95"] == pytest.approx(np.quantile(drawn.mean(1), (0.025, 0.975)))
    assert (table["boundary_miou_images"], scores.entries[-1].quantity) == (8, "boundary mIoU")
