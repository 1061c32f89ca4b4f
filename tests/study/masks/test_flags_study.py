import json

import numpy as np
import pytest
from small_scenes import half_side

from seediff.study.masks import flags
from seediff.study.masks.flags import best_threshold, found, markdown, run_flags, typical


def test_the_threshold_has_the_highest_f1():
    rng = np.random.default_rng(0)
    values, bad = rng.random(60).round(2), rng.random(60) < 0.3

    def f1(threshold):
        hits = sum(v <= threshold and b for v, b in zip(values, bad, strict=True))
        return 2 * hits / (sum(values <= threshold) + sum(bad))

    best = best_threshold(values, bad)
    assert f1(best) == pytest.approx(max(map(f1, values)))
    assert best == min(v for v in values if f1(v) == pytest.approx(f1(best)))


def test_precision_and_recall_by_hand():
    masks = {"iou": np.array([0.1, 0.2, 0.4, 0.5, 0.9])}
    assert found(masks, np.array([1, 0, 0, 1, 0])) == {"marked": 2, "bad": 1, "precision": 0.5, "recall": 0.333}
    assert found(masks, np.zeros(5))["precision"] is None


def test_typical_areas_are_near_the_median_of_their_class():
    near = typical(np.array([0.1, 0.2, 0.4, 0.0, 0.3]), ["dog", "dog", "dog", "cat", "cat"])
    assert near == pytest.approx([0.5, 1, 0.5, 0, 0.5])


def test_the_study_measures_scenes(mini_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("seediff.study.masks.capture.load_scenes", half_side)
    result = run_flags(3, tmp_path / "out", model=str(mini_folder), tune_scenes=3, json_path=tmp_path / "copy.json", device="cpu")
    assert json.loads((tmp_path / "out/results.json").read_text()) == json.loads((tmp_path / "copy.json").read_text()) == result
    assert list(result["found"]) == ["flags", *flags.MEASURES]
    assert markdown(result).count("\n|") == 2 + 5
