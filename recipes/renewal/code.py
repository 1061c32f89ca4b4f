"""A fingerprint of Python code that changes with what the code computes, not with how it is written.

Docstrings, comments, layout, annotations, imports, error messages, names of local variables, and the order and files of functions and
constants do not count. Other names, and how code is divided into functions, do: `recipes/renew.py --accept` is for changing those.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
PROSE = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx"}
"""Fields of a syntax node that do not affect results."""


def folder_fingerprint(folder: Path) -> str:
    """The fingerprint of all Python modules below a folder."""
    return code_fingerprint(path.read_text(encoding="utf-8") for path in folder.rglob("*.py"))


def code_fingerprint(sources: Iterable[str]) -> str:
    """The fingerprint of the sources of modules, in any order."""
    statements = [shape for source in sources for shape in _statements(ast.parse(source))]
    return hashlib.sha256("\n".join(sorted(statements)).encode()).hexdigest()[:16]


def _statements(module: ast.Module) -> Iterator[str]:
    for node in module.body:
        if not _is_prose(node):
            yield repr(_shape(node, {}))


def _is_prose(node: Any) -> bool:
    """Whether a statement is an import, an `if TYPE_CHECKING:`, or a bare constant such as a docstring."""
    return (
        isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING")
    )


def _shape(node: Any, names: Mapping[str, str]) -> Any:
    """The tree as nested tuples, the same in every version of Python. names: local variable → the name used instead."""
    if isinstance(node, list):
        return tuple(_shape(each, names) for each in node if not _is_prose(each))
    if isinstance(node, ast.Raise):
        return ("Raise",)
    if isinstance(node, ast.Constant):
        return ("Constant", repr(node.value))
    if isinstance(node, ast.Name | ast.arg):
        name = node.id if isinstance(node, ast.Name) else node.arg
        return ("Name", names.get(name, name))
    if not isinstance(node, ast.AST):
        return node
    if isinstance(node, Function) and not names:
        names = _local_names(node)
    fields = ((field, value) for field, value in ast.iter_fields(node) if field not in PROSE and value not in (None, []))
    return (type(node).__name__, *((field, _shape(value, names)) for field, value in fields))


def _local_names(function: Function) -> dict[str, str]:
    """The function's arguments and variables → numbered names, in the order in which they appear."""
    bound = [
        node.arg if isinstance(node, ast.arg) else node.id
        for node in ast.walk(function)
        if isinstance(node, ast.arg) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    ]
    return {name: f"local {number}" for number, name in enumerate(dict.fromkeys(bound))}
