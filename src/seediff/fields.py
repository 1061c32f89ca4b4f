"""Tables from TOML and JSON files, checked against the fields of a dataclass: names and types, not yet values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .errors import UserError


def checked(cls: type, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The table with lists as tuples and whole numbers as floats where a float belongs. UserError for unknown names and wrong types."""
    hints = get_type_hints(cls)
    known = {f.name: hints[f.name] for f in fields(cls)}
    fitted: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise UserError(f"{where}: there is no option '{key}'; options here: {', '.join(known)}")
        if is_dataclass(known[key]):
            if not isinstance(value, dict):
                raise UserError(f"{where}: '{key}' must be a table: [{key}]")
            fitted[key] = checked(known[key], value, f"{where} [{key}]")  # type: ignore[arg-type]
            continue
        found = _fitted(value, known[key])
        if found is None:
            raise UserError(f"{where}: {key} = {json.dumps(value, ensure_ascii=False, default=str)} must be {_described(known[key])}")
        fitted[key] = found
    return fitted


def _fitted(value: Any, hint: Any) -> Any | None:
    """The value as the type wants it, or None when it is of another type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return next((fit for arg in args if (fit := _fitted(value, arg)) is not None), None)
    if origin is Literal:
        return value if isinstance(value, str) and value in args else None
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            return None
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        fits = [_fitted(v, kind) for v, kind in zip(value, kinds, strict=False)]
        return tuple(fits) if len(kinds) == len(value) and None not in fits else None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value if type(value) is hint else None


def _described(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_described(arg) for arg in args if arg is not NoneType)
    if origin is Literal:
        return " or ".join(repr(arg) for arg in args)
    if origin is tuple:
        return f"a list of {_described(args[0]).removeprefix('a ')}s" if args[-1] is Ellipsis else f"a list of {len(args)} numbers"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(hint, str(hint))
