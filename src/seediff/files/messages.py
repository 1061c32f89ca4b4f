"""Text for people: values in a short form, and streams that escape control characters. A name from a foreign file must
not control the terminal, so messages contain it as it is, and the stream to the terminal escapes it."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

SIMILAR = 0.7
"""From this ratio of difflib on, a name may have been meant: `buss` and `bus` have 0.86, `cat` and `car` 0.67."""
TEXT = 60
"""Maximum characters of a value that a message shows."""


def show_json(value: Any) -> str:
    """A value as JSON of at most about TEXT characters: `5`, `"dog"`, `[1, 2, 3…`."""
    try:
        text = str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):  # keys that are not texts, numbers of thousands of digits
        text = f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= TEXT + 2 else text[:TEXT] + "…"


def plural(count: int, noun: str) -> str:
    """`1 image`, `2 images`, `2 classes`."""
    if count != 1:
        noun += "es" if noun.endswith(("s", "ch")) else "s"
    return f"{count} {noun}"


def sentence(line: str) -> str:
    """A line, such as of a note, as a sentence: with a capital letter and a full stop."""
    return f"{line[0].upper()}{line[1:]}."


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """` (did you mean 'bicycle'?)`; "" if no name is similar. Dashes before options do not count."""
    bare = {each.lstrip("-"): each for each in names}
    near = get_close_matches(name.lstrip("-").casefold(), bare, 1, SIMILAR)
    return "".join(f" (did you mean {bare[each]!r}?)" for each in near)


def show_bytes(count: float) -> str:
    """1234567 → `1.2 MB`."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|(?<=.)\r(?!\n)")
"""Matches characters to escape: control characters (except tabs, line ends, and \\r at the beginning of a write),
characters that change the writing direction, and surrogates."""
UP = re.compile(r"[\n\r]*(\x1b\[A)+")
"""Matches what libraries write to move the cursor up to another progress bar."""


def _escape(text: str) -> str:
    """The text with escaped control characters, for example `\\x1b`."""
    return CONTROL.sub(lambda control: control[0].encode("unicode_escape").decode("ascii"), text)


class EscapedStream:
    """A stream that escapes control characters, for example as `\\x1b`, and writes to another stream."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream
        """The other stream. rich's consoles search for an attribute of this name and write to it directly. That suits
        `make_console`, whose consoles escape names themselves, while their colours must not be escaped."""

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(text if UP.fullmatch(text) else _escape(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def make_console(*, stderr: bool = False) -> Console:
    """A rich console for tables and progress bars. It writes its own colours, but escapes control characters in the
    text that it is given. stderr: whether it writes to stderr instead of stdout."""
    from rich.console import Console
    from rich.segment import Segment

    class Escaping(Console):
        def render(self, *given: Any, **options: Any) -> Iterator[Segment]:
            for segment in super().render(*given, **options):
                yield segment if segment.control else Segment(_escape(segment.text), segment.style)

    stream: Any = sys.stderr if stderr else sys.stdout
    while hasattr(stream, "rich_proxied_file"):  # the stream beneath an `EscapedStream` or rich's progress bar
        stream = stream.rich_proxied_file
    return Escaping(file=stream)


@contextmanager
def escaped_streams() -> Iterator[None]:
    """Replaces stdout and stderr by an `EscapedStream` each during the block. A character that a stream's encoding
    lacks is escaped, for example as `\\u2192`. What goes to a closed stream is discarded."""
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None or stream.closed:
                stream = nowhere
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, EscapedStream(stream))
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
