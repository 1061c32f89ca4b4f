"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    head = "|" + "".join(f" {column} |" if column else " |" for column in columns)
    return [head, "|" + "---|" * len(columns), *(f"| {' | '.join(row)} |" for row in rows)]
