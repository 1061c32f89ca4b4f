"""Edits pages of the docs: pastes tables into them, and adds a note that names their out-of-date outputs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import takewhile

HEADING = re.compile(r"#+ +(.*)")
NOTE = re.compile(r"\n> \*\*Out of date\*\*: .*\n(?:> .*\n)*")
WIDTH = 110


def with_note(page: str, names: Iterable[str]) -> str:
    """The page with a note, above its first `##` heading or else at its end, that these outputs are out of date; without a note if there
    are none."""
    page = NOTE.sub("", page)
    if not (names := sorted(names)):
        return page
    shown = ", ".join(f"`{name}`" for name in names)
    text = f"**Out of date**: {shown}. What they are made of has changed; `python recipes/renew.py {' '.join(names)}` makes them anew."
    note = "\n".join(f"> {line}" for line in textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False))
    above, heading, below = page.partition("\n## ")
    return f"{above}\n{note}\n{heading}{below}"


def with_tables(page: str, source: str, heading: str = "", under: str = "") -> str:
    """The page with tables replaced by those of `source`: the first table below each heading that both have. With `heading` and `under`,
    only the table below the page's heading `under`, by that below `heading` in `source`. Raises ValueError if there is none."""
    lines, others = page.split("\n"), source.split("\n")
    old, new = tables(lines), tables(others)
    pairs = [(heading, under)] if heading else [(name, name) for name in new if name in old]
    if not pairs or any(there not in new or here not in old for there, here in pairs):
        raise ValueError(f"no common heading: {', '.join(new)} there, {', '.join(old)} on the page")
    for there, here in sorted(pairs, key=lambda pair: -old[pair[1]][0]):  # from the end, so that earlier line numbers stay valid
        lines[slice(*old[here])] = others[slice(*new[there])]
    return "\n".join(lines)


def tables(lines: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Heading → (start, end) lines of the first table below it; headings without a table are left out."""
    places: dict[str, tuple[int, int]] = {}
    heading = ""
    for number, line in enumerate(lines):
        if match := HEADING.fullmatch(line):
            heading = match[1]
        elif line.startswith("|") and heading not in places:
            places[heading] = (number, number + len(list(takewhile(lambda row: row.startswith("|"), lines[number:]))))
    return places
