"""Changes the package's code at one place at a time, and looks whether a test of `make test` fails.

    python benchmarks/mutants.py --out found.jsonl              # 40 mutants, hours; stopped, it goes on
    python benchmarks/mutants.py --rooms run,config --count 8 --seed 3 --out found.jsonl

Mutants are made in a copy of the checkout. Each is run against the tests of its room, those of its module's name first,
up to the first failure, and only then against all others. A survivor is no fault yet: whoever reads it says whether it
changes anything that a user can meet.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("script", "attention", "dataset", "look", "models", "run", "config")
OTHER = {
    "Lt": "<=", "LtE": "<", "Gt": ">=", "GtE": ">", "Eq": "!=", "NotEq": "==", "Is": "is not", "IsNot": "is",
    "In": "not in", "NotIn": "in", "Add": "-", "Sub": "+", "Mult": "/", "Div": "*", "And": "or", "Or": "and",
}  # fmt: skip
"""Operator → the one in its place."""
MOST = 180
"""Seconds of a test, after which it counts as failed: a mutant may wait for ever."""


class Mutant(NamedTuple):
    """One change. start, end: positions in the file's bytes."""

    path: Path
    line: int
    start: int
    end: int
    text: str


def changes(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Each expression that may be replaced, and what by: operators, conditions, whole numbers, truth values."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield node, f"{ast.unparse(node.left)} {OTHER[type(node.ops[0]).__name__]} {ast.unparse(node.comparators[0])}"
    elif isinstance(node, ast.BoolOp):
        yield node, f" {OTHER[type(node.op).__name__]} ".join(f"({ast.unparse(value)})" for value in node.values)
    elif isinstance(node, ast.BinOp) and type(node.op).__name__ in OTHER:
        yield node, f"({ast.unparse(node.left)}) {OTHER[type(node.op).__name__]} ({ast.unparse(node.right)})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield node, str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield node, str(node.value + 1)
    elif isinstance(node, (ast.If, ast.IfExp)) and not isinstance(node.test, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
        yield node.test, f"(not {ast.unparse(node.test)})"


def bodies(tree: ast.AST) -> Iterator[ast.AST]:
    """What functions do: all nodes of their statements, without annotations and texts of messages."""
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting: list[ast.AST] = list(function.body)
            while waiting:
                node = waiting.pop()
                yield node
                if isinstance(node, ast.AnnAssign):
                    waiting += [node.value] if node.value else []
                elif not isinstance(node, (ast.FunctionDef, ast.JoinedStr, ast.Raise)):
                    waiting += ast.iter_child_nodes(node)


def mutants(path: Path) -> list[Mutant]:
    """All mutants of a file, in the order of its text."""
    source, starts = path.read_bytes(), [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = set()
    for node in bodies(ast.parse(source)):
        for place, text in changes(node):
            start = starts[place.lineno - 1] + place.col_offset
            end = starts[(place.end_lineno or 0) - 1] + (place.end_col_offset or 0)
            found.add(Mutant(path.relative_to(ROOT), place.lineno, start, end, text))
    return sorted(found)


def chosen(rooms: list[str], count: int, seed: int) -> list[Mutant]:
    """As many of each room, one of a file before a second one."""
    dice, drawn = random.Random(seed), []
    for number, room in enumerate(rooms):
        files = [mutants(path) for path in sorted((ROOT / "src" / "seediff" / room).rglob("*.py"))]
        weights = [float(len(of_file)) for of_file in files]
        for _ in range(count // len(rooms) + (number < count % len(rooms))):
            (file,) = dice.choices(range(len(files)), weights)
            drawn.append(dice.choice(files[file]))
            weights[file] /= 100
    return drawn


def first_failure(checkout: Path, tests: list[Path], broken: list[str]) -> str:
    """The test that failed first, "" if none did. broken: tests that fail without a mutant, too."""
    line = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", f"--timeout={MOST}", "--tb=line"]
    line += ["-m", "not slow and not pages", *map(str, tests), *(f"--deselect={name}" for name in broken)]
    environ = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=checkout, env=environ, capture_output=True, text=True)
    named = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.M)
    return "" if done.returncode in (0, 5) else [*named, f"exit code {done.returncode}"][0]  # 5: no test is selected


def killer(checkout: Path, mutant: Mutant, broken: list[str]) -> str:
    """The test that finds a mutant, "" for a survivor. Notes tests that fail without it in `broken`."""
    tests, file = checkout / "tests", checkout / mutant.path
    of_room = sorted((tests / mutant.path.parts[2]).rglob("test_*.py"), key=lambda test: file.stem not in test.stem)
    others, before = sorted({*tests.rglob("test_*.py")} - {*of_room}), file.read_bytes()
    while True:
        file.write_bytes(before[: mutant.start] + mutant.text.encode() + before[mutant.end :])
        found = first_failure(checkout, of_room, broken) or first_failure(checkout, others, broken)
        file.write_bytes(before)
        if "::" not in found or not first_failure(checkout, [Path(found)], []):
            return found
        broken.append(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", default=",".join(ROOMS))
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="gets a JSON line for each mutant")
    given, broken = parser.parse_args(), []
    done = len(given.out.read_text().splitlines()) if given.out.exists() else 0
    with tempfile.TemporaryDirectory() as folder, given.out.open("a") as out:
        for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines():
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, Path(folder) / name)
        for mutant in chosen(given.rooms.split(","), given.count, given.seed)[done:]:
            before = (ROOT / mutant.path).read_bytes()[mutant.start : mutant.end].decode()
            told = {"at": f"{mutant.path}:{mutant.line}", "before": before, "after": mutant.text}
            print(json.dumps({**told, "killed by": killer(Path(folder), mutant, broken)}), file=out, flush=True)


if __name__ == "__main__":
    main()
