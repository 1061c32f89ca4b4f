"""The program that makes the papers' tables: it reads every table, runs small, is stopped, and goes on."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from recipes.mini.world import write_scene_set
from recipes.studies.settings import PAPER
from recipes.tables import trained
from recipes.tables.__main__ import app
from recipes.tables.definition import FOLDER, TRIAL, HeldOut, Row, Source, Table, read_table
from recipes.tables.drawn import SetConfig, draw_set, labelled, set_specs
from recipes.tables.results import write_table
from recipes.tables.sources import Places, described, once, open_test
from recipes.tables.trained import open_kept, run_table, training_digest, training_of
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


def test_what_decides_a_segmenter_decides_its_key(places):
    row = SMALL.rows[0]

    def key(table=SMALL, row=row, seed=0):
        return training_digest(training_of(row, table, seed), row, table, places)

    def with_train(**changes):
        return structs.replace(SMALL, train={**SETTINGS, **changes})

    other = structs.replace(SMALL, data={**DATA, "some": Source(folder="scenes", count=3)})
    changed = [
        key(seed=1),
        key(other),
        key(with_train(epochs=2)),
        key(with_train(learning_rate=0.01)),
        key(row=ROWS[1]),
    ]
    assert len({key(), *changed}) == 6
    # Where it is measured, and what the row is called, decide nothing.
    assert key(row=structs.replace(row, name="other", tests=())) == key()


def test_a_set_is_drawn_once_and_labelled_in_every_way(tmp_path):
    labels = {"ca": PAPER["ca"].table(), "seediff": PAPER["seediff"].table()}
    small = {"steps": 1, "guidance_scale": 1.0, "batch_size": 2, "threads": 1, "labels": labels}
    config, out = SetConfig(("dog", "cat", "bus"), images=3, objects=(1, 2), **small), tmp_path / "set"
    draw_set(config, out)
    classes, items = labelled(out, "seediff")
    assert [item.source for item in labelled(out, "ca", 2)[1]] == [item.source for item in items[:2]]
    for item in items:
        assert {*item.label_map.ravel()} <= {0, *(classes.index(name) + 1 for name in item.metadata["classes"])}
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    draw_set(config, out)  # finished: nothing is drawn again
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    specs = set_specs(replace(config, images=60))
    assert set_specs(replace(config, images=20)) == specs[:20]
    assert set(Counter(spec.classes for spec in specs if len(spec.classes) == 1).values()) == {10}


def test_a_trial_is_small_in_all_parts_and_says_so(places, tmp_path):
    half = SMALL.scaled(0.5)
    assert half.title == "Trial at a scale of 0.5: Small"
    held_out = structs.replace(TESTS["held_out"], count=8)
    assert len(open_test(held_out, places)) == 8
    assert len(open_test(held_out.scaled(0.5), places)) == 4
    # Its figures are stored under keys of their own, and no page has them.
    assert described(held_out.scaled(0.5), {}, places) != described(held_out, {}, places)
    result = {"title": half.title, "paper": "", "note": "", "metrics": [], "rows": [], "train": {}, "seeds": []}
    write_table(tmp_path, {**result, "version": ""})
    assert (tmp_path / "results.md").read_text().startswith(f"# {TRIAL} 0.5")
    published = sorted((Path(__file__).parents[2] / "docs/studies").glob("*/results.json"))
    assert published
    assert [path for path in published if TRIAL in path.read_text(encoding="utf-8")] == []


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


PLAIN = """
title = "A table"
[data]
exact = { scenes = "train", count = 100 }
[test]
held_out = { scenes = "truth", count = 10 }
[train]
backbone = "tiny"
[[rows]]
name = "exact"
train = ["exact"]
"""
TITLE = 'title = "A table"'


@pytest.fixture
def write(tmp_path):
    def write(text):
        shutil.copy(FOLDER / "embedded" / "set.toml", tmp_path)
        (tmp_path / "table.toml").write_text(text)
        return tmp_path / "table.toml"

    return write


def test_a_row_and_a_set_may_differ_from_the_others(write):
    more = 'settings = { epochs = 3, learning_rate = 0.01 }\nthen = ["exact"]\nthen_settings = { epochs = 1 }\n'
    few = 'sets.few = { file = "set.toml", objects = [1], labels = ["caa"] }'
    table = read_table(write(PLAIN.replace(TITLE, f"{TITLE}\n{few}") + more))
    assert (table.sets["few"].objects, list(table.sets["few"].labels)) == ((1,), ["caa"])
    training = training_of(table.rows[0], table, seed=7)
    assert (training.epochs, training.config.learning_rate, training.config.seed) == (1.0, 0.01, 7)
    assert training.base.epochs == 3.0
