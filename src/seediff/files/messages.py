"""Values as one of our lines may show them: short, and, where others wrote them, without characters that a terminal would act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

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
    if isinstance(value, Mapping):
        if nesting == 0 or not value:
            return "{…}" if value else "{}"
        inner = [f"{shown(k, 0)}: {shown(v, nesting - 1)}" for k, v in list(value.items())[:ITEMS]]
        return _shortened("{" + ", ".join(inner) + (", …" if len(value) > ITEMS else "") + "}")
    if isinstance(value, (list, tuple)):
        if nesting == 0 or not value:
            return "[…]" if value else "[]"
        inner = [shown(v, nesting - 1) for v in value[:ITEMS]]
        return _shortened("[" + ", ".join(inner) + (", …" if len(value) > ITEMS else "") + "]")
    return _shortened(printable(str(value)))


def counted(count: int, noun: str) -> str:
    """`1 image`, `2 images`, `2 classes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('s') else 's'}"


def meant(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'bicycle'?)`, or nothing where no known name is near."""
    near = get_close_matches(name.casefold(), list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _shortened(text: str) -> str:
    return text if len(text) <= 2 * TEXT else text[: 2 * TEXT - 1] + "…"
