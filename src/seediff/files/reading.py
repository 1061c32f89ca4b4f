"""Reads bytes and text of files, and JSON, TOML, YAML, CSV and XML as typed values. `fit` checks any value.

A file must be regular and of limited size: reading a named pipe could take forever. A type is anything that msgspec
knows. "5" is not a number, and 1 is not true. Dataclasses ignore unknown names; a Struct may forbid them. Numbers must
be finite. Document types in XML are refused: their entities are not read."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import sys
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar
from xml.parsers import expat

import msgspec

from ..errors import UserError, first_line
from .messages import show_bytes, show_json

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]

T = TypeVar("T")

LARGEST = 2 << 30
"""Maximum bytes of a file that is read as a whole. The largest annotations of COCO have 450 MB."""
ABSENT = "no such file"
"""The message for a missing file, unless a caller has its own."""
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
MOST_NESTED = 200
"""Maximum depth of a YAML document."""
Json = dict[str, Any]
"""A JSON object."""
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
BOM = b"\xef\xbb\xbf"
# A type's name in msgspec's messages → the words in ours.
TYPE_WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
TYPE = re.compile(f"`((?:{'|'.join(TYPE_WORDS)}| [|] )+)`")
"""Matches the names of types in msgspec's messages, such as `str | null` in backquotes."""
_ONE_AT_A_TIME = threading.RLock()
"""A thread holds this lock while it calls msgspec. Version 0.22 crashes if two threads use a type for the first time at
once."""


def open_regular(path: Path | str, absent: str = ABSENT) -> BinaryIO:
    """Opens a regular file. absent: the message for a missing file. Raises UserError for a file that is missing, not
    readable, or not regular."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(path, "is a folder, a pipe or a device, not a regular file")
        check_unpacked(path)
        return open(path, "rb")
    except FileNotFoundError as error:
        raise UserError(path, absent) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte or a lone surrogate in the path
        raise UserError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def is_there(path: Path | str) -> bool:
    """Whether there is a file at a path. Raises UserError for a link that leads nowhere: its file was there once."""
    if os.path.islink(path) and not os.path.exists(path):
        raise UserError(path, "is a link that leads nowhere", "restore its file, or remove the link")
    return os.path.isfile(path)


def check_unpacked(path: Path | str) -> None:
    """Raises UserError for an archive. The user may mean the folder or file in it."""
    if str(path).lower().endswith(ARCHIVES) and os.path.isfile(path):
        raise UserError(path, "is an archive", "unpack it, and name what was in it")


def read_bytes(path: Path | str, absent: str = ABSENT) -> bytes:
    """All bytes of a regular file. absent: the message for a missing file. Raises UserError for more than LARGEST
    bytes, and as `open_regular` does."""
    with open_regular(path, absent) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST:
            raise UserError(path, f"has {show_bytes(size)}; a file of this kind may have {show_bytes(LARGEST)} at most")
        return file.read()


def read_text(path: Path | str, absent: str = ABSENT) -> str:
    """The text of a UTF-8 file, without a byte-order mark. absent: as for `read_bytes`. Raises UserError as
    `read_bytes` and `decode_text` do."""
    return decode_text(read_bytes(path, absent), path)


def decode_text(data: bytes, path: Path | str, first: int = 1) -> str:
    """The text of UTF-8 bytes, without a byte-order mark. path: the file that they come from. first: the number of
    their first line in the file. Raises UserError naming the line."""
    text = ""
    wrong = data.find(0)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = error.start
    if wrong < 0:
        return text
    line = first + data.count(b"\n", 0, wrong)
    raise UserError(f"{path}, line {line}", f"is not UTF-8 text (byte 0x{data[wrong]:02x})", "save it as UTF-8")


def read_lines(path: Path | str, absent: str = ABSENT) -> list[str]:
    """The lines of a UTF-8 file, without line ends. Empty lines are kept, so that `lines[i]` is line i + 1 of the file.
    absent: as for `read_bytes`. Raises UserError as `read_text` does."""
    lines = [line.removesuffix("\r") for line in read_text(path, absent).split("\n")]
    return lines if lines[-1] else lines[:-1]


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): é is one character. Some file systems store e and the accent apart."""
    return unicodedata.normalize("NFC", name)


def real(path: Path | str) -> Path:
    """The absolute path that a path leads to through links. (`Path.resolve` ends the program for links in a circle.)"""
    return Path(os.path.realpath(path))


def inside(root: Path, name: Path | str) -> Path:
    """The path root/name; the name may come from an untrusted file. Raises UserError naming the path if it leads out of
    `root`, also by a link, or if it is no usable path. root: a folder. name: a text, or a Path that begins with
    `root`."""
    if isinstance(name, str) and _is_plain(root, name):
        return root / name
    path = name if isinstance(name, Path) else root / name
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)  # fails for names that are too long, and for links in a circle
        leads_out = not real(path).is_relative_to(real(root))
    except (OSError, ValueError) as error:  # such as a null byte
        raise UserError(path, f"is not a usable path ({getattr(error, 'strerror', None) or error})") from error
    if leads_out:
        fix = "files outside of it are neither read nor written"
        if os.path.abspath(path).startswith(os.path.join(os.path.abspath(root), "")):
            fix += f"; `cp -rL {root} COPY` makes a copy with files in place of links"
        raise UserError(path, f"leads out of {root}", fix)
    return path


def file_of(folder: Path, name: object, where: str, key: str) -> Path:
    """The file in a dataset's folder that a row names. name: what the row has at `key`. where: the row's name in
    errors. Raises UserError as `inside` does, and for anything but a path."""
    if not name or not isinstance(name, str) or "://" in name:
        raise UserError(where, f"'{key}' must be the path of an image inside the dataset, not {show_json(name)}")
    try:
        return inside(folder, name)
    except UserError as error:
        raise UserError(where, f"'{key}' {error.problem}: {show_json(name)}", error.fix) from error


