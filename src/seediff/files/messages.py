"""Text for people: values as one of our lines may show them, and streams that no control character of anybody's gets through.

Names and values come from files that others wrote. No terminal obeys them, and no encoding or closed pipe ends in a fault.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

TEXT, ITEMS, NESTING = 60, 4, 3
"""Characters of a text, entries of a list or table, and levels of them that a message shows."""
DIGITS = 24
"""Longer whole numbers are told by their length: Python refuses to write those of more than 4,300 digits."""


def printable(text: str) -> str:
    """The text with everything that is no visible character, such as escape sequences and lone surrogates, written as `\\x1b`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shown(value: Any, nesting: int = NESTING) -> str:
    """A value as JSON would have it, shortened: `5`, `"dog"`, `[1, 2, …]`."""
    if isinstance(value, str):
        text = printable(value[: TEXT + 1]).replace('"', '\\"')
        return f'"{text}"' if len(text) <= TEXT else f'"{text[:TEXT]}…"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        bits = value.bit_length()
        return str(value) if bits < DIGITS * 3.3 else f"a whole number of about {round(bits * 0.30103)} digits"
    if isinstance(value, (Mapping, list, tuple)):
        ends, entries = ("{}", list(value.items())) if isinstance(value, Mapping) else ("[]", [(None, entry) for entry in value])
        if nesting == 0 or not entries:
            return ends[0] + "…" * bool(entries) + ends[1]
        parts = [(f"{shown(key, 0)}: " if ends == "{}" else "") + shown(entry, nesting - 1) for key, entry in entries[:ITEMS]]
        return _shortened(ends[0] + ", ".join(parts) + ", …" * (len(entries) > ITEMS) + ends[1])
    return _shortened(printable(str(value)))


def _shortened(text: str) -> str:
    return text if len(text) <= 2 * TEXT else text[: 2 * TEXT - 1] + "…"


def counted(count: int, noun: str) -> str:
    """`1 image`, `2 images`, `2 classes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('s') else 's'}"


def meant(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'bicycle'?)`, or nothing where no known name is near."""
    near = get_close_matches(name.casefold(), list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def show_bytes(count: float) -> str:
    """1234567 → `1.2 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
"""All but tabs and the ends of lines; and what turns the direction of writing, and halves of characters."""
_CONTROL = re.compile(CONTROLS)
OWN = r"\x1b\[[0-9;]*m|\x1b\[[0-9;?]*[ABCDGHJKhl]"
"""What our own tables and bars of progress need of a terminal: colours, and moves of its cursor."""
UP = re.compile(r"[\n\r]*(\x1b\[A)+")
"""Whole writes of libraries that show several bars of progress, one above the other."""


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda control: control[0].encode("unicode_escape").decode("ascii"), text)


class Shown:
    """A stream that shows control characters of what is written as `\\x1b` and the like. own: sequences that stay.

    rich_proxied_file: where rich's consoles write instead, tables and bars of which need some; see `make_console`.
    """

    def __init__(self, stream: TextIO, prefix: str = "") -> None:
        self.stream = stream
        self.own = re.compile(f"({prefix})" if prefix else "(?!)")
        self.rich_proxied_file: Any = self if prefix or not stream.isatty() else Shown(stream, OWN)

    def write(self, text: str) -> int:
        if not UP.fullmatch(text):
            parts = self.own.split(text)  # every second one is such a sequence
            text = "".join(part if number % 2 else _escaped(part) for number, part in enumerate(parts))
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
                yield segment if segment.control else Segment(_escaped(segment.text), segment.style)

    return Escaping


@contextmanager
def escaped_streams() -> Iterator[None]:
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
