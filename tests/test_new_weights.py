import json
import shutil
from pathlib import Path
from runpy import run_path

import pytest

from recipes import new_weights
from seediff.files.documents import read_toml

ROOT = Path(__file__).parents[1]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The settings of mini, methods' files and the tables' set, with empty weights."""
    mini = tmp_path / "mini"
    for part in new_weights.PARTS:
        (mini / part).mkdir(parents=True)
    shutil.copy(new_weights.EMBEDDED["mini"] / "seediff.json", mini)
    shutil.copy(new_weights.SET, tmp_path / "set.toml")
    shutil.copytree(new_weights.METHODS, tmp_path / "methods")
    monkeypatch.setattr(new_weights, "METHODS", tmp_path / "methods")
    monkeypatch.setattr(new_weights, "EMBEDDED", {"mini": mini})
    monkeypatch.setattr(new_weights, "SET", tmp_path / "set.toml")
    return tmp_path


def test_constants_that_the_package_has_are_those_of_the_published_study(package):
    """So that the figures of docs/truth.md are of the masks that `generate` makes."""
    before = json.loads((package / "mini" / "seediff.json").read_text())["preset"]
    sets = read_toml(package / "set.toml")
    new_weights.take_constants("mini", ROOT / "docs" / "preset.json")
    assert json.loads((package / "mini" / "seediff.json").read_text())["preset"] == before
    assert read_toml(package / "set.toml") == sets
    for file in (ROOT / "recipes" / "methods").glob("*.py"):
        assert (package / "methods" / file.name).read_text() == file.read_text()


def test_other_constants_are_stated_in_the_file_of_a_method(package):
    file = package / "methods" / "nerve_walk.py"
    before, found = run_path(str(file))["CONSTANTS"], {"mask": {"tau": 3}, "capture": {"layers": "up"}}
    file.write_text(new_weights.with_constants(file.read_text(), "mini-dit", found))
    assert run_path(str(file))["CONSTANTS"] == {**before, "models": {**before["models"], "mini-dit": found}}
