"""Cases that failed once, every command with what is not damaged, and new cases: `benchmarks/fuzz.py` runs them.

It does so in a process of its own, which uses no threads before it forks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "tests" / "corpus"
ENTRIES = sorted(path.stem for path in CORPUS.glob("*.json"))

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the fuzzer limits and watches processes as Linux does"),
    pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="the fuzzer is in benchmarks/ of the repository"),
]


def fuzz(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "fuzz.py"), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What was wrong with each entry of the corpus, by its name, and with each command's valid input, by the command."""
    file = tmp_path_factory.mktemp("fuzz") / "found.json"
    done = fuzz("--corpus", CORPUS, "--valid", "--cases", 0, "--json", file)
    assert file.is_file(), done.stdout + done.stderr
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_case_that_failed_once(entry, found):
    assert found[entry] == []


def test_every_command_takes_what_is_not_damaged(found):
    valid = {name: wrong for name, wrong in found.items() if name not in ENTRIES}
    assert len(valid) > 100
    assert {name: wrong for name, wrong in valid.items() if wrong} == {}


def test_cases_that_are_new():
    """Other seeds are other cases."""
    done = fuzz("--light", "--cases", 150, "--seed", 1)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