def _is_plain(root: Path, name: str) -> bool:
    """Whether root/name exists, without a link or `..` below `root`. Then it surely lies inside `root`. This check is
    fast: resolving 100,000 paths takes half a minute."""
    path = str(root)
    with suppress(OSError, ValueError):
        for part in name.split("/"):
            path = f"{path}/{part}"
            if part in ("", "..") or "\\" in part or stat.S_ISLNK(os.lstat(path).st_mode):
                return False
        return True
    return False


def fit(value: Any, kind: type[T], where: str, *, strict: bool = True) -> T:
    """The value as a `kind`. where: the file and the place in it, for messages. strict: refuse a text such as "5" where
    a number is expected. Raises UserError."""
    with _document(where, "JSON"), _ONE_AT_A_TIME:
        return msgspec.convert(value, kind, strict=strict)


@contextmanager
def _document(where: object, language: str, data: bytes | str = "") -> Iterator[None]:
    """Turns any error of the block, which parses a document or checks a value of it, into a UserError. where: the file,
    perhaps with a place in it. language: what the document should be. data: its bytes, which may be no UTF-8 text."""
    try:
        yield
    except RecursionError as error:
        raise UserError(where, "is nested too deeply") from error
    except (msgspec.ValidationError, UserError) as error:  # UserError: the value's own check
        problem, _, place = _plain_words(str(error)).partition(" - at ")
        place = re.sub(r" in `\$`|\$\.?", "", place)
        raise UserError(where, f"{place}: {problem[:300]}".removeprefix(": ")) from error
    except MemoryError:
        raise
    except Exception as error:  # parsers raise nearly anything, YAML's with its own place
        if isinstance(data, bytes):
            decode_text(data, str(where))
        mark = getattr(error, "problem_mark", None)
        if mark is not None:
            where = f"{where}, line {mark.line + 1}"
        problem = getattr(error, "problem", None) or first_line(error).removeprefix("JSON is malformed: ")
        raise UserError(where, f"is not {language}: {problem}") from error


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


# JSON.


def read_json(path: Path | str, kind: type[T], *, absent: str = ABSENT) -> T:
    """The JSON document in a file, as a `kind`. path: the file. kind: a type, such as a frozen dataclass or `Json`.
    absent: the message for a missing file. Raises UserError."""
    return parse_json(read_bytes(path, absent), kind, str(path))


def parse_json(data: bytes | str, kind: type[T], where: str, *, strict: bool = True) -> T:
    """A JSON text as a `kind`. where, strict: as for `fit`. Raises UserError."""
    text = data.removeprefix(BOM) if isinstance(data, bytes) else data
    with _document(where, "JSON", data), _ONE_AT_A_TIME:
        return msgspec.json.decode(text, type=kind, strict=strict)


def read_json_lines(path: Path | str, kind: type[T], *, absent: str = ABSENT) -> Iterator[tuple[int, T]]:
    """Yields (line number, value) for each line of a file that has one JSON value per line. Empty lines are skipped.
    path, kind, absent: as for `read_json`. Raises UserError naming the line."""
    for number, line in enumerate(read_bytes(path, absent).split(b"\n"), 1):
        if line.removeprefix(BOM).strip():
            yield number, parse_json(decode_text(line, path, number), kind, f"{path}, line {number}")


# TOML and YAML.


def read_toml(path: Path | str) -> Json:
    """The content of a TOML file, whose numbers are finite. Raises UserError."""
    text = read_text(path)
    with _document(path, "TOML"):
        table = tomllib.loads(text)
    with _document(path, "TOML with finite numbers"):
        json.dumps(table, allow_nan=False, default=str)
    return table


def read_yaml(path: Path | str) -> Json:
    """The content of a YAML file. Every value is a text as it stands in the file: `no` is the text "no", and not false.
    Raises UserError."""
    import yaml

    kind: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

    class Loader(kind):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            names = Counter(str(key.value) for key, _ in node.value)
            for name, count in names.items():
                if count > 1:
                    raise yaml.MarkedYAMLError(problem=f"has {show_json(name)} twice", problem_mark=node.start_mark)
            return super().construct_mapping(node, deep)

    text = read_text(path)
    with _document(path, "YAML"):
        depth = 0
        for event in yaml.parse(text, kind):  # first, because the composer in C would end the program
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_NESTED:
                raise RecursionError
        document = yaml.load(text, Loader)
    return fit(document, Json, str(path))


# CSV.


def read_csv(path: Path | str, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line number, row) for each line of a CSV file below its first line. A row is column → cell. columns: names that
    the first line must have; it may have others. Cells are stripped, and blank lines left out. Raises UserError."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
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

    def start(tag: str, attributes: dict[str, str]) -> None:
        open_nodes.append(Node(tag, attributes, f"{path}, line {parser.CurrentLineNumber}"))
        open_nodes[-2].children.append(open_nodes[-1])

    def characters(text: str) -> None:
        if not open_nodes[-1].children:
            open_nodes[-1].text += text

    def doctype(*_: object) -> None:
        line = f"line {parser.CurrentLineNumber}"
        raise UserError(line, "declares a document type, whose entities are not read", "remove <!DOCTYPE …>")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_nodes.pop()
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = doctype
    with _document(path, "XML", data):
        parser.Parse(data, True)
    (node,) = open_nodes[0].children
    if node.tag != root:
        raise UserError(node.where, f"the document is a <{node.tag}>, not <{root}>")
    return node
