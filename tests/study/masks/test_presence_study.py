"""The study of presence scores: its questions and figures against plain counting, and all of it on a tiny random model."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from small_scenes import half_side

from seediff.errors import UserError
from seediff.masks.presence_questions import THRESHOLDS, Answers, best_threshold, questions
from seediff.mini.scenes import CLASSES, load_scenes
from seediff.study.masks import presence as study
from seediff.study.masks.presence import figures, run_presence


def random_answers(seed: int = 0, scenes: int = 40) -> Answers:
    """Scores that are higher for what is there, more clearly so among several classes."""
    rng = np.random.default_rng(seed)
    rows = []
    for scene in range(scenes):
        absent = scene % 4
        asked = (
            [("several", True)] + [("several", False)] * absent + [("one", True), ("one", False)] + [("many", True), ("many", False)] * 2
        )
        for group, there in asked:
            clear = 0.1 if group == "several" else 0.03
            rows.append((group, absent if group == "several" else int(not there), scene, there, 0.8 + clear * there + rng.normal(0, 0.05)))
    return Answers(*(np.array(column) for column in zip(*rows, strict=True)))


def test_questions_follow_from_the_scene_and_the_seed() -> None:
    for index, scene in enumerate(load_scenes("tune", 12)):
        asked = questions(scene.classes, CLASSES, index, seed=3)
        assert asked == questions(scene.classes, CLASSES, index, seed=3)
        (group, several), (_, there), (_, absent), (_, everything) = asked
        assert group == "several"
        assert sorted(everything) == sorted(CLASSES)
        assert set(scene.classes) <= set(several)
        assert len(set(several)) == len(several) == len(scene.classes) + index % 4
        assert set(there) <= set(scene.classes)
        assert not set(absent) & set(scene.classes)


def test_figures_equal_plain_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "DRAWS", 100)
    answers = random_answers()
    rows = {row["group"]: row for row in figures(answers, 0.87)}
    assert list(rows) == ["several", "one", "many", "0 absent", "1 absent", "2 absent", "3 absent"]
    several = [(s, p) for g, s, p in zip(answers.group, answers.score, answers.present, strict=True) if g == "several"]
    found = [p for s, p in several if s >= 0.87]
    assert rows["several"]["precision"] == pytest.approx(sum(found) / len(found), abs=1e-4)
    assert rows["several"]["recall"] == pytest.approx(sum(found) / sum(p for _, p in several), abs=1e-4)
    wins = [(a > b) + 0.5 * (a == b) for a, p in several if p for b, q in several if not q]
    assert rows["several"]["auc"] == pytest.approx(np.mean(wins), abs=1e-4)
    assert rows["0 absent"]["auc"] is None
    assert rows["0 absent"]["precision"] == 1
    for row in rows.values():
        for name in ("auc", "precision", "recall"):
            if row[name] is not None:
                low, high = row[f"{name}_ci95"]
                assert low <= row[name] <= high
    assert figures(answers, 2.0)[0]["precision"] is None


def test_best_threshold_weighs_all_ways_to_ask_alike() -> None:
    answers = random_answers(1)

    def balanced(threshold: float) -> float:
        found = answers.score >= threshold
        kinds = [(answers.group == g) & (answers.present == p) for g in ("several", "one", "many") for p in (True, False)]
        return float(np.mean([(found == answers.present)[kind].mean() for kind in kinds]))

    assert balanced(best_threshold(answers)) == pytest.approx(max(map(balanced, THRESHOLDS)))
    many = answers.where(np.repeat(np.arange(len(answers.score)), np.where(answers.group == "one", 5, 1)))
    assert best_threshold(many) == best_threshold(answers)


def test_all_of_it(mini_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seediff.study.masks.capture.load_scenes", half_side)
    monkeypatch.setattr(study, "DRAWS", 20)
    out = tmp_path / "out"
    result = run_presence(4, out, model=str(mini_folder), tune_scenes=2, json_path=tmp_path / "p.json", device="cpu")
    assert {p.name for p in out.iterdir()} == {"results.md", "results.csv", "results.json"}
    assert json.loads((tmp_path / "p.json").read_text()) == json.loads((out / "results.json").read_text()) == result
    several, one, many = result["default"]["groups"][:3]
    assert several["pairs"] == sum(len(questions(s.classes, CLASSES, i, 1)[0][1]) for i, s in enumerate(half_side("truth", 4)))
    assert (one["pairs"], many["pairs"]) == (8, 4 * len(CLASSES))
    with (out / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 14
    assert "| several |" in (out / "results.md").read_text()
    study.show(result, out)


def test_mistakes_are_answered(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="scenes = 5000"):
        run_presence(5000, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r".*file: cannot be written to"):
        run_presence(2, tmp_path / "file")
