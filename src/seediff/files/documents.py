"""JSON, JSON lines, TOML and YAML: a file, or bytes from within another, as a type of schema.py.

Refused in one line, with its place: what is malformed, not a number (NaN, Infinity), of more digits than 64 bits hold, a lone
surrogate, nested deeper than DEPTH, larger than its limit; in YAML also aliases, which make gigabytes of a few lines.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..errors import UserError, first_line
from .messages import printable
from .reading import ABSENT, ANNOTATIONS, LINE, RECORD, SETTINGS, open_regular, read_bytes, read_text
from .schema import DEPTH, LEARNING, TOO_DEEP, check_depth, explain, find, fit, place_of, value_at

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]

T = TypeVar("T")
_HALF = re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])")
BOM = b"\xef\xbb\xbf"
HUGE = "a number must be of a size that computers reckon with (64 bits)"


def read_json(path: Path | str, kind: type[T], *, limit: int = RECORD, absent: str = ABSENT) -> T:
    """A JSON document as `kind`, such as a frozen dataclass or `dict[str, Any]`. Raises UserError."""
    return parse_json(read_bytes(path, limit, absent), kind, str(path))


def parse_json(data: bytes | str, kind: type[T], where: str) -> T:
    """JSON from within another file. where: how messages call the place. Raises UserError."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data.removeprefix(BOM)
    try:
        found = _decoder(kind).decode(raw)
    except msgspec.ValidationError as error:
        raise UserError(_told(error, raw, kind, where)) from error
    except RecursionError as error:
        raise UserError(f"{where}: {TOO_DEEP}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{where}: is not JSON: {_malformed(error, raw)}") from error
    except UserError as error:  # the value's own check of itself
        raise UserError(f"{where}: {error}") from error
    if raw.count(b"[") + raw.count(b"{") > DEPTH:
        check_depth(found, where)
    return found


def _told(error: msgspec.ValidationError, raw: bytes, kind: type, where: str) -> str:
    try:
        return explain(error, msgspec.json.decode(raw), kind, where)
    except RecursionError:
        return f"{where}: {TOO_DEEP}"
    except (msgspec.DecodeError, UnicodeDecodeError) as other:  # a number that no type holds, or what follows is malformed too
        try:
            value = json.loads(raw, parse_int=partial(_or_huge, int), parse_float=partial(_or_huge, float))
        except (ValueError, RecursionError):
            return f"{where}: is not JSON: {_malformed(other, raw)}"
        steps = find(value, _Huge) or ()
        place = place_of(steps)
        return f"{where}: {place + ': ' if place else ''}{HUGE}"


class _Huge:
    """Stands for a number that msgspec does not read."""


def _or_huge(kind: Callable[[str], float], text: str) -> Any:
    return _Huge() if len(text) > 300 or not math.isfinite(kind(text)) else kind(text)


@lru_cache(64)
def _decoder(kind: Any) -> Any:
    with LEARNING:
        return msgspec.json.Decoder(kind)


def _malformed(error: Exception, raw: bytes) -> str:
    said = re.fullmatch(r"(?:JSON is malformed: )?(.*?)(?: \(byte (\d+)\))?", str(error), re.DOTALL)
    if isinstance(error, UnicodeDecodeError) or said is None:
        return "the text is not UTF-8"
    if "surrogate" in said[1] or ("truncated" in said[1] and _HALF.search(raw)):
        return "a \\u escape stands for half a character (a lone surrogate)"
    if said[2] is None:
        return "it ends in the middle" if "truncated" in str(error) else said[1]
    at = int(said[2])
    line, begin = raw.count(b"\n", 0, at) + 1, raw.rfind(b"\n", 0, at) + 1
    return f"{said[1]}, at " + (f"line {line}, " if line > 1 else "") + f"character {at - begin + 1}"


def read_json_lines(path: Path | str, kind: type[T], *, limit: int = ANNOTATIONS, absent: str = ABSENT) -> Iterator[tuple[int, T]]:
    """(line number, value) of a file with one JSON value per line; empty lines are passed over. Raises UserError naming the line.

    Read as it is asked for, so that a file of rubbish is refused at its first line.
    """
    for number, line in numbered_lines(path, limit=limit, absent=absent):
        yield number, parse_json(line, kind, f"{path}, line {number}")


def numbered_lines(path: Path | str, *, limit: int = ANNOTATIONS, absent: str = ABSENT) -> Iterator[tuple[int, bytes]]:
    """(line number, bytes) of every line that is not blank, each of at most LINE bytes."""
    with open_regular(path, limit, absent) as file:
        number = 0
        while line := file.readline(LINE + 1):
            number += 1
            if len(line) > LINE:
                raise UserError(f"{path}, line {number}: is longer than {LINE} bytes, which no row is")
            line = line.removeprefix(BOM) if number == 1 else line
            if line.strip():
                yield number, line


def read_toml(path: Path | str, kind: type[T] = dict[str, Any], *, limit: int = SETTINGS, absent: str = ABSENT) -> T:
    """A TOML file as `kind`. Raises UserError."""
    text = read_text(path, limit, absent)
    try:
        found = tomllib.loads(text)
    except RecursionError as error:
        raise UserError(f"{path}: {TOO_DEEP}") from error
    except ValueError as error:  # TOMLDecodeError, and a number of more digits than Python reads
        said = HUGE if "integer string conversion" in str(error) else printable(first_line(error))
        raise UserError(f"{path}: is not TOML: {said}") from error
    check_depth(found, str(path))
    if steps := find(found, float, lambda value: not math.isfinite(value)):
        raise UserError(f"{path}: {place_of(steps)} = {value_at(found, steps)} must be a number")
    return fit(found, kind, str(path))


def read_yaml(path: Path | str, kind: type[T] = dict[str, Any], *, limit: int = SETTINGS, absent: str = ABSENT) -> T:
    """A YAML file as `kind`: plain values only, no aliases. Raises UserError."""
    return parse_yaml(read_text(path, limit, absent), kind, str(path))


def parse_yaml(text: str, kind: type[T], where: str) -> T:
    """YAML from within another file. Raises UserError."""
    import yaml

    try:
        _check_events(text, where)
        found = yaml.load(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError, ArithmeticError, TypeError, AttributeError, LookupError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        said = getattr(error, "problem", None) or first_line(error)
        raise UserError(f"{where}{line}: is not YAML: {printable(said)}") from error
    return fit(found, kind, where)


def _check_events(text: str, where: str) -> None:
    """Raise UserError for what must not be put together: aliases, and nesting that recursion would not survive."""
    import yaml

    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise UserError(f"{where}, line {event.start_mark.line + 1}: has an alias (*{printable(str(event.anchor))}); write it out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise UserError(f"{where}, line {event.start_mark.line + 1}: {TOO_DEEP}")
