"""Runs every command on damaged and hostile inputs. Looks for tracebacks, hangs, excessive memory, and changes outside the output.

    python benchmarks/fuzz.py                                    # 1,000 new cases of all commands
    python benchmarks/fuzz.py --cases 10000 --seed 7 --save faults
    python benchmarks/fuzz.py --cases 500 import evaluate        # only commands whose key contains one of these
    python benchmarks/fuzz.py --corpus tests/corpus --cases 0    # cases that once failed; add --accept when messages changed
    python benchmarks/fuzz.py --corpus faults --cases 0          # the cases that --save wrote

A case is a command with valid inputs and up to three changes to them: other values, lines, bytes and headers; links, FIFOs, folders and
sparse files in place of files; links planted where a program may write; pictures, archives and tables that claim or become gigabytes.
Hypothesis draws the cases and shrinks those that fail. Each case runs in a fork of this process, in a separate folder, with limits on time,
memory and file size. fuzzing/faults.py defines what counts as a fault. The same seed gives the same cases. Exit code 1: there were faults.
Linux only.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from fuzzing import faults, generate, sandbox, seeds
from fuzzing.cases import Case
from fuzzing.commands import COMMANDS, Command
from fuzzing.warm import warm_up
from hypothesis import HealthCheck, Phase, given, seed, settings


@dataclass
class Row:
    """Results of one command's cases. taken: ended with exit code 0. refused: with 2. grown, seconds: maxima; grown in bytes."""

    cases: int = 0
    taken: int = 0
    refused: int = 0
    faults: int = 0
    grown: int = 0
    seconds: float = 0.0


@dataclass
class Fuzzer:
    """Runs cases in a folder. rows: results by command. faults: kind and place → (the smallest case that shows it, a description)."""

    place: Path
    rows: dict[str, Row] = field(default_factory=lambda: defaultdict(Row))
    faults: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def valid(self) -> Path:
        return self.place / "valid" / "in"

    def run(self, case: Case, entry: Path | None = None) -> list[faults.Finding]:
        """Run a case; returns its faults. entry: the case's file, which gets the actual exit code and line if nothing else is wrong."""
        outcome = sandbox.run(case, self.valid, self.place / "case")
        findings = faults.judge(case, outcome, self.place / "case")
        ended = (outcome.code, faults.subject_of(faults.line_of(outcome, self.place / "case")))
        if entry and all(finding.where == faults.OTHERWISE for finding in findings):
            entry.write_text(case.text(*ended), encoding="ascii")
            findings = []
        for name in (" ".join(COMMANDS[case.command].path), "**all**"):
            row = self.rows[name]
            row.cases, row.faults = row.cases + 1, row.faults + bool(findings)
            row.taken, row.refused = row.taken + (outcome.code == 0), row.refused + (outcome.code == 2)
            row.grown, row.seconds = max(row.grown, outcome.grown), max(row.seconds, outcome.seconds)
        for finding in findings:
            why = f"{finding.kind}: {finding.where}"
            text = replace(case, why=why).text(*ended)
            said = f"{why}\n{finding.text.strip()[:3000]}\nseediff {' '.join(outcome.words)[:600]}\n{text[:3000]}"
            if (known := self.faults.get(why)) is None or len(text) < len(known[0]):
                self.faults[why] = (text, said)
        return findings

    def draw(self, commands: list[Command], count: int, number: int) -> None:
        """Run new cases until `count` have run or one has a fault, which hypothesis then shrinks."""

        @seed(number)
        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
        )
        @given(generate.cases(commands, self.valid))
        def holds(case: Case) -> None:
            assert not self.run(case)

        with suppress(AssertionError):
            holds()

    def table(self) -> str:
        """Markdown: a row per command."""
        lines = ["| command | cases | taken | refused | faults | most memory, MiB | longest, s |", "|---|" + "---|" * 6]
        for name, row in sorted(self.rows.items(), key=lambda pair: (pair[0] == "**all**", pair[0])):
            numbers = (row.cases, row.taken, row.refused, row.faults, row.grown >> 20)
            lines.append(f"| {name} | {' | '.join(f'{number:,}' for number in numbers)} | {row.seconds:.1f} |")
        return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="how many new ones; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=Path, help="run the cases of this folder first")
    parser.add_argument("--accept", action="store_true", help="expect from now on what a case of the corpus says, and read it over")
    parser.add_argument("--valid", action="store_true", help="each command first with its valid input: all must succeed")
    parser.add_argument("--save", type=Path, help="folder for a case of every distinct fault, as the corpus has them")
    parser.add_argument("--json", type=Path, help="file for what was wrong with each case of the corpus and each valid input")
    parser.add_argument("commands", nargs="*", help="texts that the commands' names contain")
    chosen = parser.parse_args()
    commands = [command for key, command in COMMANDS.items() if not chosen.commands or any(text in key for text in chosen.commands)]
    if not commands:
        parser.error(f"no command is called so; there are: {', '.join(COMMANDS)}")
    known = {path.stem: Case.read(path) for path in sorted(chosen.corpus.glob("*.json"))} if chosen.corpus else {}
    known |= {command.key: Case(command.key, code=command.code) for command in commands} if chosen.valid else {}
    needed = [*(COMMANDS[case.command] for case in known.values()), *(commands if chosen.cases else ())]
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="seediff-fuzz-", dir=memory if memory.is_dir() else None, ignore_cleanup_errors=True) as place:
        fuzzer = Fuzzer(Path(place))
        warm_up()
        seeds.build(fuzzer.valid, sorted({name for command in needed for name in (*command.inputs, *command.others)}))
        sandbox.adopt_orphans()
        findings = {}
        for name, case in known.items():
            entry = chosen.corpus / f"{name}.json" if chosen.accept and case.why else None
            findings[name] = [f"{finding.kind}: {finding.where}\n{finding.text}" for finding in fuzzer.run(case, entry)]
        if chosen.cases:
            fuzzer.draw(commands, chosen.cases, chosen.seed)
    if chosen.json:
        chosen.json.write_text(json.dumps(findings), encoding="utf-8")
    for number, (text, said) in enumerate(fuzzer.faults.values()):
        print(said, end="\n\n")
        if chosen.save:
            chosen.save.mkdir(parents=True, exist_ok=True)
            (chosen.save / f"{number}.json").write_text(text, encoding="ascii")
    print(fuzzer.table())
    print(f"{len(fuzzer.faults)} distinct faults")
    sys.exit(1 if fuzzer.faults else 0)


if __name__ == "__main__":
    main()
