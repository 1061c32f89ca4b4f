"""Allowed values of a configuration's fields, declared in their types: `Literal` for texts, `Annotated` with `msgspec.Meta` for bounds.

The same check runs when a configuration is made and when a file with some of its fields is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Meta

from ..errors import UserError
from ..files.documents import fit
from ..files.messages import printable, shown

Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
AtLeastZero = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Timestep = Annotated[int, Meta(ge=0, lt=1000, description="a whole number from 0 to 999")]
"""A noise level."""
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1, description="in [0, 2^63)")]


@lru_cache
def field_types(kind: type) -> dict[str, Any]:
    """Field → its type with bounds, for the fields that are compared."""
    hints = get_type_hints(kind, include_extras=True)
    return {f.name: hints[f.name] for f in fields(kind) if f.compare}


def check_fields(config: Any) -> None:
    """Raise UserError for the first field of a dataclass whose text, number or list its type does not allow. Lists become tuples and paths
    texts, so that equal values are equal however they were given."""
    for name, hint in field_types(type(config)).items():
        value = getattr(config, name)
        if isinstance(value, PurePath):
            object.__setattr__(config, name, str(value))
        if wanted := misfit(value, hint):
            raise UserError(f"{name} = {value!r} must be {wanted}")
        if isinstance(value, list):
            object.__setattr__(config, name, tuple(value))


def misfit(value: Any, hint: Any) -> str:
    """If the type does not allow the value, the requirement, such as `in (0, 1] or 'otsu'`; otherwise ""."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value is None and NoneType in parts:
        return ""
    is_list = isinstance(value, (tuple, list))
    wanted = [_wanted(value, part) for part in parts if part is not NoneType and (get_origin(part) is tuple) == is_list]
    if not wanted and isinstance(value, (str, int, float, tuple, list)):
        return "one value" if is_list else "a list"
    return " or ".join(wanted) if all(wanted) else ""


def _wanted(value: Any, part: Any) -> str:
    origin, arguments = get_origin(part), get_args(part)
    if origin is Literal:
        texts = [repr(argument) for argument in arguments]
        return "" if value in arguments else " or ".join(texts) if len(texts) < 3 else f"one of {', '.join(texts)}"
    if origin is tuple and (arguments[-1] is ... or len(arguments) == len(value)):
        each = [misfit(inner, arguments[0 if arguments[-1] is ... else i]) for i, inner in enumerate(value)]
        return next((f"a list, every value {wanted}" for wanted in each if wanted), "")
    if origin is not Annotated:
        return ""
    kind, meta = arguments[0], arguments[1]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (kind is int and not isinstance(value, int)):
        return meta.description or ("a whole number" if kind is int else "a number")
    low, high = meta.gt if meta.ge is None else meta.ge, meta.lt if meta.le is None else meta.le
    above, below = low is None or value > low or value == meta.ge, high is None or value < high or value == meta.le
    if math.isfinite(value) and above and below:
        return ""
    if meta.description or low is None:
        return meta.description or f"at most {high:g}"
    if high is None:
        return f"{'above' if meta.ge is None else 'at least'} {low:g}"
    return f"in {'(' if meta.ge is None else '['}{low:g}, {high:g}{')' if meta.le is None else ']'}"


def checked(kind: type, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A table with some of a dataclass's fields, converted to their types.

    Raises UserError for unknown names, wrong types and values out of bounds.
    """
    known = field_types(kind)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise UserError(where, f"there is no option '{printable(str(key)[:200])}'", f"options here: {', '.join(known)}")
        if is_dataclass(known[key]):
            if not isinstance(value, dict):
                raise UserError(where, f"'{key}' must be a table: [{key}]")
            values[key] = checked(known[key], value, f"{where} [{key}]")  # type: ignore[arg-type]
            continue
        try:
            values[key] = fit(value, known[key], where)
        except UserError as error:
            wanted = misfit(value, known[key])
            said = f"must be {wanted}" if wanted else error.problem
            raise UserError(where, f"{key} = {shown(value)}{'' if said.startswith('must') else ':'} {said}") from error
    return values
