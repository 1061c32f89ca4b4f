"""The corpus: cases that failed once, a small file each. tests/corpus/ has them, and tests/test_fuzz.py runs them.

{"why": "what went wrong", "command": "check native", "edits": [{"kind": "write", "path": "in/native/classes.txt", "text": "…"}],
 "code": 2, "says": "what its one line on stderr begins with; nothing where it succeeds"}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .commands import COMMANDS
from .oracle import Finding
from .report import Result, case_table, read_case
from .runner import Case


@dataclass(frozen=True)
class Entry:
    """code: the expected exit code. says: the beginning of the expected line, the case's folder written CASE."""

    path: Path
    case: Case
    why: str
    code: int
    says: str


def save(path: Path, case: Case, why: str, says: str, code: int = 2) -> None:
    table = {"why": why, **case_table(case), "code": code, "says": says}
    path.write_text(json.dumps(table, ensure_ascii=True, indent=1) + "\n", encoding="ascii")


def read(folder: Path) -> Iterator[Entry]:
    """The entries of a folder, in the order of their names."""
    for number, path in enumerate(sorted(folder.glob("*.json"))):
        table = json.loads(path.read_text(encoding="ascii"))
        yield Entry(path, read_case(table, number), table["why"], table["code"], table["says"])


def valid(commands: list[str]) -> list[Entry]:
    """Entries for commands with their valid inputs."""
    cases = [Case(number, key) for number, key in enumerate(commands)]
    return [Entry(Path(case.command), case, "a valid input", COMMANDS[case.command].code, "") for case in cases]


def compared(entry: Entry, result: Result) -> Result:
    """The result, with a finding when the exit code or the line is not what the entry expects."""
    if result.code == entry.code and result.last.startswith(entry.says):
        return result
    text = f"{entry.path.stem}: exit code {entry.code} and: {entry.says}\nbut: exit code {result.code} and: {result.last}"
    return replace(result, findings=(*result.findings, Finding("fault", "not as expected", text)))


def accept(entry: Entry, result: Result) -> bool:
    """Expect from now on what a command said, unless that is a fault; whether it is none. For a person to read over."""
    if not result.findings:
        save(entry.path, entry.case, entry.why, _beginning(result.last) if result.code == 2 else "", result.code)
    return not result.findings


def _beginning(line: str) -> str:
    """Without what another library says, in brackets at the end, and its versions may say otherwise."""
    return re.sub(r" \([^()]*(?:\([^()]*\)[^()]*)*\)(?:; .*)?$", "", line)[:300]
