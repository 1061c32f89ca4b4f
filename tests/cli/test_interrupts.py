import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from items import write_pets
from patience import PATIENCE, wait_until

from seediff import Dataset

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    return write_pets(tmp_path_factory.mktemp("pets") / "pets", 600)


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


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_interrupted_with_workers(pets, tmp_path, times):
    """An export; or an import of what one made."""
    moments = random.Random(times)
    options = f"--out {tmp_path / 'out'} --workers 2".split()
    words = ["export", str(pets), "--to", "coco"]
    if times == 2:
        Dataset.open(pets).export("voc", pets.parent / "voc", link=True)
        words = ["import", str(pets.parent / "voc")]
    command = [sys.executable, "-m", "seediff", *words, *options]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    begun = {1: ".*.part/.lock", 2: ".*.part/*/*"}[times]  # its workers start, import and work; or have written a file
    wait_until(lambda: list(tmp_path.glob(begun)))
    time.sleep(moments.uniform(0, 1.5))
    for _ in range(times):
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does
        time.sleep(moments.uniform(0, 0.2))
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
