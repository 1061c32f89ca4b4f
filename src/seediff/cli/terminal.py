"""What the command line prints, names from anybody in it: no terminal obeys them, and no encoding or closed pipe ends in a fault."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
"""All but tabs and the ends of lines; and what turns the direction of writing, and halves of characters."""
COLOURS, MOVES = r"\x1b\[[0-9;]*m", r"\x1b\[[0-9;?]*[ABCDGHJKhl]"
"""What our own tables and bars of progress need of a terminal: colours, and on stderr moves of its cursor."""


class Shown:
    """A stream that shows control characters of what is written as `\\x1b` and the like. own: sequences that stay."""

    def __init__(self, stream: TextIO, own: str = "") -> None:
        self.stream = stream
        self.pattern = re.compile(f"({own})|{CONTROLS}" if own else f"(?!)()|{CONTROLS}")

    def write(self, text: str) -> int:
        self.stream.write(self.pattern.sub(lambda found: found[1] or _escaped(found[0]), text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


@contextmanager
def shown() -> Iterator[None]:
    """Meanwhile stdout and stderr are `Shown`, write what their encoding lacks as `\\u2192`, and lead nowhere when they are closed."""
    before = sys.stdout, sys.stderr
    opened = []
    for name, moves in (("stdout", ""), ("stderr", f"|{MOVES}")):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # closed below
            opened.append(stream)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, Shown(stream, COLOURS + moves if stream.isatty() else ""))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in opened:
            stream.close()
