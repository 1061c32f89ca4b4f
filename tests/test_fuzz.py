"""Cases that failed once, and a thousand new ones: `benchmarks/fuzz.py` runs them in a process that uses no threads before it forks."""

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
    pytest.mark.timeout(900),
]


def fuzz(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "fuzz.py"), *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """What was wrong with each entry of the corpus."""
    file = tmp_path_factory.mktemp("fuzz") / "results.jsonl"
    done = fuzz("--corpus", CORPUS, "--json", file)
    assert file.is_file(), done.stdout + done.stderr
    results = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {ENTRIES[result["case"]]: result["findings"] for result in results}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_case_that_failed_once(entry, found):
    assert found[entry] == []


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_cases_that_are_new(seed):
    """A thousand in all; other seeds are other cases."""
    done = fuzz("--light", "--cases", 250, "--seed", seed)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_every_command_takes_what_is_not_damaged():
    done = fuzz("--valid")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
