import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "seediff"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LAYERS = re.findall(r"^\| `(\w+)` \|", PAGE.split("| layer |")[1].split("\n\n")[0], re.M)


def modules():
    """(path, its parts below the package) of every module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in ("__init__", "__main__"):
            yield path, tuple(part for part in parts if part != "__init__")


@cache
def imports(path):
    """Also those in functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def imported(path):
    """(line, names from the package's top) of every import within seediff."""
    package = path.relative_to(PACKAGE).parts[:-1]
    for node in imports(path):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = node.module.split(".") if node.module else []
            for alias in node.names:
                yield node.lineno, (*package[: len(package) - node.level + 1], *module, alias.name)


def test_every_folder_and_module_at_the_top_has_a_layer():
    there = {
        path.stem if path.suffix else path.name
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert sorted(there - {"__init__", "__main__"}) == sorted(LAYERS)


def test_no_module_imports_from_a_layer_below_its_own():
    found = [
        f"{path}:{line} imports {names[0]}"
        for path, parts in modules()
        for line, names in imported(path)
        if LAYERS.index(names[0]) > LAYERS.index(parts[0])
    ]
    assert not found


def test_a_configuration_gets_a_models_facts_as_values():
    """One module of theirs asks for them; how layers are chosen is written in a text, whose grammar `models` has."""
    asking = {
        (path.stem, names[1])
        for path, parts in modules()
        for _, names in imported(path)
        if (parts[0], names[0]) == ("config", "models")
    }
    assert {module for module, asked in asking if asked != "layers"} == {"resolve"}


def test_no_circles_between_modules():
    known = {parts for _, parts in modules()}
    graph = {parts: set() for parts in known}
    for path, parts in modules():
        for _, names in imported(path):
            graph[parts] |= {names if names in known else names[:-1]} & (known - {parts})
    TopologicalSorter(graph).prepare()  # CycleError names them


def test_the_package_imports_nothing_from_beside_it():
    """And its own modules by dots alone, as the other tests read them."""
    beside = {"recipes", "benchmarks", "tests", "seediff"}
    for path in PACKAGE.rglob("*.py"):
        for node in imports(path):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [] if node.level else [node.module]
            assert not beside & {name.partition(".")[0] for name in names}, path
