import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from small_scenes import half_side

from seediff.cli import main
from seediff.config.constants import SegmentConfig
from seediff.errors import UserError
from seediff.evaluate.floors import FLOORS
from seediff.study.segments import contest as segment_contest
from seediff.study.segments import scores
from seediff.study.segments.contest import PAPER, constants, read_best
from seediff.study.segments.scores import Floor, Outcome, chosen_pairs, folder_pairs, scene_pairs, try_ways


@pytest.fixture
def few_ways(monkeypatch):
    """The studies' grids, but two ways per method, on scenes of half the side."""
    monkeypatch.setattr(scores, "load_scenes", half_side)
    grid = {
        name: [way, way if isinstance(way, Floor) else replace(way, **change)]
        for name, way, change in (
            ("diffseg", PAPER["diffseg"], {"kl_threshold": 0.45}),
            ("diffseg+kmeans", PAPER["diffseg+kmeans"], {"kl_threshold": 0.45}),
            ("kmeans-c", PAPER["kmeans-c"], {"k": 3}),
            ("kmeans-s", PAPER["kmeans-s"], {"weights": (0.0, 1.0)}),
            ("diffcut", PAPER["diffcut"], {"cut_threshold": 0.3}),
            ("diffcut+pamr", PAPER["diffcut+pamr"], {"cut_threshold": 0.3}),
            ("colour-c", PAPER["colour-c"], {}),
            ("colour-s", PAPER["colour-s"], {}),
        )
    }
    monkeypatch.setattr(segment_contest, "grid", lambda: grid)


def test_scenes_with_background_and_exact_ids():
    pairs = scene_pairs("tune", 3)
    image, label_map = next(iter(pairs))
    assert len(pairs) == 3
    assert image.shape == (128, 128, 3)
    assert label_map.min() == 0
    assert label_map.max() < pairs.classes == 21


def test_photographs_are_cut_to_their_centred_squares(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a", (40, 60)), ("b", (50, 30)), ("lonely", (20, 20))):
        Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)).save(tmp_path / f"{name}.jpg")
        (tmp_path / "labels").mkdir(exist_ok=True)
        if name != "lonely":
            Image.fromarray(rng.integers(0, 4, size, np.uint8)).save(tmp_path / "labels" / f"{name}.png")
    pairs = folder_pairs(tmp_path, tmp_path / "labels", num_classes=4)
    assert [image.shape[:2] for image, _ in pairs] == [label_map.shape for _, label_map in pairs] == [(40, 40), (30, 30)]
    Image.fromarray(rng.integers(0, 4, (9, 9), np.uint8)).save(tmp_path / "labels" / "a.png")
    with pytest.raises(UserError, match=r"a\.jpg: \(40, 60\), but its label map is \(9, 9\)"):
        next(iter(pairs))
    with pytest.raises(UserError, match="--labels is missing"):
        chosen_pairs(tmp_path, None, None, "truth", 3)


def test_a_way_does_as_well_as_it_is_right():
    """Against exact label maps: all right is 1, one segment gets the largest class only."""
    from seediff.metrics.matching import contingency, match, tally

    exact = (np.arange(64).reshape(8, 8) // 32).astype(np.int32)
    right, one = Outcome(), Outcome()
    for found, tested in ((exact, right), (exact * 0, one)):
        table = contingency(found, exact, 3)
        tested.tallies.append(tally(table, match([table])))
        tested.segments.append(int(found.max()) + 1)
    assert (right.figures()["acc"], right.figures()["miou"], right.figures()["segments"]) == (1, 1, 2)
    assert one.figures()["acc"] == 0.5
    assert one.miou() == pytest.approx(0.25)  # half of the union for one class, nothing for the other


def test_the_contest_end_to_end(mini_folder, tmp_path, few_ways, capsys):
    model = ["--model", str(mini_folder), "--device", "cpu"]
    line = ["study", "segments", "--scenes", "3", "--tune-scenes", "2", *model, "--out", str(tmp_path / "a")]
    assert main([*line, "--json", str(tmp_path / "j.json")]) == 0
    result = json.loads((tmp_path / "j.json").read_text())
    assert result == json.loads((tmp_path / "a" / "results.json").read_text())
    assert set(result["paper"]) == set(result["best"]) == set(PAPER)
    assert "mIoU" in capsys.readouterr().out
    one, colours = result["floors"]["one"], result["best"]["colour-c"]
    for name, row in result["best"].items():
        if name.startswith("colour"):
            continue
        floors = result["ahead"]["best"][name]
        assert list(floors) == [*FLOORS, "colour-c", "colour-s"]
        assert floors["grid"]["segments"] == pytest.approx(row["segments"], abs=0.006)
        for floor, its in (("one", one), ("colour-c", colours)):
            assert floors[floor]["ahead"]["miou"] == pytest.approx(row["miou"] - its["miou"], abs=2e-4)
            assert floors[floor]["ahead"]["acc"] == pytest.approx(row["acc"] - its["acc"], abs=2e-4)
    table = (tmp_path / "a" / "results.md").read_text()
    assert "### At the papers' constants: mIoU above each floor's" in table
    assert len((tmp_path / "a" / "floors.csv").read_text().splitlines()) == 1 + 2 * 6 * (len(FLOORS) + 2)
    best = read_best(tmp_path / "j.json")
    assert {name: constants(way) for name, way in best.items()} == {name: row["constants"] for name, row in result["best"].items()}
    assert len((tmp_path / "a" / "tuning.csv").read_text().splitlines()) == 1 + 2 * len(PAPER)
    again = ["study", "segments", "--scenes", "3", "--constants", str(tmp_path / "j.json"), *model, "--out", str(tmp_path / "b")]
    assert main(again) == 0
    repeated = json.loads((tmp_path / "b" / "results.json").read_text())["best"]
    assert repeated == result["best"]
    assert not (tmp_path / "b" / "tuning.csv").exists()
    (tmp_path / "j.json").write_text("{}")
    assert main(again) == 2
    assert "must have best" in capsys.readouterr().err


def test_k_means_is_told_the_truth(mini_model, few_ways):
    ways = {"s": SegmentConfig(method="kmeans", k="truth"), "floor": Floor("truth")}
    found = try_ways(mini_model, scene_pairs("tune", 3), ways, about="", pictures=2)
    exact = [len(np.unique(label_map)) for _, label_map in scene_pairs("tune", 3)]
    assert all(s <= e for s, e in zip(found["s"].segments, exact, strict=True))
    assert [len(one.pictures) for one in found.values()] == [2, 2]
