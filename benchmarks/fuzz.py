"""Damaged and hostile inputs for every command: does any of them end in a traceback, a hang, a gigabyte, or a file that is not its own?

    python benchmarks/fuzz.py                                    # 1,000 cases of all commands
    python benchmarks/fuzz.py --cases 10000 --jobs 2 --seed 7 --report faults.md --save cases
    python benchmarks/fuzz.py --cases 500 import evaluate        # of commands whose name contains one of these
    python benchmarks/fuzz.py --seed 7 --case 1234               # one of them again, with all that it says
    python benchmarks/fuzz.py --corpus tests/corpus --json results.json
    python benchmarks/fuzz.py --sum seed-1.jsonl seed-2.jsonl    # the table of several runs' --json

A case is a command, valid inputs and one to three changes of them: values, lines, bytes and headers; links, FIFOs, folders and sparse files
in the place of files; links planted where a program may write; pictures, archives and tables that claim or become gigabytes; options with
values that may be any. It runs in a fork of this process, in a folder of its own, with limits of time, memory and file size. Recorded are
exit code, output, memory, what was written or deleted outside --out, what of a file behind a link came out, processes and open files left.
What is a fault says fuzzing/oracle.py. The same seed gives the same cases. Exit code 1: there were faults. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fuzzing import corpus, oracle, report, runner, seeds
from fuzzing.commands import COMMANDS, Command, chosen, more_words
from fuzzing.mutations import damage
from fuzzing.report import Result
from fuzzing.runner import Case
from fuzzing.warm import warm_up

AROUND = ("full stdout", "closed stdout", "ascii stdout", "small disk")


def make_case(seed: int, number: int, command: Command, valid: Path) -> Case:
    """Case `number` of a seed."""
    rng = random.Random(f"{seed} {number}")
    what = rng.choices(("input", "options", "both", "around"), (80, 12, 4, 4))[0]
    edits = damage(rng, valid, command.inputs) if what in ("input", "both") or (what == "around" and rng.random() < 0.5) else []
    words = more_words(rng, command) if what in ("options", "both") else ()
    return Case(number, command.key, tuple(edits), words, rng.choice(AROUND) if what == "around" else "")


def schedule(commands: Sequence[Command], cases: int) -> list[Command]:
    """Which command each case runs: as often as its weight says, and always in the same order."""
    order = random.Random(0)
    return order.choices(commands, [one.weight for one in commands], k=cases)


def run_case(case: Case, valid: Path, folder: Path) -> tuple[Result, runner.Outcome]:
    outcome = runner.run(case, valid, folder)
    command = COMMANDS[case.command]
    findings = oracle.judge(case, command, runner.arguments(case, command, folder), outcome, folder)
    said = (outcome.stderr.strip() or outcome.stdout.strip()).decode("utf-8", "replace")[:2000].replace(str(folder), "CASE")
    last = re.sub(r"[0-9a-f]{16}\.part", "….part", said)  # names that nobody can guess
    return Result(case, outcome.code, outcome.seconds, outcome.grown, tuple(findings), last), outcome


def run_all(cases: int, make: Callable[[int], Case], valid: Path, place: Path, jobs: int) -> Iterator[Result]:
    """The results of cases 0 … `cases` - 1, in the order of their ends; each of `jobs` children of this process takes every so many-th."""
    sys.stdout.flush()
    readers = []
    for job in range(jobs):
        reading, writing = os.pipe()
        if os.fork() == 0:
            try:
                _work(range(job, cases, jobs), make, valid, place / f"job-{job}", writing)
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        os.close(writing)
        readers.append(os.fdopen(reading, "rb"))
    yield from _merged(readers)
    for _ in readers:
        os.wait()


def _work(numbers: Iterable[int], make: Callable[[int], Case], valid: Path, folder: Path, writing: int) -> None:
    runner.adopt_orphans()
    with os.fdopen(writing, "wb") as out:
        for number in numbers:
            result, _ = run_case(make(number), valid, folder)
            if not result.findings:
                result = replace(result, case=replace(result.case, edits=()))  # which may be megabytes
            pickle.dump(result, out)
            out.flush()


def _merged(readers: list) -> Iterator[Result]:
    import select

    waiting = {reader.fileno(): reader for reader in readers}
    while waiting:
        for handle in select.select(list(waiting), [], [])[0]:
            try:
                yield pickle.load(waiting[handle])
                while waiting[handle].peek(1):
                    yield pickle.load(waiting[handle])
            except EOFError:
                pass
            if not waiting[handle].peek(1):
                del waiting[handle]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--case", type=int, help="only this one, and say everything of it")
    parser.add_argument("--valid", action="store_true", help="each command once, with its valid input: all must succeed")
    parser.add_argument("--light", action="store_true", help="no commands that import torch, or whose inputs are made with it")
    parser.add_argument("--folder", type=Path, help="where to work; by default in memory")
    parser.add_argument("--report", type=Path, help="file for a text of every distinct fault")
    parser.add_argument("--save", type=Path, help="folder for a case of every distinct fault, as the corpus has them")
    parser.add_argument("--corpus", type=Path, help="run the cases of this folder instead")
    parser.add_argument("--accept", action="store_true", help="with --corpus: expect from now on what is no fault, and read it over")
    parser.add_argument("--json", type=Path, help="file for the results, a line each")
    parser.add_argument(
        "--sum", type=Path, nargs="+", metavar="JSON", help="only print the counts of such files, of several seeds, together"
    )
    parser.add_argument("commands", nargs="*", help="texts that the commands' names contain")
    given = parser.parse_args()
    if given.sum:
        results = [result for file in given.sum for result in report.read_results(file)]
        print(report.counts_table(results))
        sys.exit(1 if report.distinct(results) else 0)
    memory = Path("/dev/shm")
    place = given.folder or Path(tempfile.mkdtemp(prefix="seediff-fuzz-", dir=memory if memory.is_dir() else None))
    try:
        sys.exit(fuzz(given, place))
    finally:
        if given.folder is None and given.case is None:
            shutil.rmtree(place, ignore_errors=True)


def fuzz(given: argparse.Namespace, place: Path) -> int:
    begun = time.monotonic()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    commands = [one for one in chosen(given.commands) if not (given.light and (one.torch or seeds.needs_torch((*one.inputs, *one.others))))]
    entries = list(corpus.read(given.corpus)) if given.corpus else []
    if given.valid:
        entries = corpus.valid([one.key for one in commands])
    if entries:
        commands = [COMMANDS[entry.case.command] for entry in entries]
    warm_up(torch=any(one.torch for one in commands))
    valid = place / "valid" / "in"
    seeds.build(valid, sorted({name for one in commands for name in (*one.inputs, *one.others)}))
    print(f"ready after {time.monotonic() - begun:.1f} s", flush=True)
    if given.case is not None:
        return show_case(given, commands, valid, place)
    plan = schedule(commands, given.cases)

    def make(number: int) -> Case:
        return entries[number].case if entries else make_case(given.seed, number, plan[number], valid)

    cases = len(entries) or given.cases
    results = []
    for result in run_all(cases, make, valid, place, given.jobs):
        if entries and not (given.accept and corpus.accept(entries[result.case.number], result)):
            result = corpus.compared(entries[result.case.number], result)
        results.append(result)
        for one in result.findings:
            print(f"{result.case.number} {result.case.command}: {one.kind}: {one.where}", flush=True)
            if entries:
                print(one.text)
        if len(results) % 500 == 0:
            print(f"{len(results)} of {cases} cases, {time.monotonic() - begun:.0f} s", flush=True)
    if given.json:
        given.json.write_text("".join(json.dumps(report.result_table(one)) + "\n" for one in results), encoding="utf-8")
    found = report.distinct(results)
    if given.report:
        given.report.write_text(report.faults_text(found, given.seed), encoding="utf-8", errors="replace")
    if given.save:
        report.write_cases(found, given.save)
    print(report.counts_table(results))
    print(f"{len(results)} cases in {time.monotonic() - begun:.0f} s; {len(found)} distinct faults")
    missing = cases - len(results)
    if missing:
        print(f"{missing} cases gave no result")
    return 1 if found or missing else 0


def show_case(given: argparse.Namespace, commands: Sequence[Command], valid: Path, place: Path) -> int:
    """One case again, with what it says; its folder stays."""
    runner.adopt_orphans()
    case = make_case(given.seed, given.case, schedule(commands, max(given.cases, given.case + 1))[given.case], valid)
    result, outcome = run_case(case, valid, place / "case")
    for edit in case.edits:
        print(edit)
    print("seediff", *runner.arguments(case, COMMANDS[case.command], place / "case"), f"({case.around})" if case.around else "")
    print(outcome.stdout.decode("utf-8", "replace"), outcome.stderr.decode("utf-8", "replace"), *outcome.told.get("faults", ()), sep="\n")
    print(f"exit code {outcome.code}, {outcome.seconds:.2f} s, {outcome.grown >> 20} MiB; folder {place / 'case'}")
    for one in result.findings:
        print(f"{one.kind}: {one.where}\n{one.text}")
    return 1 if result.findings else 0


if __name__ == "__main__":
    main()
