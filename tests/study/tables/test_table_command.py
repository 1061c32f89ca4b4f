import inspect
import re

import pytest
from cyclopts import App

from seediff.cli.study_options import Options
from seediff.cli.study_table_run import chosen_table, parse_seeds, run
from seediff.cli.study_tables import TABLES, register
from seediff.errors import UserError
from seediff.study.tables.trained import training_of


@pytest.mark.parametrize("world", ["embedded", "full"])
def test_epochs_are_of_every_training_but_fine_tuning_with_its_own(world):
    """What the option's help says, of the packaged table that fine-tunes."""
    table = chosen_table("main", Options(world=world, epochs=3))
    tuned = [row for row in table.rows if row.then]
    assert tuned
    assert all({"epochs", "steps"} & set(row.then_settings) for row in tuned)
    for row in table.rows:
        training = training_of(row, table, 0, {"epochs": 3})
        first = training.base or training
        assert (first.epochs, first.steps) == (3.0, None)
        if training.base:
            assert (training.epochs, training.steps) == (row.then_settings.get("epochs"), row.then_settings.get("steps"))


def test_help_says_what_epochs_change(capsys):
    app = App(name="study")
    register(app)
    app(["main", "--help"], exit_on_error=False, result_action="return_value")
    shown = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    assert "Epochs of every row's training, instead of the table's; fine-tuning keeps what the table says in then_settings." in shown


def test_every_table_is_a_command():
    app = App(name="study")
    register(app)
    for name, what in TABLES.items():
        assert what in inspect.getdoc(app[name].default_command)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0.0}, r"table main, row '.*': epochs = 0.0 must be a number above 0"),
        ({"scale": 0.0}, "--scale 0.0: must be a share"),
        ({"seeds": "0,one"}, "--seeds 0,one: write whole numbers"),
        ({"rows": ("none",)}, "--rows none: the table has no such row"),
        ({"data": ("voc",)}, "--data voc: write NAME=FOLDER"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        run("main", Options(out=tmp_path / "out", work=tmp_path / "work", tflops=1.0, dry_run=True, **options))
    assert list(tmp_path.iterdir()) == []


def test_seeds():
    assert parse_seeds("0,2") == (0, 2)
