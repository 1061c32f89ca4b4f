"""Finds promises in the pages of docs/: sentences in which something warns, refuses, stops or says. promises.toml has
each of them, with the name of the test that holds it, or the reason why none does.

    python benchmarks/promises.py      # exit code 1: a promise is not decided, or its test is not there
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from seediff.files.reading import read_toml

ROOT = Path(__file__).resolve().parents[1]
DECIDED = Path(__file__).with_suffix(".toml")
GENERATED = ("commands.md",)
SPEAKERS = "line|note|notice|message|error|command|it|program"
PROMISE = re.compile(rf"\b(warns?|refus\w+|stops?|[Ss]ays? (so|which|that|what would)|({SPEAKERS})s? says?)\b")
ENDS = re.compile(r"(?<=[.!?:]) | \| \| | - (?=\*\*|[A-Z`])")
"""Of sentences, rows of tables, items of lists."""


def promises() -> dict[str, list[str]]:
    """Page → its sentences that promise."""
    found = {}
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = re.sub(r"```.*?```|<!--.*?-->|^#.*?$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
        sentences = ENDS.split(" ".join(text.split()))
        if page.name not in GENERATED:
            found[page.name] = [sentence for sentence in sentences if PROMISE.search(sentence)]
    return found


def faults() -> list[str]:
    """A line for each promise that is not decided once, and for each test that is not there. What was decided about a
    promise that is gone does no harm."""
    lines, decided = [], read_toml(DECIDED)
    tests = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    for page, sentences in promises().items():
        for sentence in sentences:
            known = [how for part, how in decided.get(page, {}).items() if part in sentence]
            if len(known) != 1:
                lines.append(f"{page}: not decided in promises.toml, or twice: {sentence}")
            for how in known:
                if how.startswith("test_") and f"def {how}(" not in tests:
                    lines.append(f"{page}: there is no test {how}: {sentence}")
    return lines


if __name__ == "__main__":
    found = faults()
    print("\n".join(found) or f"{sum(map(len, promises().values()))} promises, all decided")
    sys.exit(bool(found))
