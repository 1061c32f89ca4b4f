"""Pastes tables into pages of the docs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

HEADING = re.compile(r"#+ +(.*)")


def with_tables(page: str, source: str, heading: str = "", under: str = "") -> str:
    """The page with tables replaced by those of `source`: the first table below each heading that both have. With
    `heading` and `under`, only the table below the page's heading `under`, by that below `heading` in `source`. Raises
    ValueError if there is none."""
    lines, others = page.split("\n"), source.split("\n")
    old, new = tables(lines), tables(others)
    pairs = [(heading, under)] if heading else [(name, name) for name in new if name in old]
    if not pairs or any(there not in new or here not in old for there, here in pairs):
        raise ValueError(f"no common heading: {', '.join(new)} there, {', '.join(old)} on the page")
    for there, here in sorted(
        pairs, key=lambda pair: -old[pair[1]][0]
    ):  # from the end, so that earlier line numbers stay valid
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
