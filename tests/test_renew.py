import json

import pytest

from recipes import renew


def test_a_figure_depends_on_the_constants_of_the_methods_that_it_shows(tmp_path, monkeypatch):
    def now(**changes):
        methods = {"seediff": {"mask": {"beta": 0.2}}, "ca": {"mask": {"beta": 0.4}}}
        preset = {"method": "seediff", "steps": 8, "note": "", "methods": methods, **changes}
        (tmp_path / "seediff.json").write_text(json.dumps({"preset": preset}))
        monkeypatch.setattr(renew, "EMBEDDED", {"mini": tmp_path})
        of = ("mini drawing", "mini preset", "mini preset ca")
        return list(renew.ingredients(renew.Output("one", "study", 1, of=of)).values())[1:]

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
commands = ["python script.py {work}/out.json 500"]
files = { "docs/first.json" = "out.json" }
of = ["docs/data.json"]

[second]
kind = "study"
minutes = 60
commands = ["python script.py {work}/out.json 1"]
files = { "docs/second.json" = "out.json" }
of = ["docs/first.json"]

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
    monkeypatch.setattr(renew, "ROOT", tmp_path)
    monkeypatch.setattr(renew, "TABLE", tmp_path / "outputs.toml")
    monkeypatch.setattr(renew, "RECORD", tmp_path / "docs" / "ingredients.json")
    return tmp_path


def runs(repository):
    return (repository / "runs.txt").read_text().split() if (repository / "runs.txt").exists() else []


def run(repository, *arguments):
    return renew.main([*arguments])


def test_what_is_out_of_date_is_made_once(repository, capsys):
    assert run(repository, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "first" in shown
    assert "needs photos" in shown
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


def test_a_run_that_failed_goes_on_with_what_is_left(repository, capsys):
    run(repository, "first")
    (repository / "broken").touch()
    assert run(repository) == 1
    assert "second: exit code 3" in capsys.readouterr().out
    assert not (repository / "docs" / "second.json").exists()
    (repository / "broken").unlink()
    assert run(repository) == 0
    assert runs(repository) == ["500", "1", "1"]
