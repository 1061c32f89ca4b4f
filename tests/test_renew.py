"""`recipes/renew.py`: what is out of date is made, once; the rest stays; a trial at a hundredth of the size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recipes import renew
from recipes.renewal import outputs as known
from recipes.renewal.pages import with_tables

ROOT = Path(__file__).parents[1]

TRIED = "study"
TRIED_ELSEWHERE = {
    "picture": "tests/test_docs.py",
    "screenshots": "tests/look/test_look_pictures.py",
    "constants": "tests/test_new_weights.py",
    "comparison": "tests/dataset/formats/test_tools.py",
    "notebook": "tests/test_notebooks.py",
    "trained table": "tests/recipes/tables/test_table_command.py",
}


def test_every_kind_is_tried():
    assert {output.kind for output in known.read_outputs()} == {TRIED, *TRIED_ELSEWHERE}


def test_a_trial_makes_what_would_be_published(tmp_path, capsys):
    before = known.RECORD.read_bytes()
    assert renew.main(["shift", "--scale", "0.01", "--work", str(tmp_path)]) == 0, capsys.readouterr().out
    (output,) = [output for output in known.read_outputs() if output.name == "shift"]
    assert output.kind == TRIED
    assert all((tmp_path / file).stat().st_size > 0 for file in output.files)
    assert known.RECORD.read_bytes() == before


def test_a_figure_depends_on_the_constants_of_the_methods_that_it_shows(tmp_path, monkeypatch):
    def now(**changes):
        methods = {"seediff": {"mask": {"beta": 0.2}}, "ca": {"mask": {"beta": 0.4}}}
        preset = {"method": "seediff", "steps": 8, "note": "", "methods": methods, **changes}
        (tmp_path / "seediff.json").write_text(json.dumps({"preset": preset}))
        monkeypatch.setattr(known, "EMBEDDED", {"mini": tmp_path})
        of = ("mini drawing", "mini preset", "mini preset ca")
        return list(known.ingredients(known.Output("one", "study", 1, of=of)).values())[1:]

    def differs(before, after):
        return [one != other for one, other in zip(before, after, strict=True)]

    plain = now()
    methods = {"seediff": {"mask": {"beta": 0.2}}, "ca": {"mask": {"beta": 0.4}}}
    assert differs(plain, now(note="why", methods=methods | {"ca_sa": {}})) == [False, False, False]
    assert differs(plain, now(steps=9)) == [True, False, False]
    assert differs(plain, now(presence=0.5)) == [False, True, False]
    assert differs(plain, now(methods=methods | {"ca": {"mask": {"beta": 0.5}}})) == [False, False, True]


TABLE = """
[first]
kind = "study"
minutes = 1
commands = ["python script.py {work}/out.json {500}"]
files = { "docs/first.json" = "out.json" }
of = ["docs/data.json"]

[second]
kind = "study"
minutes = 60
commands = ["python script.py {work}/out.json 1"]
files = { "docs/second.json" = "out.json" }
of = ["docs/first.json"]

[gone]
kind = "study"
minutes = 1
commands = []
of = []

[elsewhere]
kind = "study"
minutes = 1
commands = ["python script.py {photos}"]
of = []
needs = ["photos"]
"""
SCRIPT = """
import json, os, sys
open("runs.txt", "a").write(sys.argv[2] + " ")
if os.path.exists("broken"):
    sys.exit(3)
json.dump({"count": int(sys.argv[2]), "seconds": 1.5}, open(sys.argv[1], "w"))
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# A\n\n[first](docs/first.json)\n\n## B\n")
    (tmp_path / "docs" / "data.json").write_text('{"a": 1}')
    (tmp_path / "outputs.toml").write_text(TABLE)
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setattr(known, "ROOT", tmp_path)
    monkeypatch.setattr(known, "TABLE", tmp_path / "outputs.toml")
    monkeypatch.setattr(known, "RECORD", tmp_path / "docs" / "ingredients.json")
    return tmp_path


def runs(repository):
    return (repository / "runs.txt").read_text().split() if (repository / "runs.txt").exists() else []


def run(repository, *arguments):
    return renew.main([*arguments, "--work", str(repository / "runs")])


def test_what_is_out_of_date_is_made_once(repository, capsys):
    assert run(repository, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "first" in shown
    assert "needs photos" in shown
    assert "no command makes it any more" in shown
    assert runs(repository) == []
    assert run(repository) == 0
    assert runs(repository) == ["500", "1"]
    assert run(repository) == 0
    assert runs(repository) == ["500", "1"]  # both are current
    (repository / "docs" / "data.json").write_text('{"a": 2}')
    assert run(repository) == 0
    assert runs(repository) == [
        "500",
        "1",
        "500",
    ]  # the second is made of what the first gives, which is the same, but for the seconds


def test_what_is_made_of_something_out_of_date_is_in_the_plan(repository, capsys):
    run(repository)
    (repository / "docs" / "data.json").write_text('{"a": 2}')
    capsys.readouterr()
    run(repository, "--dry-run")
    assert f"{'second':36}out of date: docs/first.json" in capsys.readouterr().out


def test_a_run_that_failed_goes_on_with_what_is_left(repository, capsys):
    run(repository, "first")
    (repository / "broken").touch()
    assert run(repository) == 1
    assert "second: exit code 3" in capsys.readouterr().out
    assert not (repository / "docs" / "second.json").exists()
    (repository / "broken").unlink()
    assert run(repository) == 0
    assert runs(repository) == ["500", "1", "1"]


def test_a_trial_is_small_and_publishes_nothing(repository):
    assert run(repository, "first", "--scale", "0.01") == 0
    assert runs(repository) == ["5"]
    assert not (repository / "docs" / "first.json").exists()
    assert (repository / "runs" / "docs" / "first.json").exists()
    assert not known.RECORD.exists()


@pytest.mark.parametrize("arguments", [["third"], ["--scale", "0"], ["--scale", "2"]])
def test_what_cannot_be_is_refused(repository, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        run(repository, *arguments)
    assert ended.value.code == 2
    assert "renew.py: error: " in capsys.readouterr().err


def test_tables_are_pasted_below_their_headings():
    page = "## A\n\ntext\n\n| old |\n|---|\n| 1 |\n\nmore\n\n## B\n\n| kept |\n|---|\n"
    source = "# A\n\n| new |\n|---|\n| 2 |\n| 3 |\n\n# C\n\n| other |\n|---|\n"
    assert with_tables(page, source) == page.replace("| old |\n|---|\n| 1 |", "| new |\n|---|\n| 2 |\n| 3 |")
    assert with_tables(page, source, "C", "B") == page.replace("| kept |", "| other |")
    with pytest.raises(ValueError, match="no common heading"):
        with_tables(page, "# D\n\n| x |\n")
