"""XML as plain nodes: one file, read by expat without a document type, so that there are no entities that swell or fetch.

Refused in one line, with its place: what is malformed, declares a document type, is nested deeper than DEPTH, or larger than its limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from ..errors import UserError, first_line
from .messages import printable, shown
from .reading import ABSENT, ANNOTATIONS, read_bytes
from .schema import DEPTH, TOO_DEEP

WHOLE = 1 << 31
"""Whole numbers in attributes are below this."""


@dataclass
class Node:
    """An element. text: what stands before its first child. where: the file and line that it begins in, for messages."""

    tag: str
    attributes: dict[str, str]
    where: str
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, *path: str) -> Iterator[Node]:
        """The elements at the end of a path of tags below this one."""
        below = [self]
        for tag in path:
            below = [child for one in below for child in one.children if child.tag == tag]
        yield from below

    def get(self, name: str) -> str:
        """An attribute. Raises UserError when it is not there."""
        if name not in self.attributes:
            raise UserError(f"{self.where}: <{printable(self.tag)}> must have '{name}'")
        return self.attributes[name]

    def whole(self, name: str, default: int | None = None) -> int:
        """An attribute that is a whole number, below 2³¹ and above −2³¹. Raises UserError."""
        text = self.get(name) if default is None else self.attributes.get(name, str(default))
        digits = text.strip().removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 10 and int(digits) < WHOLE):
            raise UserError(f"{self.where}: '{name}' of <{printable(self.tag)}> must be a whole number, not {shown(text)}")
        return int(text)


def read_xml(path: Path, root: str, *, limit: int = ANNOTATIONS, absent: str = ABSENT) -> Node:
    """The root of a file, whose tag must be `root`. Raises UserError."""
    data = read_bytes(path, limit, absent)
    found = _Builder(path).parse(data)
    if found.tag != root:
        raise UserError(f"{found.where}: the document is a <{printable(found.tag)}>, not <{root}>")
    return found


class _Builder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.open: list[Node] = []
        self.root: Node | None = None
        self.parser: Any = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self.doctype
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters

    @property
    def where(self) -> str:
        return f"{self.path}, line {self.parser.CurrentLineNumber}"

    def parse(self, data: bytes) -> Node:
        try:
            self.parser.Parse(data, True)
        except expat.ExpatError as error:
            raise UserError(f"{self.path}, line {error.lineno}: is not XML: {printable(expat.ErrorString(error.code))}") from error
        except (LookupError, ValueError) as error:  # an encoding that is declared and unknown, or is none of a byte a character
            raise UserError(f"{self.path}: is not XML that is read: {printable(first_line(error))}; save it as UTF-8") from error
        assert self.root is not None  # or expat had said that there is no element
        return self.root

    def doctype(self, *_: object) -> None:
        raise UserError(f"{self.where}: declares a document type, whose entities are not read; remove <!DOCTYPE …>")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self.open) >= DEPTH:
            raise UserError(f"{self.where}: {TOO_DEEP}")
        node = Node(tag, attributes, self.where)
        if self.open:
            self.open[-1].children.append(node)
        else:
            self.root = node
        self.open.append(node)

    def end(self, tag: str) -> None:
        self.open.pop()

    def characters(self, text: str) -> None:
        if self.open and not self.open[-1].children:
            self.open[-1].text += text
