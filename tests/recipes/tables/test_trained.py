import json
import shutil
from dataclasses import replace

import pytest

from recipes.mini.world import write_scene_set
from recipes.tables import sources, trained
from recipes.tables.definition import HeldOut, Row, Source, Table
from recipes.tables.results import write_table
from recipes.tables.sources import Places, joined
from recipes.tables.stored_results import open_kept
from recipes.tables.trained import run_table, training_digest, training_of
from seediff.dataset.native import open_native

SETTINGS = {"backbone": "tiny", "batch_size": 2, "epochs": 1}


def small_table(**changes):
    data = {"some": Source(folder="scenes", count=4), "more": Source(folder="scenes", skip=4, count=2)}
    tests = {
        "held_out": HeldOut(scenes="tune", count=2),
        "people": HeldOut(scenes="tune", count=40, protocol="cityscapes-human-vehicle"),
    }
    rows = (Row("plain", ("some",), tests=("held_out",)), Row("tuned", ("some",), then=("more",), tests=("held_out",)))
    return replace(Table("small", "Small", rows, data, tests, {}, SETTINGS), **changes)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_scene_set(folder / "scenes", "tune", count=8)
    return Places(folder / "work", {"scenes": folder / "scenes"})


def test_a_table_is_made_once_and_goes_on(places, tmp_path, monkeypatch):
    said = []

    def watch(what):
        said.append(what)
        return lambda done, total, now: None

    result = run_table(small_table(), places, seeds=(0,), watch=watch)
    assert [row["name"] for row in result["rows"]] == ["plain", "tuned"]
    for row in result["rows"]:
        (scores,) = row["tests"]["held_out"]
        assert 0 <= scores["miou"] <= 1
        assert row["seconds"][0] > 0
    assert sum("training" in what for what in said) == 2  # the tuned one goes on from the plain one
    assert len(list((places.work / "segmenters").iterdir())) == 2

    monkeypatch.setattr(trained, "train_one", None)
    again = run_table(small_table(), places, seeds=(0,))
    assert json.dumps(again) == json.dumps(result)

    # Where the work folder is gone and the data has moved, the table's results are enough.
    write_table(tmp_path / "studies", result)
    moved = Places(tmp_path / "work", {"scenes": tmp_path / "moved"})
    shutil.copytree(places.folders["scenes"], moved.folders["scenes"])
    kept = open_kept(moved.work, [tmp_path / "studies"])
    assert json.dumps(run_table(small_table(), moved, seeds=(0,), kept=kept)) == json.dumps(result)
    assert not (moved.work / "segmenters").exists()

    # Of other data they are not taken.
    image = moved.folders["scenes"] / "images" / "000000.png"
    image.write_bytes(image.read_bytes() + b" ")
    with pytest.raises(TypeError, match="NoneType"):  # it would be trained
        run_table(small_table(), replace(moved, known={}), seeds=(0,), kept=kept)


def test_what_decides_a_segmenter_decides_its_folder(places):
    table = small_table()
    row = table.rows[0]

    def key(table, row=row, seed=0):
        return training_digest(training_of(row, table, seed), row, table, places)

    assert key(table) == key(small_table())
    other = {**table.data, "some": Source(folder="scenes", count=3)}
    changed = [
        key(table, seed=1),
        key(replace(table, data=other)),
        key(replace(table, train={**SETTINGS, "epochs": 2})),
        key(replace(table, train={**SETTINGS, "learning_rate": 0.01})),
        key(table, table.rows[1]),
    ]
    assert len({key(table), *changed}) == 6
    # So does what it begins with.
    begun = {**SETTINGS, "weights": str(places.work)}
    places.work.mkdir(exist_ok=True)
    before = key(replace(table, train=begun))
    (places.work / "config.json").write_text("{}")
    places.known.clear()
    assert key(replace(table, train=begun)) != before
    (places.work / "config.json").unlink()
    # Where it is measured, and what the row is called, decide nothing.
    assert key(table, replace(row, name="other", tests=("people",))) == key(table)


def test_sources_are_joined_by_the_names_of_their_classes(places):
    classes, items = open_native(places.folders["scenes"])
    turned = tuple(reversed(classes))
    part = sources.Samples(classes, items[:1])
    both = joined([part], turned)
    assert both.classes == turned
    before, after = items[0].label_map, both.items[0].label_map
    for number, name in enumerate(classes, 1):
        assert ((before == number) == (after == turned.index(name) + 1)).all()
    assert ((before == 0) == (after == 0)).all()
