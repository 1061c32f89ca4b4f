"""Reads foreign documents as typed values: JSON, TOML, YAML, CSV and XML. `fit` checks any value.

A type is anything that msgspec knows. "5" is not a number, and 1 is not true. Dataclasses ignore unknown names; a
Struct may forbid them.

Numbers must be finite. Aliases in YAML and document types in XML are refused, because a few lines with them can expand
to gigabytes."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TypeVar
from xml.parsers import expat

import msgspec

from ..errors import UserError, first_line
from .messages import show_json
from .reading import ABSENT, decode_text, read_bytes, read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]

T = TypeVar("T")
Json = dict[str, Any]
"""A JSON object."""
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
BOM = b"\xef\xbb\xbf"
DEPTH = 64
"""Maximum nesting in YAML. For deeper nesting, the parser takes minutes."""
# A type's name in msgspec's messages → the words in ours.
TYPE_WORDS = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false", "array": "a list"}
TYPE_WORDS |= {"object": "an object", "null": "null"}
TYPE = re.compile(f"`((?:{'|'.join(TYPE_WORDS)}| [|] )+)`")
"""Matches the names of types in msgspec's messages, such as `str | null` in backquotes."""
_ONE_AT_A_TIME = threading.RLock()
"""A thread holds this lock while it calls msgspec. Version 0.22 crashes if two threads use a type for the first time at
once."""


# Values of a type.


def fit(value: Any, kind: type[T], where: str, *, strict: bool = True) -> T:
    """The value as a `kind`. where: the file and the place in it, for messages. strict: refuse a text such as "5" where
    a number is expected. Raises UserError."""
    return _typed(lambda: msgspec.convert(value, kind, strict=strict), where)


def _plain_words(problem: str) -> str:
    """A message of msgspec in plain words: "Expected `str | null`, got `int`" → "must be a text or null, not a whole
    number"."""
    for theirs, ours in {
        "Expected ": "must be ",
        ", got ": ", not ",
        "Object missing required field": "has no",
    }.items():
        problem = problem.replace(theirs, ours)
    return TYPE.sub(lambda types: " or ".join(TYPE_WORDS[name] for name in types[1].split(" | ")), problem)


def _typed(convert: Callable[[], T], where: str) -> T:
    """The result of `convert`, a call of msgspec. Raises UserError for any error in it."""
    try:
        with _ONE_AT_A_TIME:
            return convert()
    except RecursionError as error:
        raise UserError(where, "is nested too deeply") from error
    except (msgspec.ValidationError, UserError) as error:  # UserError: the value's own check
        problem, _, place = _plain_words(str(error)).partition(" - at ")
        place = re.sub(r" in `\$`|\$\.?", "", place)
        raise UserError(where, f"{place}: {problem[:300]}".removeprefix(": ")) from error
    except (msgspec.DecodeError, ValueError) as error:  # ValueError: bytes that are not UTF-8
        raise UserError(where, f"is not JSON: {first_line(error).removeprefix('JSON is malformed: ')}") from error


# JSON.


def read_json(path: Path | str, kind: type[T], *, absent: str = ABSENT) -> T:
    """The JSON document in a file, as a `kind`. path: the file. kind: a type, such as a frozen dataclass or `Json`.
    absent: the message for a missing file. Raises UserError."""
    return parse_json(read_bytes(path, absent), kind, str(path))


def parse_json(data: bytes | str, kind: type[T], where: str, *, strict: bool = True) -> T:
    """A JSON text as a `kind`. where, strict: as for `fit`. Raises UserError."""
    text = data.removeprefix(BOM) if isinstance(data, bytes) else data
    try:
        return _typed(lambda: msgspec.json.decode(text, type=kind, strict=strict), where)
    except UserError:
        # All this only looks for a clearer error.
        if isinstance(data, bytes):
            decode_text(data, where)

        def refuse(name: str) -> None:
            raise UserError(where, f"has {name}, which JSON does not know", "write a number or null")

        with suppress(ValueError, RecursionError):  # Python's own reader knows NaN and Infinity
            json.loads(data, parse_constant=refuse)
        raise


def read_json_lines(path: Path | str, kind: type[T], *, absent: str = ABSENT) -> Iterator[tuple[int, T]]:
    """Yields (line number, value) for each line of a file that has one JSON value per line. Empty lines are skipped.
    path, kind, absent: as for `read_json`. Raises UserError naming the line."""
    for number, line in enumerate(read_bytes(path, absent).split(b"\n"), 1):
        if line.removeprefix(BOM).strip():
            yield number, parse_json(decode_text(line, path, number), kind, f"{path}, line {number}")


# TOML and YAML.


def read_toml(path: Path | str) -> Json:
    """The content of a TOML file. Raises UserError."""
    return _settings(path, "TOML", tomllib.loads)


def read_yaml(path: Path | str) -> Json:
    """The content of a YAML file. Every value is a text as it stands in the file: `no` is the text "no", and not false.
    Raises UserError."""
    return _settings(path, "YAML", _parse_yaml)


