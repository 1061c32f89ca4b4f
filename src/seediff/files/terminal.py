"""What the command line prints, names from anybody in it: no terminal obeys them, and no encoding or closed pipe ends in a fault."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
"""All but tabs and the ends of lines; and what turns the direction of writing, and halves of characters."""
_CONTROL = re.compile(CONTROLS)
OWN = r"\x1b\[[0-9;]*m|\x1b\[[0-9;?]*[ABCDGHJKhl]"
"""What our own tables and bars of progress need of a terminal: colours, and moves of its cursor."""
UP = re.compile(r"[\n\r]*(\x1b\[A)+")
"""Whole writes of libraries that show several bars of progress, one above the other."""


class Shown:
    """A stream that shows control characters of what is written as `\\x1b` and the like. own: sequences that stay.

    rich_proxied_file: where rich's consoles write instead, tables and bars of which need some; see `make_console`.
    """

    def __init__(self, stream: TextIO, own: str = "") -> None:
        self.stream = stream
        self.pattern = re.compile(f"({own})|{CONTROLS}" if own else f"(?!)()|{CONTROLS}")
        self.rich_proxied_file: Any = self if own or not stream.isatty() else Shown(stream, OWN)

    def write(self, text: str) -> int:
        if not UP.fullmatch(text):
            text = self.pattern.sub(lambda found: found[1] or _escaped(found[0]), text)
        self.stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def make_console(*, stderr: bool = False) -> Console:
    """A console for tables and bars of progress, whose own colours pass, and not those in the names that it shows."""
    stream: Any = sys.stderr if stderr else sys.stdout
    while (behind := getattr(stream, "rich_proxied_file", stream)) is not stream:
        stream = behind
    return _console_class()(file=stream if isinstance(stream, Shown) else None, stderr=stderr)  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def _console_class() -> type[Console]:
    from rich.console import Console
    from rich.segment import Segment

    class Escaping(Console):
        def render(self, *given: Any, **options: Any) -> Iterator[Segment]:
            for segment in super().render(*given, **options):
                if segment.control or not _CONTROL.search(segment.text):
                    yield segment
                else:
                    yield Segment(_CONTROL.sub(lambda found: _escaped(found[0]), segment.text), segment.style)

    return Escaping


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


@contextmanager
def shown() -> Iterator[None]:
    """Meanwhile stdout and stderr are `Shown`, write what their encoding lacks as `\\u2192`, and lead nowhere when they are closed."""
    before = sys.stdout, sys.stderr
    opened = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # closed below
            opened.append(stream)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, Shown(stream))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in opened:
            stream.close()
