"""Outputs of `python -m recipes.mini …` are folders of this machine, and appear whole."""

import numpy as np
import pytest

from recipes.mini.__main__ import app
from recipes.mini.files import replaced_folder
from seediff.cli.commands import main
from seediff.files.outputs import replaced

COMMANDS = [
    ("art",),
    ("train", "--art", "art"),
    ("render", "--art", "art"),
    ("scenes", "--art", "art"),
    ("yardstick", "--art", "art"),
    ("check", "--art", "art"),
    ("backbone", "--art", "art", "--work", "work"),
]


@pytest.mark.parametrize("place", ["s3://bucket/name", "http://127.0.0.1:9/x", ""])
@pytest.mark.parametrize("words", COMMANDS, ids=[words[0] for words in COMMANDS])
def test_an_address_is_no_folder(words, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--out", place], app) == 2
    said = capsys.readouterr().err
    assert said.startswith("seediff: --out ")
    assert "is an address" in said or "names no place" in said
    assert list(tmp_path.iterdir()) == []


def test_a_library_writes_under_another_name(tmp_path):
    path = tmp_path / "latents.npy"
    path.write_bytes(b"old")
    with replaced(path) as part:
        np.lib.format.open_memmap(part, "w+", np.uint8, (3,))[:] = 7
        assert path.read_bytes() == b"old"
    assert np.load(path).tolist() == [7, 7, 7]
    with pytest.raises(ZeroDivisionError), replaced(path) as part:
        part.write_bytes(bytes(1 // (part.write_bytes(b"half") - 4)))
    assert [found.name for found in tmp_path.iterdir()] == ["latents.npy"]


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
