"""Reads foreign documents as typed values: JSON, JSON lines, TOML, YAML, CSV and XML. `fit` checks any value.

A type is anything that msgspec knows: frozen dataclasses, `msgspec.Struct`, `list[int]`, `dict[str, float]`, `Literal`,
unions with None, and `Annotated` with `msgspec.Meta(ge=0)` for bounds. Only whole numbers are converted to float where
a float is expected, and lists to tuples: "5" is not a number, and 1 is not true. Dataclasses ignore unknown names; a
Struct may forbid them.

These are refused in one line that names the place: malformed values, numbers that are not finite, nesting too deep for
the parser, files above their limit, aliases in YAML and document types in XML (a few lines of which can become
gigabytes).
"""

from __future__ import annotations

import csv
import io
import math
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from xml.parsers import expat

import msgspec

from ..errors import UserError, first_line
from .messages import show_json
from .reading import ABSENT, ANNOTATIONS, LINE, LIST, RECORD, SETTINGS, open_regular, read_bytes, read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]

T = TypeVar("T")
TOO_DEEP = "is nested too deeply"
HUGE = "a number must fit in 64 bits"
BOM = b"\xef\xbb\xbf"
_LEARNING = threading.RLock()
"""msgspec 0.22 crashes if two threads use a type for the first time at once, so this lock lets in one at a time."""


# Values of a type.


def fit(value: Any, kind: type[T], where: str, *, strict: bool = True) -> T:
    """The value as `kind`. where: the file, and its line or row, for the message. strict=False: numbers and truth may
    be texts, as in an address. Raises UserError."""
    try:
        with _LEARNING:
            return msgspec.convert(value, kind, strict=strict)
    except (msgspec.ValidationError, UserError, RecursionError) as error:
        raise UserError(where, _reason(error)) from error


def _reason(error: Exception) -> str:
    """msgspec's message, after the place in the value."""
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if isinstance(error, UserError):  # the value's own check
        return str(error)
    said, _, place = str(error).partition(" - at ")
    return f"{place}: {said[:300]}" if place else said[:300]


