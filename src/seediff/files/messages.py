"""Text for people: values in a form that is safe in messages, and streams that escape control characters.

Names and values come from foreign files. They must not control the terminal, and an encoding or a closed pipe must not cause a crash.
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
"""Maximum characters of a text, entries of a list or table, and nesting levels that a message shows."""
DIGITS = 24
"""Longer whole numbers are shown by their length, because Python refuses to write more than 4,300 digits."""


def printable(text: str) -> str:
    """The text with invisible characters, such as escape sequences and lone surrogates, written as `\\x1b`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shown(value: Any, nesting: int = NESTING) -> str:
    """A value as shortened JSON: `5`, `"dog"`, `[1, 2, …]`."""
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
    """` (did you mean 'bicycle'?)`, or "" if no known name is similar."""
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
"""Control characters except tabs and line ends; characters that change the writing direction; lone surrogates."""
_CONTROL = re.compile(CONTROLS)
OWN = r"\x1b\[[0-9;]*m|\x1b\[[0-9;?]*[ABCDGHJKhl]"
"""Escape sequences that our own tables and progress bars need: colours and cursor movements."""
UP = re.compile(r"[\n\r]*(\x1b\[A)+")
"""Complete writes of libraries that show several progress bars above each other."""


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda control: control[0].encode("unicode_escape").decode("ascii"), text)


class Shown:
    """A stream that writes control characters as `\\x1b` and the like. own: sequences that pass unchanged.

    rich_proxied_file: the stream for rich's consoles, whose tables and bars need escape sequences; see `make_console`.
    """

    def __init__(self, stream: TextIO, prefix: str = "") -> None:
        self.stream = stream
        self.own = re.compile(f"({prefix})" if prefix else "(?!)")
        self.rich_proxied_file: Any = self if prefix or not stream.isatty() else Shown(stream, OWN)

    def write(self, text: str) -> int:
        if not UP.fullmatch(text):
            parts = self.own.split(text)  # every second part is such a sequence
            text = "".join(part if number % 2 else _escaped(part) for number, part in enumerate(parts))
        self.stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def make_console(*, stderr: bool = False) -> Console:
    """A console for tables and progress bars. Its own colours pass; escape sequences in names do not."""
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
    """During the block, stdout and stderr are `Shown`. They write characters missing in their encoding as
    `\\u2192`, and discard output if closed."""
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
