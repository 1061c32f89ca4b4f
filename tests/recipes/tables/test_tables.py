"""Tables as files: every packaged one can be read, and what is wrong in one is told in a line."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from recipes.tables.definition import FOLDER, Source, _check_names, packaged, read_table
from recipes.tables.trained import training_of
from seediff.errors import UserError

EMBEDDED_ALONE = {"photographs", "gap"}
EVERY = sorted(path for path in FOLDER.glob("*/*.toml") if not path.stem.startswith("set"))


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_packaged_table(path):
    table = read_table(path)
    for row in table.rows:
        training = training_of(row, table, seed=0)
        assert training.config.seed == 0
        assert (training.base is not None) == bool(row.then)
        assert row.tests


def test_every_table_of_the_paper_is_there_at_both_scales():
    embedded, full = ({path.stem for path in EVERY if path.parent.name == world} for world in ("embedded", "full"))
    assert embedded - full == EMBEDDED_ALONE
    assert full <= embedded


def test_the_two_scales_have_the_papers_figures_in_common():
    for name in ("ablation", "resolution", "strategy", "pamr"):
        small, full = (read_table(packaged(name, world)) for world in ("embedded", "full"))
        assert [row.paper for row in small.rows] == [row.paper for row in full.rows]


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


@pytest.fixture
def write(tmp_path):
    def write(text):
        shutil.copy(FOLDER / "embedded" / "set.toml", tmp_path)
        path = tmp_path / "table.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "A table"', "title = 5", "title must be a text"),
        ('title = "A table"', 'title = "A table"\nmetrics = "miou"', "metrics must be a list"),
        ('title = "A table"', 'title = "A table"\nmetrics = [1]', "metrics[0] must be a text"),
        ('title = "A table"', 'title = "A table"\nsets = 3', "sets must be a table"),
        ('title = "A table"', 'title = "A table"\nsets.few = 3', "sets[...] must be a text or a table"),
        ('title = "A table"', 'title = "A table"\nsets.few = { objects = [1] }', "[sets.few]: 'file' is missing; it must be a text"),
        (
            'title = "A table"',
            'title = "A table"\nsets.few = { file = "set.toml", labels = ["caa", {}] }',
            "[sets.few]: labels = ['caa', {}] must be a list of names of ",
        ),
        (
            'title = "A table"',
            'title = "A table"\nsets.few = { file = "set.toml", objects = [99] }',
            "[sets.few]: objects: (99,) must be",
        ),
        (
            'title = "A table"',
            'title = "A table"\nsets.few = { file = "set.toml", guidance_scale = -1 }',
            "[sets.few]: guidance_scale: -1 must be a number of at least 0",
        ),
        ('title = "A table"', f'title = "A table"\nsets.few = {{ file = "set.toml", images = {10**14} }}', "at most 10000000 a set"),
        ('title = "A table"', 'title = "A table"\nsets.few = { file = "set.toml", step = 1 }', "there is no option 'step'"),
        ('train = ["exact"]', "train = []", "row 1: train = []: name the data"),
        ('train = ["exact"]', 'train = ["exact"]\npaper = { miou = "high" }', "miou = 'high' must be a number"),
        ("count = 100", 'count = 100, augment = "spice"', "add: 'spice' must be one of diffumask"),
        ("count = 10 }", 'count = 10, set = "main", labels = "ca" }', "name one of set, scenes and folder"),
        ('scenes = "truth", count = 10', 'set = "main", labels = "ca"', "a test is of scenes or of a folder"),
        ('scenes = "train", count = 100', 'folder = "voc", without = ["dog"]', "without: is for drawn sets and scenes"),
        ("count = 100", 'count = 100, augment = "spice:5%"', "there is no operation 'spice'"),
        ("count = 100", 'count = 100, augment = "flip:5%,noise:x"', "add: 'noise:x' must say how many"),
        ('title = "A table"', "", "must have title"),
        ('train = ["exact"]', 'train = ["exakt"]', "there is no data 'exakt'; there are: exact"),
        ('train = ["exact"]', "", "row 1: 'train' is missing"),
        ('scenes = "train"', 'scenes = "train", folder = "x"', "name one of set, scenes and folder"),
        ('scenes = "train"', 'set = "main"', "set and labels belong together"),
        ('scenes = "train"', 'folder = "x", masks = "yardstick"', "masks: is for drawn sets and scenes"),
        ("count = 10 }", 'count = 10, only = ["dog"] }', "only: is for data to train on"),
        ("count = 10 }", 'count = 10, masks = "yardstick" }', "masks: is for data to train on"),
        ("count = 100", "count = 0", "must be at least 1"),
        ("count = 100", "cuont = 100", "there is no option 'cuont'"),
        ('train = ["exact"]', 'train = ["exact"]\ntests = ["other"]', "there is no test 'other'"),
        ("[train]", "[trian]", "unknown field trian"),
    ],
)
def test_what_is_wrong_is_told(write, old, new, message):
    assert old in PLAIN
    with pytest.raises(UserError, match=r"table\.toml") as error:
        read_table(write(PLAIN.replace(old, new)))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_reference_is_a_row(write):
    assert read_table(write('reference = "exact"\n' + PLAIN)).reference == "exact"
    with pytest.raises(UserError, match="reference = 'exactly': there is no row of that name"):
        read_table(write('reference = "exactly"\n' + PLAIN))


def test_rows_of_one_name(write):
    with pytest.raises(UserError, match="two rows are called 'exact'"):
        read_table(write(PLAIN + '[[rows]]\nname = "exact"\ntrain = ["exact"]\n'))


def test_training_options_are_checked(write):
    table = read_table(write(PLAIN.replace('backbone = "tiny"', "batch = 3")))
    with pytest.raises(UserError, match=r"row 'exact'.*no option 'batch'"):
        training_of(table.rows[0], table, seed=0)


def test_scaled_and_only_rows(write):
    table = read_table(write(PLAIN))
    assert table.scaled(0.1).data["exact"].count == 10
    assert table.scaled(0.001).data["exact"].count == 2
    assert table.tests["held_out"].count == 10
    assert table.only_rows(("exact",)).rows == table.rows
    with pytest.raises(UserError, match="no such row; there are: exact"):
        table.only_rows(("inexact",))


def test_a_set_may_be_another_one_with_changes(write):
    others = 'sets.main = "set.toml"\nsets.few = { file = "set.toml", objects = [1], guidance_scale = 1, labels = ["caa"] }'
    sets = read_table(write(PLAIN.replace('title = "A table"', f'title = "A table"\n{others}'))).sets
    few, main = sets["few"], sets["main"]
    assert (few.objects, few.guidance_scale, list(few.labels)) == ((1,), 1.0, ["caa"])
    assert replace(few, objects=main.objects, guidance_scale=main.guidance_scale, labels=main.labels) == main


def test_a_change_that_no_set_takes_is_told_where_it_stands(write):
    for change, message in {"capture_steps = 0": "capture_steps: 0 must be ", "capture_steps = 'late'": "capture_steps: "}.items():
        path = write(PLAIN.replace('title = "A table"', f'title = "A table"\nsets.later = {{ file = "set.toml", {change} }}'))
        with pytest.raises(UserError, match=rf"\[sets\.later\]:? ?.*{message}"):
            read_table(path)


def test_sets_are_scaled_as_what_is_taken_of_them():
    table = read_table(packaged("strategy", "embedded"))
    scaled = table.scaled(0.01)
    assert scaled.sets["main"].images == scaled.data["ca"].count == 10
    with pytest.raises(UserError, match="count = 2000, skip = 0, but set 'main' has 1000 images"):
        _check_names(replace(table, data={**table.data, "ca": replace(table.data["ca"], count=2000)}), Path("t"))


def test_a_row_may_name_its_own_training(write):
    table = read_table(write(PLAIN + 'settings = { epochs = 3, learning_rate = 0.01 }\nthen = ["exact"]\nthen_settings = { epochs = 1 }\n'))
    training = training_of(table.rows[0], table, seed=7)
    assert (training.epochs, training.config.learning_rate, training.config.seed) == (1.0, 0.01, 7)
    assert training.base is not None
    assert training.base.epochs == 3.0


def test_how_long_is_trained_is_said_once(write):
    table = read_table(write(PLAIN.replace('backbone = "tiny"', 'backbone = "tiny"\nsteps = 50')))
    row = table.rows[0]
    assert (training_of(row, table, 0).steps, training_of(row, table, 0).epochs) == (50, None)
    changes = (
        ({"steps": 1, "epochs": 1}, "both"),
        ({"steps": 0}, "steps = 0"),
        ({"steps": 1.5}, "steps = 1.5"),
        ({"epochs": 0.0}, "above 0"),
    )
    for settings, message in changes:
        with pytest.raises(UserError, match=message):
            training_of(replace(row, settings=settings), table, 0)


def test_a_source_is_one_place():
    with pytest.raises(UserError):
        Source()
    assert Source(folder="voc").folder == "voc"
