import os
import shutil

import pytest
from interrupted import contents
from look_server import write_set

from seediff.cli.commands import COMMANDS, make_app
from seediff.cli.line import CommandLine
from seediff.cli.main import main

GIVEN = {
    "generate": ["--classes", "dog"],
    "heatmap": ["a dog"],
    "mask": ["photos", "--classes", "dog"],
    "segment": ["photos"],
    "download": ["owner/name"],
    "tune": ["pets", "--classes", "dog"],
    "augment": ["pets", "--add", "flip:1"],
    "export": ["pets", "--to", "voc"],
    "import": ["pets", "--from", "voc"],
    "filter": ["pets"],
    "merge": ["pets"],
    "split": ["pets"],
    "train": ["pets"],
    "predict": ["model", "photos"],
    "evaluate": ["model", "--data", "pets"],
}
"""Command → what it needs beside --out."""
WRITE = [name for name in COMMANDS if "--out" in CommandLine(make_app(), [name]).command_options()]


ADDRESS = "is an address; name a folder on this machine, and copy it there with `aws s3 sync` or `rclone copy`"


PLACES = {
    "s3://bucket/pets": ADDRESS,
    "": ": an empty path; the current folder is .",
}


@pytest.mark.parametrize("command", WRITE)
def test_places_that_are_none(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for out, said in PLACES.items():
        assert main([*command.split(), *GIVEN[command], "--out", out]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("seediff: " + (out or "--out"))
        assert said in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        "mask  --classes dog --model mini --out o",
        "predict  photos --out o",
        "check ",
        "stats ",
        "split  --in-place",
        "evaluate  --data pets",
        "train  --out o",
    ],
)
def test_an_unset_variable_is_not_the_current_folder(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(write_set(tmp_path / "pets"))
    before = contents(tmp_path)
    assert main(line.split(" ")) == 2  # two spaces: an empty word between them
    assert capsys.readouterr().err.endswith(": an empty path; the current folder is .\n")
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("generate --classes dog --per-class 1 --out pets/inner", "is inside of the dataset"),
        ("mask photos --classes dog --model mini --out pets/images/inner", "is inside of the dataset"),
        ("train pets --steps 1 --out pets/inner", "is inside of the dataset"),
    ],
)
def test_what_would_end_in_a_wrong_set_is_refused(line, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path / "pets")
    shutil.copytree("pets/images", "photos")
    before = contents(tmp_path)
    assert main(line.split()) == 2
    assert said in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.skipif(os.name == "nt", reason="has no such limit")
@pytest.mark.parametrize("line", ["generate --classes dog --out o", "train pets --steps 1 --val-share 0.2 --out o"])
def test_a_dry_run_sees_that_nothing_can_be_written(line, tmp_path, monkeypatch, capsys):
    import resource

    monkeypatch.chdir(tmp_path)
    write_set(tmp_path / "pets")
    before, limits = contents(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # names can be made, but no bytes written
    try:
        code = main([*line.split(), "--dry-run"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 2
    assert "seediff: o: cannot be written to (File too large)" in capsys.readouterr().err
    assert contents(tmp_path) == before
