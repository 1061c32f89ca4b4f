import json
from dataclasses import replace

import pytest
from tiny_recipe import halved

from recipes.mini.sets import load_set
from recipes.studies import pairs as of_pairs
from recipes.studies import segments
from recipes.studies.__main__ import app
from recipes.studies.floors import FLOORS
from recipes.studies.segments import PAPER, constants, read_best
from seediff.cli.main import main
from seediff.config.constants import SegmentConfig


@pytest.fixture
def few_ways(monkeypatch):
    """The study's grid, but two ways per method, on scenes of half the side."""
    changes = {
        "diffseg": {"kl_threshold": 0.45},
        "kmeans-c": {"k": 3},
        "kmeans-s": {"weights": (0.0, 1.0)},
        "diffcut": {"cut_threshold": 0.3},
    }
    grid = {
        name: [way, replace(way, **changes.get(name.partition("+")[0], {}))]
        if isinstance(way, SegmentConfig)
        else [way]
        for name, way in PAPER.items()
    }
    monkeypatch.setattr(segments, "grid", lambda: grid)
    monkeypatch.setattr(of_pairs, "load_set", lambda name, count: halved(load_set(name, count)))


def test_the_study_end_to_end(mini_folder, tmp_path, few_ways, capsys):
    line = f"segments --scenes 3 --model {mini_folder} --device cpu --out {tmp_path}/a".split()
    assert main([*line, "--tune-scenes", "2"], app) == 0
    result = json.loads((tmp_path / "a" / "results.json").read_text())
    assert set(result["paper"]) == set(result["best"]) == set(PAPER)
    one, colours = result["floors"]["one"], result["best"]["colour-c"]
    for name, floors in result["ahead"]["best"].items():
        row = result["best"][name]
        assert list(floors) == [*FLOORS, "colour-c", "colour-s"]
        assert floors["grid"]["segments"] == pytest.approx(row["segments"], abs=0.006)
        for floor, its in (("one", one), ("colour-c", colours)):
            assert floors[floor]["ahead"]["miou"] == pytest.approx(row["miou"] - its["miou"], abs=2e-4)
            assert floors[floor]["ahead"]["acc"] == pytest.approx(row["acc"] - its["acc"], abs=2e-4)
    assert "### At the papers' constants: mIoU above each floor's" in (tmp_path / "a" / "results.md").read_text()
    assert (tmp_path / "a" / "segments.jpg").stat().st_size > 1000
    best = read_best(tmp_path / "a" / "results.json")
    assert json.loads(json.dumps({name: constants(way) for name, way in best.items()})) == {
        name: row["constants"] for name, row in result["best"].items()
    }
    again = [*line[:-1], str(tmp_path / "b"), "--constants", str(tmp_path / "a" / "results.json")]
    assert main(again, app) == 0
    assert json.loads((tmp_path / "b" / "results.json").read_text())["best"] == result["best"]
    (tmp_path / "a" / "results.json").write_text("{}")
    assert main(again, app) == 2
    assert "has no best constants" in capsys.readouterr().err