def _check_finite(document: Any, where: str) -> None:
    """Raise UserError for a number in TOML or YAML that is not finite. JSON has none."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(where, "holds inf or nan", "every number must be finite")
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


# JSON.


def read_json(path: Path | str, kind: type[T], *, limit: int = RECORD, absent: str = ABSENT) -> T:
    """A JSON document as `kind`, such as a frozen dataclass or `dict[str, Any]`. Raises UserError."""
    return parse_json(read_bytes(path, limit, absent), kind, str(path))


def parse_json(data: bytes | str, kind: type[T], where: str) -> T:
    """JSON from within another file. where: the place, for messages. Raises UserError."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data.removeprefix(BOM)
    try:
        return _decoder(kind).decode(raw)
    except (msgspec.ValidationError, UserError, RecursionError) as error:
        raise UserError(where, _reason(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said = (
            str(error).removeprefix("JSON is malformed: ")
            if isinstance(error, msgspec.DecodeError)
            else "the text is not UTF-8"
        )
        byte = re.search(r"\(byte (\d+)\)", said)
        line = raw.count(b"\n", 0, int(byte[1])) if byte else 0
        raise UserError(f"{where}, line {line + 1}" if line else where, f"is not JSON: {said}") from error


@lru_cache(64)
def _decoder(kind: Any) -> Any:
    with _LEARNING:
        return msgspec.json.Decoder(kind)


def read_json_lines(path: Path | str, kind: type[T], *, absent: str = ABSENT) -> Iterator[tuple[int, T]]:
    """(line number, value) of a file with one JSON value per line, of at most LINE bytes; empty lines are skipped.
    Raises UserError naming the line.

    Reads lazily, so that a wrong file is refused at its first line.
    """
    with open_regular(path, ANNOTATIONS, absent) as file:
        number = 0
        while line := file.readline(LINE + 1):
            number += 1
            where = f"{path}, line {number}"
            if len(line) > LINE:
                raise UserError(where, f"is longer than {LINE} bytes, which no row is")
            if line.removeprefix(BOM).strip():
                yield number, parse_json(line, kind, where)


# TOML and YAML.


def read_toml(path: Path | str) -> dict[str, Any]:
    """A TOML file. Raises UserError."""
    text = read_text(path, SETTINGS)
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise UserError(path, TOO_DEEP) from error
    except ValueError as error:  # TOMLDecodeError, and a number of more digits than Python reads
        said = HUGE if "integer string conversion" in str(error) else first_line(error)
        raise UserError(path, f"is not TOML: {said}") from error
    _check_finite(document, str(path))
    return fit(document, dict[str, Any], str(path))


DEPTH = 64
"""Maximum nesting of lists and tables in YAML, whose parser crashes at some ten thousand levels."""
PLAIN, NUMERIC = 300, re.compile(r"[-+.0-9]")
"""Maximum characters of an unquoted number, because YAML evaluates base-60 numbers digit by digit."""


def read_yaml(path: Path | str, kind: type[T] = dict[str, Any]) -> T:
    """A YAML file as `kind`: plain values only, no aliases. Raises UserError."""
    import yaml

    text, where = read_text(path, SETTINGS), str(path)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_events(text, loader, where)
        document = yaml.load(text, loader)
    except UserError:
        raise
    except Exception as error:  # the parser raises nearly anything
        mark = getattr(error, "problem_mark", None)
        line = f", line {min(mark.line, text.count(chr(10))) + 1}" if mark is not None else ""
        said = getattr(error, "problem", None) or first_line(error)
        raise UserError(f"{where}{line}", f"is not YAML: {said}") from error
    _check_finite(document, where)
    return fit(document, kind, where)


def _check_events(text: str, loader: type, where: str) -> None:
    """Raise UserError, before values are built, for aliases, deep nesting, and numbers that would take long."""
    import yaml

    depth = 0
    for event in yaml.parse(text, loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        value = "" if getattr(event, "style", None) else getattr(event, "value", "")
        wrong = TOO_DEEP if depth > DEPTH else HUGE if len(value) > PLAIN and NUMERIC.match(value) else ""
        if isinstance(event, yaml.AliasEvent):
            wrong = f"has an alias (*{event.anchor}); write it out"
        if wrong:
            raise UserError(f"{where}, line {event.start_mark.line + 1}", wrong)


# CSV.


def read_csv(path: Path | str, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line number, row) of a UTF-8 file whose first line names its columns, which must include these. Raises UserError
    naming the line.
    """
    return parse_csv(read_text(path, LIST), columns, path)


def parse_csv(
    text: str, columns: Sequence[str], path: Path | str, *, delimiter: str = ","
) -> list[tuple[int, dict[str, str]]]:
    """Same as `read_csv`, for a file's text."""
    (_, names), *cells = [*_cells(text, path, delimiter)] or [(1, [])]
    names = [name.strip() for name in names]
    if wrong := next((name for name in columns if names.count(name) != 1), None):
        problem = f"the first line must name the columns {', '.join(columns)}"
        raise UserError(path, problem, f"'{wrong}' is {'there twice' if wrong in names else 'missing'}")
    for number, row in cells:
        if len(row) != len(names):
            raise UserError(
                f"{path}, line {number}", f"must have {len(names)} fields", "put quotes around a list with commas"
            )
    return [(number, dict(zip(names, row, strict=True))) for number, row in cells]


def read_cells(path: Path | str) -> list[tuple[int, list[str]]]:
    """(line number, stripped cells) of every line that is not blank, for a file without column names.
    Raises UserError naming the line."""
    rows = [(number, [cell.strip() for cell in row]) for number, row in _cells(read_text(path, LIST), path)]
    return [(number, row) for number, row in rows if any(row)]


def _cells(text: str, path: Path | str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        yield from ((reader.line_num, row) for row in reader if row)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}", f"is not CSV: {error}") from error


# XML.


class Node:
    """An XML element. text: the text before its first child."""

    __slots__ = ("_children", "attributes", "file", "line", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str], file: Path, line: int) -> None:
        self.tag, self.attributes, self.file, self.line, self.text = tag, attributes, file, line, ""
        self._children: list[Node] | None = None

    @property
    def where(self) -> str:
        """The file and line in which it begins, for messages."""
        return f"{self.file}, line {self.line}"

    @property
    def children(self) -> Sequence[Node]:
        return self._children or ()

    def add(self, child: Node) -> None:
        self._children = self._children or []
        self._children.append(child)

    def all(self, *path: str) -> Iterator[Node]:
        """The elements at the end of a path of tags below this one."""
        below = [self]
        for tag in path:
            below = [child for node in below for child in node.children if child.tag == tag]
        yield from below

    def get(self, name: str) -> str:
        """An attribute. Raises UserError if it is missing."""
        if name not in self.attributes:
            raise UserError(self.where, f"<{self.tag}> must have '{name}'")
        return self.attributes[name]

    def whole(self, name: str, default: int | None = None) -> int:
        """An attribute that is a whole number of at most 18 digits, which fits in 64 bits. Raises UserError."""
        text = self.get(name) if default is None else self.attributes.get(name, str(default))
        digits = text.strip().removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
            raise UserError(self.where, f"'{name}' of <{self.tag}> must be a whole number, not {show_json(text)}")
        return int(text)


def read_xml(path: Path, root: str, *, absent: str = ABSENT) -> Node:
    """The root of a file, whose tag must be `root`. Raises UserError."""
    data = read_bytes(path, ANNOTATIONS, absent)
    builder = _Builder(path)
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise UserError(f"{path}, line {error.lineno}", f"is not XML: {expat.ErrorString(error.code)}") from error
    except (LookupError, ValueError) as error:  # an unknown encoding, or one that is not one byte per character
        raise UserError(path, f"is not XML that is read: {first_line(error)}", "save it as UTF-8") from error
    node = builder.root
    assert node is not None  # expat reports a missing root element itself
    if node.tag != root:
        raise UserError(node.where, f"the document is a <{node.tag}>, not <{root}>")
    return node


class _Builder:
    """Builds nodes from expat's events. Refuses document types, so there are no entities that expand or download."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open: list[Node] = []
        self.root: Node | None = None
        self.parser: Any = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self.doctype
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = lambda tag: self.open.pop()
        self.parser.CharacterDataHandler = self.characters

    def doctype(self, *_: object) -> None:
        where = f"{self.path}, line {self.parser.CurrentLineNumber}"
        raise UserError(where, "declares a document type, whose entities are not read", "remove <!DOCTYPE …>")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        node = Node(tag, attributes, self.path, self.parser.CurrentLineNumber)
        if self.open:
            self.open[-1].add(node)
        else:
            self.root = node
        self.open.append(node)

    def characters(self, text: str) -> None:
        if self.open and not self.open[-1].children:
            self.open[-1].text += text
