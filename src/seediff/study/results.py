"""Writes a study's results to files, and its tables as Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files.outputs import write_atomic

Rows = Sequence[Mapping[str, Any]]


def write_study(
    out: Path,
    result: Mapping[str, Any],
    text: str,
    json_path: Path | None = None,
    *,
    tables: Mapping[str, Rows] = {},
    files: Mapping[str, bytes] = {},
) -> None:
    """Write a study's `results.json` (also to `json_path`), `results.md` with `text`, a CSV file for each table that has rows, and other
    files, all to `out`, each atomically."""
    for path in (out / "results.json", *([json_path] if json_path else [])):
        write_atomic(path, json_bytes(result))
    write_atomic(out / "results.md", text.encode("utf-8"))
    for name, data in {**{name: csv_bytes(rows) for name, rows in tables.items() if rows}, **files}.items():
        write_atomic(out / name, data)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    head = "|" + "".join(f" {column} |" if column else " |" for column in columns)
    return [head, "|" + "---|" * len(columns), *(f"| {' | '.join(row)} |" for row in rows)]


def json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode("utf-8")


def csv_bytes(rows: Rows) -> bytes:
    names = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows({k: plain(v) for k, v in row.items()} for row in rows)
    return text.getvalue().encode("utf-8")


def plain(value: Any) -> str:
    """The text of a value in a table cell; lists with spaces."""
    return " ".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)
