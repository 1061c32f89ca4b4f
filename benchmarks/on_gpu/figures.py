"""A file of figures, which gets a line of JSON as soon as one is made: a killed process leaves what it measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
"""Name → figure, or → {way: figure}."""
COLUMNS = {
    "step_s": "step, s",
    "ratio": "of plain",
    "images_per_s": "pictures/s",
    "first_s": "first run, s",
    "peak_bytes": "peak, GiB",
    "reserved_bytes": "reserved, GiB",
}
"""Figures of the ways in which a row drew → titles."""


def add(file: Path, row: str, found: Figures) -> None:
    """Append figures of a row. A later line replaces figures of an earlier one."""
    line = json.dumps({"row": row, **found})
    print(line, flush=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(line + "\n")


def read(file: Path) -> dict[str, Figures]:
    """Row → all its figures, since it last said `where` it is measured. A last line that was cut off is passed over."""
    rows: dict[str, Figures] = {}
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        found = json.loads(line)
        name = found.pop("row")
        if "where" in found:
            rows[name] = {}
        row = rows.setdefault(name, {})
        for key, figure in found.items():
            row[key] = {**row.get(key, {}), **figure} if isinstance(figure, dict) else figure
    return rows


def table(rows: dict[str, Figures]) -> str:
    """Markdown: the ways of every row that drew. Then a line for each row, with all other figures."""
    lines = [f"| row | way | {' | '.join(COLUMNS.values())} |", "|---|---|" + "--:|" * len(COLUMNS)]
    others = []
    for name, row in rows.items():
        ways: dict[str, Any] = {}
        for column in COLUMNS:
            ways |= row.get(column, {})
        for way in ways:
            cells = (_cell(column, row.get(column, {}).get(way)) for column in COLUMNS)
            lines.append(f"| {name} | {way} | {' | '.join(cells)} |")
        others.append(f"{name}: {', '.join(f'{key} {row[key]}' for key in row if key not in COLUMNS)}")
    return "\n".join([*lines, "", *others])


def _cell(column: str, figure: float | None) -> str:
    if figure is None:
        return ""
    return f"{figure / 2**30:.2f}" if column.endswith("bytes") else f"{figure:.4g}"
