"""Outputs of `python -m recipes.mini …` are folders of this machine, and appear whole."""

import pytest

from recipes.mini.__main__ import app
from recipes.mini.files import replaced_folder
from seediff.cli.commands import main


def test_a_folder_is_replaced_when_the_new_one_is_whole(tmp_path):
    folder = tmp_path / "pipeline"
    for text in ("old", "new"):
        with replaced_folder(folder) as part:
            (part / "file").write_text(text)
        assert (folder / "file").read_text() == text
    with pytest.raises(ZeroDivisionError), replaced_folder(folder) as part:
        (part / "file").write_text("." * (1 // ((part / "file").write_text("half") - 4)))
    assert (folder / "file").read_text() == "new"
    assert [found.name for found in tmp_path.iterdir()] == ["pipeline"]


@pytest.mark.parametrize("place", ["s3://bucket/name", ""])
@pytest.mark.parametrize("command", ["art", "train", "backbone"])
def test_an_address_is_no_folder(command, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [] if command == "art" else ["--art", "art"]
    assert main([command, *words, *(["--work", "work"] if command == "backbone" else []), "--out", place], app) == 2
    assert ("is an address" if place else "names no place") in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
