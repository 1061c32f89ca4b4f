"""Options of the command line made from the fields of a configuration: their types, texts and defaults are written there, once.

The text of an option is what stands beneath the field in the source.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, make_dataclass
from functools import lru_cache, reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from cyclopts import Group, Parameter, Token

Options = TypeVar("Options")


class FieldText(NamedTuple):
    """text: the first paragraph beneath the field, in one line, without what None means. default: in the words of a command line; for
    None, what it means; "" where there is nothing to say."""

    text: str
    default: str


def field_texts(kind: type) -> dict[str, FieldText]:
    """Field → its text and default, of a configuration's class and of those that it inherits from."""
    beneath: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        beneath |= _beneath(base.__module__).get(base.__name__, {})
    return {f.name: _text(beneath.get(f.name, ""), f.default) for f in fields(kind) if f.compare}


def _text(paragraphs: str, default: Any) -> FieldText:
    text = " ".join(paragraphs.split("\n\n")[0].split())
    parts = re.fullmatch(r"(.*?)[;.] None: (.*?)\.?", text)
    unset = parts[2] if parts else ""
    return FieldText(f"{parts[1]}." if parts else text, unset if default is None else _shown(default))


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
        node.name: {
            field.target.id: beneath.value.value
            for field, beneath in zip(node.body, node.body[1:], strict=False)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(beneath, ast.Expr)
            and isinstance(beneath.value, ast.Constant)
            and isinstance(beneath.value.value, str)
        }
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def option(group: Group, text: str, default: object = None, **parameter: Any) -> Parameter:
    """An option with its help and the default that applies when nobody gives it."""
    return Parameter(group=group, help=text, show_default=str(default) if default not in (None, "") else False, **parameter)


def field_option(kind: type, name: str, group: Group, /, **change: Any) -> Parameter:
    """The option of one field. change: its `text` or `default` in other words, and what else `Parameter` takes."""
    about = field_texts(kind)[name]
    return option(group, change.pop("text", about.text), change.pop("default", about.default), **change)


def options_of(kind: type, layout: Mapping[Group, str], /, **changes: Mapping[str, Any]) -> Callable[[type[Options]], type[Options]]:
    """A decorator: the class with an option for each of the fields that `layout` names, by group, None where it is not given.

    changes: of a field, its `type` on the command line, and what `field_option` takes. Fields that the class has itself stay as they
    are; they stand in the layout too, for their place in the help.
    """

    def decorate(cls: type[Options]) -> type[Options]:
        hints, declared = get_type_hints(kind), get_type_hints(cls, include_extras=True)
        made = []
        for group, names in layout.items():
            for name in names.split():
                change = dict(changes.get(name, {}))
                typed = change.pop("type", None) or _typed(hints.get(name, str))
                if typed is int:
                    change.setdefault("converter", whole_number)
                made.append((name, declared.get(name) or Annotated[typed | None, field_option(kind, name, group, **change)], None))
        together = make_dataclass(cls.__name__, made, frozen=True, namespace={"__doc__": cls.__doc__, "__module__": cls.__module__})
        return Parameter(name="*")(together)

    return decorate


def whole_number(_: Any, tokens: Sequence[Token]) -> int:
    """An int as it was written: the parser's own takes 2.5 for 2."""
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise ValueError(f"{tokens[0].value!r} is not a whole number") from error


def _typed(hint: Any) -> Any:
    """A field's type on the command line: without None, and a text with commas where there may be a tuple."""
    parts = [part for part in get_args(hint) if part is not NoneType] if get_origin(hint) in (Union, UnionType) else [hint]
    return str if any(get_origin(part) is tuple for part in parts) else reduce(or_, parts)
