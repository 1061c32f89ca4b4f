"""Values from any file as a type wants them: `fit` returns the typed value, or tells in one line where and why it is none.

A type is anything that msgspec knows: frozen dataclasses, `msgspec.Struct`, `list[int]`, `dict[str, float]`, `Literal`, unions with
None, and `Annotated` with `msgspec.Meta(ge=0)` for bounds. Nothing is converted but whole numbers to float where a float belongs, and
lists to tuples: "5" is no number, and 1 not true. Unknown names are passed over by dataclasses; a Struct may forbid them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from ..errors import UserError
from .messages import printable, shown

T = TypeVar("T")
DEPTH = 64
"""Levels of lists and tables in a document. Ours have six."""
_NESTING = (dict, list, tuple)
TRIED = 100_000
"""Entries of a table that are tried one by one to find the wrong one, for the message."""


def fit(value: Any, kind: type[T], where: str) -> T:
    """The value as `kind`. where: the file, and the line or row in it, for the message. Raises UserError."""
    try:
        return _converted(value, kind)
    except msgspec.ValidationError as error:
        raise UserError(explain(error, value, kind, where)) from error
    except (UserError, RecursionError) as error:  # the value's own check of itself; or nested too deep
        raise UserError(f"{where}: {error if isinstance(error, UserError) else TOO_DEEP}") from error


LEARNING = threading.RLock()
_LEARNED: set[Any] = set()


def _converted(value: Any, kind: type[T]) -> T:
    """msgspec 0.22 ends the process when two threads meet a type for the first time: one at a time, then."""
    if kind in _LEARNED:
        return msgspec.convert(value, kind)
    with LEARNING:
        try:
            return msgspec.convert(value, kind)
        finally:
            _LEARNED.add(kind)


TABLE = "a table of names and values"
TOO_DEEP = f"lists and tables stand in each other more than {DEPTH} levels deep"


def check_depth(value: Any, where: str) -> None:
    """Raise UserError when lists and tables in a decoded document are nested deeper than DEPTH."""
    level = [value] if isinstance(value, _NESTING) else []
    for _ in range(DEPTH):
        level = [v for one in level for v in (one.values() if isinstance(one, dict) else one) if isinstance(v, _NESTING)]
    if level:
        raise UserError(f"{where}: {TOO_DEEP}")


def find(value: Any, kind: type, wanted: Callable[[Any], bool] = lambda one: True) -> tuple[str | int, ...] | None:
    """Where in a decoded document the first value of a kind stands; None where there is none."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        steps, one = waiting.pop()
        if isinstance(one, kind) and wanted(one):
            return steps
        inner = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, (list, tuple)) else ()
        waiting += [((*steps, key), v) for key, v in inner]
    return None


def explain(error: msgspec.ValidationError, value: Any, kind: Any, where: str) -> str:
    """msgspec's message as ours: the file, the place in it, what was there and what should be."""
    found = re.fullmatch(r"(.*?)(?: - at (`key` in )?`(\$.*)`)?", str(error), re.DOTALL)
    said, of_key, path = found.groups() if found else (str(error), None, None)
    steps = _resolve(_steps(path or "$"), value, kind)
    place, there = place_of(steps), value_at(value, steps)
    wanted = type_at(kind, steps)
    if missing := re.fullmatch(r"Object missing required field `(.*)`", said):
        name = ".".join(filter(None, (place, missing[1])))
        return f"{where}: '{name}' is missing; it must be {describe(type_at(kind, [*steps, missing[1]]))}"
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", said):
        known = ", ".join(get_type_hints(_plain(wanted))) if wanted is not None else ""
        return f"{where}: there is no option '{printable(unknown[1])}'{' in ' + place if place else ''}; options here: {known}"
    if of_key:
        return f"{where}: a name in {place or 'it'} is not as it should be: {printable(said)}"
    if not re.match(r"Expected|Invalid|Integer|Number|Object", said):  # a type's own check of its values
        return f"{where}: {place + ': ' if place else ''}{printable(said)}"
    should = describe(wanted) if wanted is not None else printable(said)
    if re.match(r"(Integer value|Number) out of range", said):
        should += ", and of a size that computers reckon with"
    return f"{where}: {place} = {shown(there)} must be {should}" if place else f"{where}: must be {should}, not {shown(there)}"


