import math

import numpy as np
import pytest

from seediff.dataset.encoding import Instances
from seediff.dataset.sample import Sample
from seediff.dataset.store import write_native
from seediff.errors import UserError
from seediff.evaluate.evaluation import evaluate, notes
from seediff.evaluate.objects import ObjectCounts

CLASSES = ("dog", "cat")


def picture(*objects):
    """Objects (class id, first column, last column + 1[, score]) of a picture of one row with ten columns."""
    numbers = np.zeros((1, 10), np.uint16)
    for number, (_, first, last, *_) in enumerate(objects, 1):
        numbers[:, first:last] = number
    return Instances(numbers, tuple(o[0] for o in objects), tuple(o[3] for o in objects if len(o) > 3))


TRUTH = picture((1, 0, 4), (1, 4, 8))
PREDICTED = picture((1, 0, 4, 0.9), (1, 4, 7, 0.8), (2, 8, 9, 0.7))


def test_by_hand():
    """One dog is exact, the other has an IoU of 3/4: right at six of ten thresholds. No cat is there, so the cat counts nowhere."""
    counts = ObjectCounts(3)
    counts.add(PREDICTED, PREDICTED.label_map(), TRUTH, TRUTH.label_map())
    scores = counts.scores()
    half = 51 / 101  # precision 1 up to a recall of one half
    assert scores.ap == pytest.approx(0.6 + 0.4 * half)
    assert scores.ap50 == pytest.approx(1)
    assert scores.ar100 == pytest.approx(0.6 + 0.4 * 0.5)
    assert scores.pq == pytest.approx((1 + 0.75) / 2)


def test_void_and_nothing():
    labels = TRUTH.label_map()
    labels[0, 8:] = 255
    wrong = picture((1, 0, 4, 0.9), (1, 4, 8, 0.8), (1, 8, 10, 0.1))
    counts = ObjectCounts(3)
    counts.add(wrong, wrong.label_map(), TRUTH, labels)
    assert counts.scores().pq == pytest.approx(1)  # an object in the void is no mistake
    empty = ObjectCounts(3)
    empty.add(wrong, wrong.label_map(), picture(), np.zeros((1, 10), np.uint8))
    assert all(math.isnan(value) for value in vars(empty.scores()).values())


def written(out, *pictures, classes=CLASSES, names=("a", "b")):
    pixels = np.zeros((10, 10, 3), np.uint8)
    samples = []
    for name, of_one in zip(names, pictures, strict=False):
        instances = of_one and Instances(of_one.numbers.repeat(10, 0), of_one.class_ids, of_one.scores)
        labels = np.zeros((10, 10), np.uint8) if instances is None else instances.label_map()
        samples.append(Sample(pixels, labels, instances, name=name))
    write_native(out, classes, samples, about={})
    return out


def test_folders(tmp_path):
    """Classes are matched by name, and the scores are those of the hand case."""
    truth = written(tmp_path / "truth", TRUTH)
    swapped = Instances(PREDICTED.numbers, (2, 2, 1), PREDICTED.scores)
    predicted = written(tmp_path / "predicted", swapped, classes=("cat", "dog"))
    found = evaluate(predicted, truth, draws=10)
    assert found.objects is not None
    assert found.objects.pq == pytest.approx((1 + 0.75) / 2)
    assert found.to_json()["objects"]["ap50"] == pytest.approx(1)
    exact = evaluate(truth, truth, draws=10).objects
    assert vars(exact) == pytest.approx({"ap": 1, "ap50": 1, "ar100": 1, "pq": 1})


def test_without_objects_nothing_is_said(tmp_path):
    truth, plain = written(tmp_path / "truth", TRUTH), written(tmp_path / "plain", None)
    for predictions, data in ((plain, truth), (truth, plain)):
        found = evaluate(predictions, data, draws=10)
        assert found.objects is None
        assert "objects" not in found.to_json()


def test_another_protocol_has_none_and_says_so(tmp_path):
    truth = written(tmp_path / "truth", TRUTH)
    found = evaluate(truth, truth, protocol="voc", draws=10)
    assert found.objects is None
    assert "Objects are not scored: they are compared by the data's own classes, without --protocol." in notes(found)
    plain = evaluate(written(tmp_path / "plain", None), truth, protocol="voc", draws=10)
    for one in (plain, evaluate(truth, truth, draws=10)):
        assert not any("are not scored" in line for line in notes(one))


def test_predictions_in_other_folders(tmp_path):
    """Objects are those of the sample whose label map is compared."""
    truth = written(tmp_path / "truth", TRUTH, PREDICTED, names=("val/a", "val/b"))
    predicted = written(tmp_path / "predicted", TRUTH, PREDICTED)
    found = evaluate(predicted, truth, draws=10)
    assert found.scores.miou == 1
    assert found.objects is not None
    assert found.objects.pq == pytest.approx(1)


def test_prediction_without_a_row(tmp_path):
    truth = written(tmp_path / "truth", TRUTH)
    predicted = written(tmp_path / "predicted", PREDICTED, names=("b",))
    (predicted / "masks" / "b.png").rename(predicted / "masks" / "moved.png")
    rows = (predicted / "metadata.jsonl").read_text().replace("masks/b.png", "masks/a.png")
    (predicted / "metadata.jsonl").write_text(rows)
    (predicted / "masks" / "moved.png").rename(predicted / "masks" / "a.png")
    with pytest.raises(UserError, match=r"its metadata\.jsonl has no sample 'a'"):
        evaluate(predicted, truth, draws=10)
