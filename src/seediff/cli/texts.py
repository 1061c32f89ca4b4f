"""What the fields of a configuration say of themselves: the text beneath each, which `--help` shows too."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from dataclasses import MISSING, fields
from functools import lru_cache
from typing import Any, NamedTuple


class FieldText(NamedTuple):
    """text: the first paragraph beneath the field, in one line, without what None means. default: in the words of a command line; for
    None, what it means; "" where there is nothing to say."""

    text: str
    default: str


def field_texts(kind: type) -> dict[str, FieldText]:
    """Field → its text and default, of a configuration's class and of those that it inherits from."""
    beneath: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        beneath |= _beneath(one.__module__).get(one.__name__, {})
    return {f.name: _text(beneath.get(f.name, ""), f.default) for f in fields(kind) if f.compare}


def _text(paragraphs: str, default: Any) -> FieldText:
    text = " ".join(paragraphs.split("\n\n")[0].split())
    said = re.fullmatch(r"(.*?)[;.] None: (.*?)\.?", text)
    unset = said[2] if said else ""
    return FieldText(f"{said[1]}." if said else text, unset if default is None else _shown(default))


def _shown(value: Any) -> str:
    if value is MISSING or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


@lru_cache
def _beneath(module: str) -> dict[str, dict[str, str]]:
    """Class → field → the string beneath it, from a module's source; nothing where the source is not there."""
    if not module.startswith("seediff."):
        return {}
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:
        return {}
    return {
        one.name: {
            field.target.id: beneath.value.value
            for field, beneath in zip(one.body, one.body[1:], strict=False)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(beneath, ast.Expr)
            and isinstance(beneath.value, ast.Constant)
            and isinstance(beneath.value.value, str)
        }
        for one in tree.body
        if isinstance(one, ast.ClassDef)
    }
