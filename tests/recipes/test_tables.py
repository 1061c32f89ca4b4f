"""The program that makes the papers' tables: it reads every table, runs small, is stopped, and goes on."""

import json
import shutil

import pytest

from recipes.mini.world import write_scene_set
from recipes.tables import trained
from recipes.tables.__main__ import app
from recipes.tables.definition import FOLDER, HeldOut, Row, Source, Table
from recipes.tables.results import write_table
from recipes.tables.sources import Places, once
from recipes.tables.trained import open_kept, run_table
from seediff.cli.main import main

pytestmark = pytest.mark.slow

SETTINGS = {"backbone": "tiny", "batch_size": 2, "epochs": 1}
DATA = {"some": Source(folder="scenes", count=4), "more": Source(folder="scenes", skip=4, count=2)}
TESTS = {"held_out": HeldOut(scenes="tune", count=2)}
ROWS = (Row("plain", ("some",), tests=("held_out",)), Row("tuned", ("some",), then=("more",), tests=("held_out",)))
SMALL = Table("Small", ROWS, DATA, TESTS, train=SETTINGS, name="small")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_scene_set(folder / "scenes", "tune", count=8)
    return Places(folder / "work", {"scenes": folder / "scenes"})


def test_a_table_is_made_once_and_goes_on(places, tmp_path, monkeypatch):
    result = run_table(SMALL, places, seeds=(0,))
    assert [row["name"] for row in result["rows"]] == ["plain", "tuned"]
    assert all(0 <= row["tests"]["held_out"][0]["miou"] <= 1 for row in result["rows"])
    assert len(list((places.work / "segmenters").iterdir())) == 2  # the tuned one goes on from the plain one

    monkeypatch.setattr(trained, "train_one", None)
    assert json.dumps(run_table(SMALL, places, seeds=(0,))) == json.dumps(result)

    # Where the work folder is gone and the data has moved, the table's results are enough.
    write_table(tmp_path / "studies", result)
    moved = Places(tmp_path / "work", {"scenes": tmp_path / "moved"})
    shutil.copytree(places.folders["scenes"], moved.folders["scenes"])
    kept = open_kept(moved.work, [tmp_path / "studies"])
    assert json.dumps(run_table(SMALL, moved, seeds=(0,), kept=kept)) == json.dumps(result)

    # Of other data they are not taken.
    image = moved.folders["scenes"] / "images" / "000000.png"
    image.write_bytes(image.read_bytes() + b" ")
    once.cache_clear()
    with pytest.raises(TypeError, match="NoneType"):  # it would be trained
        run_table(SMALL, moved, seeds=(0,), kept=kept)


def test_every_table_of_the_paper_is_there_at_both_scales(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {
        world: {path.stem for path in (FOLDER / world).glob("*.toml") if not path.stem.startswith("set")}
        for world in ("embedded", "full")
    }
    assert names["embedded"] - names["full"] == {"photographs"}
    assert names["full"] < names["embedded"]
    for name in sorted(names["full"]):
        assert main(f"{name} --world full --dry-run".split(), app) == 0
        _, *lines = capsys.readouterr().out.splitlines()
        assert {line.split()[0] for line in lines} == {"draw", "train"}
    assert list(tmp_path.iterdir()) == []
