"""Files' contents are parsed in src/seediff/files and nowhere else: where they are not, it is said here why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import seediff

ROOT = Path(seediff.__file__).parent
PARSERS = {
    "json": {"load", "loads", "JSONDecoder"},
    "csv": {"reader", "DictReader"},
    "yaml": {"load", "load_all", "safe_load", "safe_load_all", "full_load", "unsafe_load"},
    "tomllib": {"load", "loads"},
    "tomli": {"load", "loads"},
    "pickle": {"load", "loads", "Unpickler"},
    "numpy": {"load", "loadtxt", "genfromtxt", "fromfile"},
    "torch": {"load"},
    "safetensors": {"safe_open", "deserialize"},
    "safetensors.torch": {"load", "load_file", "load_model"},
    "safetensors.numpy": {"load", "load_file"},
    "xml.etree.ElementTree": {"parse", "fromstring", "iterparse", "XML"},
    "msgspec.json": {"decode", "Decoder"},
    "msgspec.toml": {"decode"},
    "msgspec.yaml": {"decode"},
    "PIL.Image": {"open"},
    "tarfile": {"open", "TarFile"},
    "zipfile": {"ZipFile"},
}
"""Module → what of it parses text or bytes that may be a file's."""
ALLOWED = {
    ("dataset/formats/webdataset.py", "tarfile.TarFile"): "a type, in annotations",
    (
        "dataset/formats/webdataset.py",
        "tarfile.open",
    ): "WebDataset's shards: names, kinds and sizes of members are looked at before one is read",
    (
        "models/trust.py",
        "json.loads",
    ): "configurations as diffusers writes them, with infinite numbers",
    ("train/run.py", "json.loads"): "what transformers has just written of its configuration, no file",
}


def calls(path: Path) -> Iterator[str]:
    """Calls of parsers in a module, as `module.name`, whatever they were imported as."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                one.asname or one.name.split(".")[0]: one.name if one.asname else one.name.split(".")[0]
                for one in node.names
            }
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Name)):
            module, _, name = spelled(node, names).rpartition(".")
            if name in PARSERS.get(module, ()):
                yield f"{module}.{name}"


def spelled(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{spelled(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else "?"


def test_files_are_parsed_in_one_layer() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), call)
        for path in sorted(ROOT.rglob("*.py"))
        if path.parent != ROOT / "files"
        for call in calls(path)
    }
    assert found == set(ALLOWED)  # neither more, nor a reason for what is no longer there
