import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "seediff"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LAYERS = re.findall(r"^\| `(\w+)` \|", PAGE.split("| layer |")[1].split("\n\n")[0], re.M)


def imported(code, package):
    """(line, folder or module at the top) of every import within seediff, also in functions. package: the module's, ()
    at the top.
    """
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            absolute = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ["seediff", *package[: len(package) - node.level + 1]] if node.level else []
            module = [*base, *(node.module or "").split(".")] if node.module else base
            absolute = [[*module, alias.name] for alias in node.names]
        else:
            continue
        for parts in absolute:
            if parts[0] == "seediff" and len(parts) > 1 and parts[1] != "__version__":
                yield node.lineno, parts[1]


def upward(layer, code, package):
    return [(line, other) for line, other in imported(code, package) if LAYERS.index(other) > LAYERS.index(layer)]


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in ("__init__", "__main__"):
            yield path, parts[0], parts[:-1]


def test_every_folder_and_module_at_the_top_has_a_layer():
    there = {
        path.stem if path.suffix else path.name
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert sorted(there - {"__init__", "__main__"}) == sorted(LAYERS)


def test_no_module_imports_from_a_layer_below_its_own():
    found = [
        f"{path}:{line} imports {other}"
        for path, layer, package in modules()
        for line, other in upward(layer, path.read_text("utf-8"), package)
    ]
    assert not found


def test_no_circles_between_modules():
    names = {
        path: ".".join(p for p in path.relative_to(PACKAGE).with_suffix("").parts if p != "__init__")
        for path, _, _ in modules()
    }
    known = set(names.values())
    TopologicalSorter(
        {name: _modules_imported(path, known) - {name} for path, name in names.items()}
    ).prepare()  # CycleError names them


def _modules_imported(path, known):
    package = path.relative_to(PACKAGE).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = [*package[: len(package) - node.level + 1], *(node.module.split(".") if node.module else ())]
            for alias in node.names:
                whole = ".".join([*module, alias.name])
                found.add(whole if whole in known else ".".join(module))
    return found & known


def test_the_package_imports_nothing_from_beside_it():
    beside = re.compile(r"^\s*(?:from|import) (?:recipes|benchmarks|tests)\b", re.M)
    assert [path for path in PACKAGE.rglob("*.py") if beside.search(path.read_text("utf-8"))] == []
