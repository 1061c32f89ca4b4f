"""Markdown tables, also those of studies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    head = "|" + "".join(f" {column} |" if column else " |" for column in columns)
    return [head, "|" + "---|" * len(columns), *(f"| {' | '.join(row)} |" for row in rows)]


def sections(result: Mapping[str, Any], titles: Mapping[str, str], columns: Mapping[str, tuple[str, str, str]]) -> str:
    """A table in percent below each title, for the kinds of rows that a study's result has. titles: kind → title.
    columns: heading → the names of a figure, of its interval, and of the row's part that has both, if it is not the row
    itself."""
    lines: list[str] = []
    for kind, title in titles.items():
        rows = [
            [name, *(_cell(row.get(part, {}) if part else row, *keys) for *keys, part in columns.values())]
            for name, row in result.get(kind, {}).items()
        ]
        if rows:
            lines += [f"## {title}", "", *table(["", *columns], rows), ""]
    return "\n".join(lines)


def _cell(row: Mapping[str, Any], figure: str, interval: str) -> str:
    if figure not in row:
        return ""
    bounds = [f"{100 * bound:.1f}" for bound in row[interval] if bound is not None]
    value = f"{100 * row[figure]:.1f}"
    return f"{value} ({' to '.join(bounds)})" if bounds else value
