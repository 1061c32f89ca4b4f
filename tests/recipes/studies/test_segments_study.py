import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from recipes.mini.sets import load_set
from recipes.studies import pairs as of_pairs
from recipes.studies import segments
from recipes.studies.__main__ import app
from recipes.studies.floors import FLOORS
from recipes.studies.pairs import folder_pairs, scene_pairs
from recipes.studies.segments import PAPER, Colours, constants, read_best, try_ways
from seediff.cli.commands import main
from seediff.config.constants import SegmentConfig
from seediff.errors import UserError


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
    halved = lambda name, count: [  # noqa: E731
        replace(scene, image=scene.image[::2, ::2], label_map=scene.label_map[::2, ::2])
        for scene in load_set(name, count)
    ]
    monkeypatch.setattr(of_pairs, "load_set", halved)


def test_photographs_are_cut_to_their_centred_squares(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a", (40, 60)), ("b", (50, 30)), ("lonely", (20, 20))):
        Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)).save(tmp_path / f"{name}.jpg")
        (tmp_path / "labels").mkdir(exist_ok=True)
        if name != "lonely":
            Image.fromarray(rng.integers(0, 4, size, np.uint8)).save(tmp_path / "labels" / f"{name}.png")
    pairs = folder_pairs(tmp_path, tmp_path / "labels")
    loaded = [load() for load in pairs.load]
    assert (
        [image.shape[:2] for image, _ in loaded] == [label_map.shape for _, label_map in loaded] == [(40, 40), (30, 30)]
    )
    Image.fromarray(rng.integers(0, 4, (9, 9), np.uint8)).save(tmp_path / "labels" / "a.png")
    with pytest.raises(UserError, match=r"a\.jpg: \(40, 60\), but its label map is \(9, 9\)"):
        pairs.load[0]()


def test_the_study_end_to_end(mini_folder, tmp_path, few_ways, capsys):
    line = ["segments", "--scenes", "3", "--model", str(mini_folder), "--device", "cpu", "--out", str(tmp_path / "a")]
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


def test_published_constants_are_read():
    from recipes.renew import ROOT

    best = read_best(ROOT / "docs" / "segments.json")
    assert {name: type(way) for name, way in best.items()} == {name: type(way) for name, way in PAPER.items()}


def test_k_means_is_told_the_truth(mini_model, few_ways):
    pairs = scene_pairs("tune", 3)
    found = try_ways(
        mini_model,
        pairs,
        {"s": SegmentConfig(method="kmeans", k="truth"), "colours": Colours("truth")},
        about="",
        seed=0,
    )
    exact = [len(np.unique(load()[1])) for load in pairs.load]
    assert all(s <= e for s, e in zip(found["s"].segments, exact, strict=True))
    assert [len(one.pictures) for one in found.values()] == [3, 3]
