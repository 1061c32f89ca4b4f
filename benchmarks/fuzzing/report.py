"""What a fuzzing run found: a table by command, and a text of every distinct fault."""

from __future__ import annotations

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .commands import COMMANDS
from .edits import Edit
from .oracle import KINDS, Finding
from .runner import Case

GROUPS = {"fault": "faults", "crash": "faults", "hang": "hangs", "blow-up": "blow-ups", "outside": "leaks", "leak": "leaks"}
"""Columns of the table; all other kinds are in the last one."""
COLUMNS = ("faults", "hangs", "blow-ups", "leaks", "other")


@dataclass(frozen=True)
class Result:
    """seconds: of the clock. grown: bytes of memory. last: what it said last on stderr."""

    case: Case
    code: int
    seconds: float
    grown: int
    findings: tuple[Finding, ...]
    last: str


def case_table(case: Case) -> dict[str, Any]:
    """For JSON."""
    table: dict[str, Any] = {"command": case.command}
    table |= {"words": list(case.words)} if case.words else {}
    table |= {"around": case.around} if case.around else {}
    return {**table, "edits": [edit.table() for edit in case.edits]}


def read_case(table: Mapping[str, Any], number: int = 0) -> Case:
    edits = tuple(Edit.from_table(one) for one in table.get("edits", ()))
    return Case(number, table["command"], edits, tuple(table.get("words", ())), table.get("around", ""))


def result_table(result: Result) -> dict[str, Any]:
    """For JSON, without the case's edits."""
    about: dict[str, Any] = {"case": result.case.number, "command": result.case.command, "code": result.code, "last": result.last}
    return {**about, "seconds": round(result.seconds, 2), "grown": result.grown, "findings": [vars(one) for one in result.findings]}


def read_results(file: Path) -> list[Result]:
    """What `result_table` wrote, a line each; cases are without their edits."""
    tables = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [
        Result(
            Case(one["case"], one["command"]), one["code"], one["seconds"], one["grown"],
            tuple(Finding(**found) for found in one["findings"]), one["last"],
        )
        for one in tables
    ]  # fmt: skip


def counts_table(results: Iterable[Result]) -> str:
    """Markdown: a row per command, with how many cases it took, refused and failed."""
    by_command: dict[str, Counter[str]] = defaultdict(Counter)
    peak: dict[str, int] = defaultdict(int)
    longest: dict[str, float] = defaultdict(float)
    for result in results:
        for key in (" ".join(COMMANDS[result.case.command].path), "**all**"):
            row = by_command[key]
            row["cases"] += 1
            row["taken"] += result.code == 0
            row["refused"] += result.code == 2
            for column in {GROUPS.get(one.kind, "other") for one in result.findings}:
                row[column] += 1
            peak[key] = max(peak[key], result.grown)
            longest[key] = max(longest[key], result.seconds)
    lines = [
        "| command | cases | taken | refused | faults | hangs | blow-ups | leaks | other | most memory, MiB | longest, s |",
        "|---|" + "---|" * 10,
    ]
    for key in sorted(by_command, key=lambda one: (one == "**all**", one)):
        row = by_command[key]
        numbers = (row["cases"], row["taken"], row["refused"], *(row[column] for column in COLUMNS), peak[key] >> 20)
        lines.append(f"| {key} | " + " | ".join(f"{number:,}" for number in numbers) + f" | {longest[key]:.1f} |")
    return "\n".join(lines)


def distinct(results: Iterable[Result]) -> dict[tuple[str, str], list[tuple[Result, Finding]]]:
    """(kind, where) → the cases that show it, the one with the fewest edits first."""
    found: dict[tuple[str, str], list[tuple[Result, Finding]]] = defaultdict(list)
    for result in results:
        for one in result.findings:
            found[one.kind, one.where].append((result, one))
    for shown in found.values():
        shown.sort(key=lambda pair: (len(pair[0].case.edits) + len(pair[0].case.words), pair[0].case.number))
    return found


def faults_text(found: Mapping[tuple[str, str], Sequence[tuple[Result, Finding]]], seed: int) -> str:
    """Every distinct fault with a case that shows it."""
    parts = []
    for (kind, where), shown in sorted(found.items(), key=lambda one: (list(KINDS).index(one[0][0]), -len(one[1]))):
        result, finding = shown[0]
        case = result.case
        line = shlex.join(("seediff", *COMMANDS[case.command].words, *case.words))
        edits = "".join(f"    {edit}\n" for edit in case.edits)
        around = f"around: {case.around}\n" if case.around else ""
        again = f"python benchmarks/fuzz.py --seed {seed} --case {case.number}"
        parts.append(
            f"## {kind}: {where}   ({len(shown)} cases)\n\n{line[:600]}\n{around}{edits}exit code {result.code}; again: {again}\n\n"
            f"```\n{finding.text.strip()[:3000]}\n```\n"
        )
    return "\n".join(parts)


def write_cases(found: Mapping[tuple[str, str], Sequence[tuple[Result, Finding]]], folder: Path) -> None:
    """A file for each distinct fault, as the corpus has them, without what the command should say."""
    from .corpus import save

    folder.mkdir(parents=True, exist_ok=True)
    for number, ((kind, where), shown) in enumerate(sorted(found.items())):
        save(folder / f"{number:03d}-{kind}.json", shown[0][0].case, f"{kind}: {where}", "")