def _parse_yaml(text: str) -> Any:
    """A YAML document with all values as texts. Raises errors of nearly any kind."""
    import yaml

    kind: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    depth = 0
    for event in yaml.parse(text, kind):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise RecursionError
        if isinstance(event, yaml.AliasEvent):
            problem = f"has an alias (*{event.anchor}); write it out"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)

    class Loader(kind):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            names = Counter(str(key.value) for key, _ in node.value)
            for name, count in names.items():
                if count > 1:
                    raise yaml.MarkedYAMLError(problem=f"has {show_json(name)} twice", problem_mark=node.start_mark)
            return super().construct_mapping(node, deep)

    return yaml.load(text, Loader)


def _settings(path: Path | str, language: str, parse: Callable[[str], Any]) -> Json:
    """The content of a file, a table with finite numbers. language: what the file is written in, for messages. parse:
    reads the file's text. Raises UserError."""
    text = read_text(path)
    try:
        document = parse(text)
        finite = _is_finite(document)
    except RecursionError as error:
        raise UserError(path, "is nested too deeply") from error
    except Exception as error:  # YAML's parser raises nearly anything
        mark, where = getattr(error, "problem_mark", None), str(path)
        if mark is not None:
            where = f"{path}, line {mark.line + 1}"
        problem = getattr(error, "problem", None) or first_line(error)
        raise UserError(where, f"is not {language}: {problem}") from error
    if not finite:
        raise UserError(path, "holds inf, nan or a huge number", "every number must be finite")
    return fit(document, Json, str(path))


def _is_finite(document: Any) -> bool:
    """Whether all numbers in a document are finite."""
    try:
        json.dumps(document, allow_nan=False, default=str)
    except ValueError:
        return False
    return True


# CSV.


def read_csv(path: Path | str, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line number, row) for each line of a CSV file below its first line. A row is column → cell. columns: names that
    the first line must have; it may have others. Raises UserError."""
    return parse_csv(read_text(path), columns, path)


def parse_csv(
    text: str, columns: Sequence[str], path: Path | str, *, delimiter: str = ","
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV text, as `read_csv` returns them. Cells are stripped, and blank lines left out. text, columns,
    delimiter: what to read. path: the file, for messages. Raises UserError."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}", f"is not CSV: {error}") from error
    (_, names), *cells = [(number, row) for number, row in lines if any(row)] or [(1, [""])]
    if any(names.count(name) != 1 for name in columns):
        raise UserError(path, f"the first line must name the columns {', '.join(columns)}, each once")
    for number, row in cells:
        if len(row) != len(names):
            fix = "put quotes around a list with commas"
            raise UserError(f"{path}, line {number}", f"must have {len(names)} fields", fix)
    return [(number, dict(zip(names, row, strict=True))) for number, row in cells]


# XML.


@dataclass(eq=False, slots=True)
class Node:
    """An XML element."""

    tag: str
    attributes: dict[str, str]
    where: str
    """The file and the line in which the element begins."""
    text: str = ""
    """The text before its first child."""
    children: list[Node] = field(default_factory=list)

    def all(self, *path: str) -> Iterator[Node]:
        """Yields the elements at the end of a path that begins below this element. path: the tag at each step."""
        below: list[Node] = [self]
        for tag in path:
            below = [child for child in chain(*(node.children for node in below)) if child.tag == tag]
        yield from below

    def get(self, name: str) -> str:
        """The value of an attribute. Raises UserError if it is missing."""
        if name not in self.attributes:
            raise UserError(self.where, f"<{self.tag}> must have '{name}'")
        return self.attributes[name]


def read_xml(path: Path, root: str, *, absent: str = ABSENT) -> Node:
    """The root element of an XML file. root: the tag that it must have. absent: the message for a missing file. Raises
    UserError, also for a document type: its entities could expand to gigabytes, or be downloaded."""
    data = read_bytes(path, absent)
    parser: Any = expat.ParserCreate()
    parser.buffer_text = True
    open_nodes = [Node("", {}, str(path))]

    def here() -> str:
        return f"{path}, line {parser.CurrentLineNumber}"

    def start(tag: str, attributes: dict[str, str]) -> None:
        open_nodes.append(Node(tag, attributes, here()))
        open_nodes[-2].children.append(open_nodes[-1])

    def characters(text: str) -> None:
        if not open_nodes[-1].children:
            open_nodes[-1].text += text

    def doctype(*_: object) -> None:
        raise UserError(here(), "declares a document type, whose entities are not read", "remove <!DOCTYPE …>")

    parser.StartElementHandler, parser.EndElementHandler = start, lambda _: open_nodes.pop()
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = characters, doctype
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # LookupError: an unknown encoding
        raise UserError(path, f"is not XML: {first_line(error)}") from error
    (node,) = open_nodes[0].children
    if node.tag != root:
        raise UserError(node.where, f"the document is a <{node.tag}>, not <{root}>")
    return node
