import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from items import write_pets
from patience import PATIENCE, wait_until
from refusals import refused

from seediff.files.outputs import open_folder

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")


def in_session(number):
    """Processes of a session that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == number and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def test_interrupted_with_workers(tmp_path_factory, tmp_path):
    pets = write_pets(tmp_path_factory.mktemp("pets") / "pets", 600)
    words = ["export", str(pets), "--to", "coco", "--out", str(tmp_path / "out"), "--workers", "2"]
    command = [sys.executable, "-m", "seediff", *words]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: list(tmp_path.glob(".*.part/.lock")))  # its workers start, import and work
    time.sleep(0.2)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does
    _, said = run.communicate(timeout=PATIENCE)
    if run.returncode == 0:  # on a fast machine all was done
        return
    assert run.returncode in (130, -signal.SIGINT), said  # the latter as the interpreter ends: shells say 130 of both
    wait_until(lambda: not in_session(run.pid))
    if (out := tmp_path / "out").exists():  # it came after all was in place, or as the interpreter ended
        assert list(tmp_path.iterdir()) == [out]
        assert said in ("seediff: interrupted\n", "")
        return
    assert said == "seediff: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_terminated_it_says_a_line_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    pets = write_pets(tmp_path / "pets", 4)
    out, rename = tmp_path / "out", Path.rename

    def terminated(path, target):
        if target == out:
            signal.raise_signal(signal.SIGTERM)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", terminated)
    assert refused(capsys, "export", pets, "--to coco --out", out, code=143) == "seediff: terminated\n"
    assert [*tmp_path.iterdir()] == [pets]


def test_of_a_set_that_is_being_made_it_says_so_and_of_a_pipe_what_it_is(tmp_path, capsys):
    pets = write_pets(tmp_path / "pets", 4)
    (pets / "masks/000001.png").unlink()
    os.mkfifo(pets / "masks/000001.png")
    assert "masks/000001.png: is a folder, a pipe or a device" in refused(capsys, "stats", pets)
    (pets / ".batches").mkdir()
    (pets / "metadata.jsonl").unlink()
    with open_folder(pets):
        for command in ("check", "look", "stats"):
            assert f"in use by another run (process {os.getpid()})" in refused(capsys, command, pets)
    (pets / ".lock").write_text("a run that was killed")
    assert "the run that makes it is not finished" in refused(capsys, "check", pets)