def describe(hint: Any) -> str:
    """A type in words: "a whole number", "a list of texts", "'a' or 'b'"."""
    hint, bounds = _annotated(hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(describe(arg) for arg in args if arg is not NoneType) + bounds
    if origin is Literal:
        return " or ".join(repr(arg) for arg in args)
    if origin is tuple and args[-1] is not Ellipsis:
        return f"a list of {len(args)} {_plural(describe(args[0]))}"
    if origin in (list, tuple, set, frozenset) and args:
        return f"a list of {_plural(describe(args[0]))}{bounds}"
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return TABLE if args[1] is Any else f"a table of names, each with {describe(args[1])}{bounds}"
    plain = {
        int: "a whole number",
        float: "a number",
        str: "a text",
        bool: "true or false",
        list: "a list",
        dict: TABLE,
    }
    if hint is Any:
        return "any value"
    if hint in plain:
        return plain[hint] + bounds
    if hint is NoneType:
        return "nothing"
    return TABLE if isinstance(hint, type) else str(hint)


def _plural(words: str) -> str:
    words = words.removeprefix("a ")
    head, of, rest = words.partition(" of ")
    if words.startswith(("list", "table")):
        return f"{head}s{of}{rest}"
    head, bound, rest = words.partition(" from ") if " from " in words else words.partition(" of at ")
    return words if " or " in words else f"{head}s{bound}{rest}"


def _annotated(hint: Any) -> tuple[Any, str]:
    """A type without its bounds, and these in words."""
    if get_origin(hint) is not Annotated:
        return hint, ""
    inner, *notes = get_args(hint)
    inner, words = _annotated(inner)
    for meta in (note for note in notes if isinstance(note, msgspec.Meta)):
        low, high = (meta.ge if meta.ge is not None else meta.gt), (meta.le if meta.le is not None else meta.lt)
        if low is not None and high is not None:
            words += f" from {low} to {high}" if meta.lt is None else f" from {low} to below {high}"
        elif low is not None:
            words += f" of at least {low}" if meta.gt is None else f" above {low}"
        elif high is not None:
            words += f" of at most {high}" if meta.lt is None else f" below {high}"
        if meta.min_length is not None:
            words += " that is not empty" if meta.min_length == 1 else f" with at least {meta.min_length}"
        if meta.max_length is not None:
            words += f" with at most {meta.max_length}"
    return inner, words


def _plain(hint: Any) -> Any:
    """Without bounds, and of a union with None the other part."""
    hint = _annotated(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        parts = [arg for arg in get_args(hint) if arg is not NoneType]
        return _plain(parts[0]) if len(parts) == 1 else hint
    return hint


def _steps(path: str) -> list[str | int | None]:
    """`$.a[3][...]` as ["a", 3, None]: None stands for a name that msgspec does not tell."""
    return [name or (None if index == "..." else int(index)) for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]", path)]


def _resolve(steps: list[str | int | None], value: Any, kind: Any) -> list[str | int]:
    """The steps with the names that msgspec left out, found by trying a table's entries one at a time."""
    done: list[str | int] = []
    for step in steps:
        if step is None:
            table = value_at(value, done)
            if isinstance(table, Mapping):
                step = next((key for key in list(table)[:TRIED] if not _fits(_with(value, done, {key: table[key]}), kind)), None)
            if step is None:
                return done
            value = _with(value, done, {step: table[step]})
        done.append(step)
    return done


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except Exception:
        return False
    return True


def _with(value: Any, steps: list[str | int], part: Any) -> Any:
    """The value with another part at a place."""
    if not steps:
        return part
    inner = _with(value[steps[0]], steps[1:], part)
    if isinstance(value, Mapping):
        return {**value, steps[0]: inner}
    return [inner if i == steps[0] else one for i, one in enumerate(value)]


def value_at(value: Any, steps: Sequence[str | int]) -> Any:
    for step in steps:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def place_of(steps: Sequence[str | int]) -> str:
    """`["a", 3, "b c"]` as `a[3]["b c"]`."""
    words = ""
    for step in steps:
        if isinstance(step, int):
            words += f"[{step}]"
        elif step.isidentifier():
            words += f".{step}" if words else step
        else:
            words += f"[{shown(step)}]"
    return words


def type_at(kind: Any, steps: list[str | int]) -> Any:
    """The type that stands at a place of a type; None where it cannot be told."""
    for step in steps:
        kind = _plain(kind)
        origin, args = get_origin(kind), get_args(kind)
        if origin in (list, tuple, set, frozenset) and args:
            kind = args[step] if origin is tuple and args[-1] is not Ellipsis and isinstance(step, int) and step < len(args) else args[0]
        elif len(args) == 2 and origin not in (Union, UnionType):
            kind = args[1]
        elif isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, msgspec.Struct) or hasattr(kind, "__total__")):
            kind = get_type_hints(kind, include_extras=True).get(str(step))
        else:
            return None
    return kind


def checked(kind: type, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A table that names some of a dataclass's fields, each as its type wants it: for configurations that are put together of several.

    Raises UserError for unknown names and wrong types, not yet for values.
    """
    hints = get_type_hints(kind, include_extras=True)
    known = {f.name: hints[f.name] for f in fields(kind)}
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise UserError(f"{where}: there is no option '{printable(str(key)[:200])}'; options here: {', '.join(known)}")
        if is_dataclass(known[key]):
            if not isinstance(value, dict):
                raise UserError(f"{where}: '{key}' must be a table: [{key}]")
            found[key] = checked(known[key], value, f"{where} [{key}]")  # type: ignore[arg-type]
            continue
        try:
            found[key] = msgspec.convert(value, known[key])
        except (msgspec.ValidationError, RecursionError) as error:
            raise UserError(f"{where}: {key} = {shown(value)} must be {describe(known[key])}") from error
    return found
