import json
import shutil
from pathlib import Path

import pytest

from recipes import new_weights
from seediff.files.documents import read_toml

ROOT = Path(__file__).parents[1]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The settings of mini and the tables' set, with empty weights."""
    mini = tmp_path / "mini"
    for part in new_weights.PARTS:
        (mini / part).mkdir(parents=True)
    shutil.copy(new_weights.EMBEDDED["mini"] / "seediff.json", mini)
    shutil.copy(new_weights.SET, tmp_path / "set.toml")
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
