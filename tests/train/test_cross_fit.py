"""`cross_fit`: how well the labels of samples agree with a segmenter that learned from the others."""

import hashlib
import json
import math

import numpy as np
import pytest
from refusals import user_error
from shapes import CLASSES, items, small

from seediff.dataset.dataset import Dataset
from seediff.dataset.encoding import encode_mask
from seediff.dataset.writing import save_native
from seediff.errors import Notice
from seediff.files.outputs import write_atomic
from seediff.train import cross_fit as module
from seediff.train.cross_fit import cross_fit, support, usual_shares, write_support

CONFIG = small(architecture="segformer", device="cpu")


def some_shares(rng, classes=2, side=6):
    shares = rng.random((classes + 1, side, side)) ** 3
    return shares / shares.sum(0)


def by_hand(shares, labels, usual):
    """(class id, support) in plain loops."""
    own = {}
    for (y, x), label in np.ndenumerate(labels):
        if label != 255:
            whole = sum(shares[c, y, x] / usual[c] for c in range(len(shares)))
            own[y, x] = shares[label, y, x] / usual[label] / whole
    y, x = min(own, key=lambda place: own[place])
    foreign = {c: shares[c, y, x] / usual[c] for c in range(1, len(shares))}
    weights = [math.exp(-value / 0.1) for value in own.values()]
    soft = sum(w * value for w, value in zip(weights, own.values(), strict=True)) / sum(weights)
    return int(labels[y, x]) or max(foreign, key=lambda c: foreign[c]), soft


@pytest.mark.parametrize("seed", range(4))
def test_support_is_the_soft_minimum_of_calibrated_shares(seed):
    rng = np.random.default_rng(seed)
    shares, usual = some_shares(rng), np.array([0.9, 0.3, 0.6])
    labels = rng.choice(np.array([0, 1, 2, 255], np.uint8), (6, 6))
    class_id, value = support(shares, labels, usual)
    assert (class_id, pytest.approx(value, abs=1e-12)) == by_hand(shares, labels, usual)
    assert support(shares, labels * 0 + 255, usual) is None
    # Every class as well known as the others: nothing is calibrated
    assert support(shares, labels, usual * 0 + 0.7)[1] == pytest.approx(support(shares, labels, usual * 0 + 1)[1])


def test_usual_shares_are_the_means_over_the_pixels_of_a_set():
    rng = np.random.default_rng(1)
    pairs = [(some_shares(rng), rng.choice(np.array([0, 1, 255], np.uint8), (6, 6))) for _ in range(3)]
    own = [[s[c][labels == c] for s, labels in pairs] for c in range(2)]
    means = [np.concatenate(values).mean() for values in own]
    assert usual_shares(pairs, 2) == pytest.approx([*means, 1])


def test_support_is_written_into_the_rows_of_original_masks(tmp_path):
    folder = tmp_path / "set"
    save_native(folder, CLASSES, items(4), about={})
    action = {"sample": "s1", "version": 1, "action": "brush", "mask": "reviewed/s1.1.png", "classes": ["disc"]}
    labels = encode_mask(items(4)[1].label_map)
    write_atomic(folder / "reviewed" / "s1.1.png", labels)
    action |= {"hash": hashlib.sha256(labels).hexdigest(), "area": {"disc": 0.1}}
    (folder / "review.jsonl").write_text(json.dumps(action) + "\n")
    rows = write_support(folder, CONFIG, steps=1)
    assert [row.support is None for row in rows] == [False, True, False, False]
    before = (folder / "metadata.jsonl").read_bytes()
    assert b"support" in before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    write_support(folder, CONFIG, steps=1)
    assert (folder / "metadata.jsonl").read_bytes() == before


def test_a_killed_run_continues_and_other_work_goes(tmp_path, monkeypatch):
    data, steps = Dataset(CLASSES, items(8)), []

    def stop(done, total, current):
        steps.append(done)
        if done == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "SAVE_EVERY", 2)
    with pytest.warns(Notice, match="the segmenter hardly knows the classes"):
        whole = cross_fit(data, CONFIG, steps=3)
    with pytest.raises(KeyboardInterrupt):
        cross_fit(data, CONFIG, steps=3, work=tmp_path, report=stop)
    steps.clear()
    assert cross_fit(data, CONFIG, steps=3, work=tmp_path, report=lambda done, *_: steps.append(done)) == whole
    assert steps[1] == 4  # the first training is not repeated
    (before,) = tmp_path.iterdir()
    cross_fit(data, CONFIG, steps=1, work=tmp_path)
    assert not before.exists()


def test_sets_that_cannot_be_divided():
    copies = [items(1)[0].replace(name=f"{i}") for i in range(3)]
    for data, folds in ((items(3), 1), (items(3), 4), (copies, 2)):
        with user_error(f"folds: {folds} must be from 2 to the number of different images in 3 labelled samples"):
            cross_fit(Dataset(CLASSES, data), CONFIG, folds=folds)
