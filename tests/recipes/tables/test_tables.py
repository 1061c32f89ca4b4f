import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from refusals import user_error

from recipes.tables.definition import FOLDER, _check_names, packaged, read_table
from recipes.tables.trained import training_of

EMBEDDED_ALONE = {"photographs"}
EVERY = sorted(path for path in FOLDER.glob("*/*.toml") if not path.stem.startswith("set"))


def test_every_table_of_the_paper_is_there_at_both_scales():
    embedded, full = ({path.stem for path in EVERY if path.parent.name == world} for world in ("embedded", "full"))
    assert embedded - full == EMBEDDED_ALONE
    assert full <= embedded


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


def test_a_set_may_be_another_one_with_changes(write):
    others = (
        'sets.main = "set.toml"\nsets.few = { file = "set.toml", objects = [1], guidance_scale = 1, labels = ["caa"] }'
    )
    sets = read_table(write(PLAIN.replace('title = "A table"', f'title = "A table"\n{others}'))).sets
    few, main = sets["few"], sets["main"]
    assert (few.objects, few.guidance_scale, list(few.labels)) == ((1,), 1.0, ["caa"])
    assert replace(few, objects=main.objects, guidance_scale=main.guidance_scale, labels=main.labels) == main


def test_sets_are_scaled_as_what_is_taken_of_them():
    table = read_table(packaged("strategy", "embedded"))
    scaled = table.scaled(0.01)
    assert scaled.sets["main"].images == scaled.data["ca"].count == 10
    with user_error("takes images up to 2000, but set 'main' has 1000"):
        _check_names(replace(table, data={**table.data, "ca": replace(table.data["ca"], count=2000)}), Path("t"))


def test_a_row_may_name_its_own_training(write):
    table = read_table(
        write(
            PLAIN
            + 'settings = { epochs = 3, learning_rate = 0.01 }\nthen = ["exact"]\nthen_settings = { epochs = 1 }\n'
        )
    )
    training = training_of(table.rows[0], table, seed=7)
    assert (training.epochs, training.config.learning_rate, training.config.seed) == (1.0, 0.01, 7)
    assert training.base is not None
    assert training.base.epochs == 3.0


TITLE, TRAIN, SCENES = 'title = "A table"', 'train = ["exact"]', 'scenes = "train"'


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (TITLE, f"{TITLE}\nsets.few = {{ objects = [1] }}", "[sets.few]: 'file'"),
        (TITLE, f'{TITLE}\nsets.few = {{ file = "set.toml", step = 1 }}', "'step'"),
        (TRAIN, 'train = ["exakt"]', "'exakt'"),
        (TRAIN, f'{TRAIN}\n[[rows]]\nname = "exact"\n{TRAIN}', "two rows"),
        ("count = 100", "cuont = 100", "'cuont'"),
        ("count = 100", 'count = 100, augment = "spice"', "'spice'"),
        (SCENES, f'{SCENES}, folder = "x"', "set, scenes and folder"),
        ('scenes = "truth", count = 10', 'set = "main", labels = "ca"', "a test is of"),
    ],
)
def test_what_is_wrong_is_told(write, old, new, field):
    assert old in PLAIN
    with user_error(r"table\.toml") as error:
        read_table(write(PLAIN.replace(old, new)))
    assert field in str(error.value)
