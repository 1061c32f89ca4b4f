"""`study objects` on a few scenes: its figures, files and pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from seediff.dataset.encoding import Instances
from seediff.objects.make import ObjectConfig, ObjectMap
from seediff.study import objects as study
from seediff.study.objects import Outcome, add, ahead, run_objects


def test_the_study_of_a_few_scenes(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "GRIDS", {"pieces": [ObjectConfig()], "peaks": [ObjectConfig("peaks", edge=edge) for edge in (1.0, 2.0)]})
    monkeypatch.setattr(study, "DRAWS", 20)
    result = run_objects(2, tmp_path / "out", tune_scenes=1, json_path=tmp_path / "copy.json")
    assert json.loads((tmp_path / "copy.json").read_text()) == json.loads((tmp_path / "out" / "results.json").read_text())
    assert result["images"] == {"all": 4, "one per class": 2, "two of a class": 2, "two of a class that touch": 1, **_touching(result)}
    whole = result["exact"]["pieces"]
    assert whole["two of a class that touch"]["ap"] < whole["all"]["ap"] <= 1  # connected pieces cannot tell these apart
    low, high = result["made_ahead"]["peaks"]["all"]["ci95"]
    assert low <= high
    assert "AP, two of a class that touch (1)" in (tmp_path / "out" / "results.md").read_text()
    with Image.open(tmp_path / "out" / "objects.png") as picture:
        assert picture.width > 4 * 128


def _touching(result) -> dict[str, int]:
    return {"touching": result["images"]["touching"]}


def test_figures_of_a_scene_by_hand():
    exact = np.zeros((10, 10), np.uint16)
    exact[:4, :5], exact[:4, 5:] = 1, 2
    both = np.where(exact > 0, 1, 0).astype(np.uint16)
    perfect, pieces = Outcome(), Outcome()
    add(perfect, ObjectMap(exact, (1, 1), (0.5, 0.4)), Instances(exact, (3, 3)))
    add(pieces, ObjectMap(both, (1,), (0.5,)), Instances(exact, (3, 3)))
    assert perfect.figures([0]) == {"ap": 1, "ap50": 1, "ap75": 1, "ar100": 1, "pq": 1}
    # Of two objects of 20 pixels the one of 40 is exactly half each, enough for AP50, not for PQ.
    assert pieces.figures([0])["ap50"] == pytest.approx(51 / 101, abs=1e-4)
    assert pieces.figures([0])["pq"] == 0
    assert ahead(perfect, pieces, [0])["ci95"] == [ahead(perfect, pieces, [0])["ap"]] * 2
