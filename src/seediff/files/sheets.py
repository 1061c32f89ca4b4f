"""CSV files whose first line names their columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .messages import printable, shown
from .reading import ABSENT, LIST, read_text


def read_csv(path: Path | str, columns: Sequence[str], *, limit: int = LIST, absent: str = ABSENT) -> list[tuple[int, dict[str, str]]]:
    """(line number, row) of a UTF-8 file whose first line names its columns, with at least these. Raises UserError naming the line."""
    return parse_csv(read_text(path, limit, absent), columns, path)


def parse_csv(text: str, columns: Sequence[str], path: Path | str, *, delimiter: str = ",") -> list[tuple[int, dict[str, str]]]:
    """As `read_csv`, of a file's text."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        if missing := [c for c in columns if c not in names]:
            raise UserError(f"{path}: the first line must name the columns {', '.join(columns)}; '{missing[0]}' is missing")
        if twice := next((name for name in columns if names.count(name) > 1), None):
            raise UserError(f"{path}: the first line names the column '{twice}' twice")
        reader.fieldnames = names
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: is not CSV: {printable(str(error))}") from error
    for number, row in rows:
        if None in row or any(value is None for value in row.values()):
            raise UserError(f"{path}, line {number}: must have {len(names)} fields; put quotes around a list with commas")
    return rows


def read_cells(path: Path | str, *, limit: int = LIST, absent: str = ABSENT) -> list[tuple[int, list[str]]]:
    """(line number, cells without spaces around them) of every line that is not blank, of a file without a line of names.
    Raises UserError naming the line."""
    reader = csv.reader(io.StringIO(read_text(path, limit, absent), newline=""), strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: is not CSV: {printable(str(error))}") from error
    return [(number, row) for number, row in rows if any(row)]


def number_in(text: str, where: str, *, low: float = float("-inf"), high: float = float("inf")) -> float:
    """A cell as a finite number from `low` to `high`. Raises UserError."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (low <= value <= high) or value in (float("inf"), float("-inf")):
        bounds = f" from {low:g} to {high:g}" if high < float("inf") else f" of at least {low:g}" if low > float("-inf") else ""
        raise UserError(f"{where}: {shown(text)} must be a number{bounds}")
    return value
