"""Finds assertions of absence in tests/: that something is not in, not there, None or empty. If nothing ever put the
thing there, such a test passes for ever. absences.toml has each of them, with words of the same file, or of another
(`builders/inputs.py: words`), that put the thing there so that the assertion can fail; or with a reason why it can.

    python benchmarks/absences.py      # exit code 1: an assertion is not decided, or its words are not there
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from seediff.files.reading import read_toml

TESTS = Path(__file__).resolve().parents[1] / "tests"
DECIDED = Path(__file__).with_suffix(".toml")
SEARCHES = ("search", "findall", "hasattr", "exists")
EMPTY = ("[]", "{}", "set()")
REASON = "because "


def denies(node: ast.expr) -> bool:
    """Whether an expression says that something is absent. That a function returns None or [] is an answer, and that
    an array is 0 is a value."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).endswith("isdisjoint")
    if isinstance(node, ast.UnaryOp):
        called = node.operand
        if isinstance(called, ast.Call):
            return ast.unparse(called.func) == "any" or ast.unparse(called.func).endswith(SEARCHES)
        return isinstance(called, (ast.ListComp, ast.SetComp, ast.BinOp))
    if not isinstance(node, ast.Compare):
        return False
    left, relation, right = node.left, node.ops[0], ast.unparse(node.comparators[0])
    if isinstance(relation, ast.Is):
        return right == "None" and isinstance(left, (ast.Attribute, ast.Subscript))
    if isinstance(relation, ast.Eq):
        return right in EMPTY and (not isinstance(left, ast.Call) or "iterdir" in ast.unparse(left))
    return isinstance(relation, ast.NotIn)


def parts(node: ast.expr) -> Iterator[ast.expr]:
    """What an assertion asserts: the terms of `and` and `or`, and what `all` asks of each."""
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from parts(value)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "all" and isinstance(node.args[0], ast.GeneratorExp):
        yield from parts(node.args[0].elt)
    else:
        yield node


def absences(source: str) -> list[str]:
    """The assertions of absence of a test file, as they stand there."""
    asserts = [node.test for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]
    return [str(ast.get_source_segment(source, test)) for test in asserts if any(map(denies, parts(test)))]


def faults() -> list[str]:
    """A line for each assertion that is not decided once, and for each decision whose words or assertion are gone."""
    lines, decided = [], read_toml(DECIDED)
    for file in sorted(TESTS.rglob("test_*.py")):
        name, source = file.relative_to(TESTS).as_posix(), file.read_text(encoding="utf-8")
        known, found = decided.pop(name, {}), absences(source)
        gone = [part for part in known if not any(part in test for test in found)]
        lines += [f"{name}: there is no such assertion: {part}" for part in gone]
        for test in found:
            fitting = [part for part in known if part in test]
            if len(fitting) != 1:
                lines.append(f"{name}: not decided in absences.toml, or twice: {test}")
            for how in (known[part] for part in fitting):
                place, _, words = how.rpartition(".py: ")
                text = (TESTS / f"{place}.py").read_text(encoding="utf-8") if place else source.replace(test, "")
                if not how.startswith(REASON) and words not in text:
                    lines.append(f"{name}: the words that put it there are gone: {how}")
    return lines + [f"there is no {name}" for name in decided]


if __name__ == "__main__":
    found = faults()
    print("\n".join(found) or "all assertions of absence are decided")
    sys.exit(bool(found))
