"""Cases that failed once, every command with what is not damaged, and new cases: `benchmarks/fuzz.py` runs them.

It does so in a process of its own, which uses no threads before it forks.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "tests" / "corpus"
ENTRIES = sorted(path.stem for path in CORPUS.glob("*.json"))
NEW = 20
"""Cases that are drawn anew; another `--seed` gives others."""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the fuzzer limits and watches processes as Linux does"),
    pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="the fuzzer is in benchmarks/ of the repository"),
]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], subprocess.CompletedProcess[str]]:
    """What was wrong with each entry of the corpus, by its name, and with each command's valid input, by its key; and the run itself."""
    file = tmp_path_factory.mktemp("fuzz") / "findings.json"
    words = ("--corpus", CORPUS, "--valid", "--cases", NEW, "--seed", 1, "--json", file)
    command = [sys.executable, str(ROOT / "benchmarks" / "fuzz.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert file.is_file(), done.stdout + done.stderr
    return json.loads(file.read_text(encoding="utf-8")), done


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_case_that_failed_once(entry, fuzzed):
    assert fuzzed[0][entry] == []


def test_every_command_takes_what_is_not_damaged(fuzzed):
    valid = {name: findings for name, findings in fuzzed[0].items() if name not in ENTRIES}
    assert len(valid) > 70
    assert {name: findings for name, findings in valid.items() if findings} == {}


def test_cases_that_are_new(fuzzed):
    done = fuzzed[1]
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
