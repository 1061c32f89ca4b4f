"""Shows scores: `ScoreTable` as a table for the terminal or, for papers, as LaTeX, CSV or Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.table import Table

TableFormat = Literal["text", "latex", "csv", "markdown"]
LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "−": "$-$",
    "β": r"$\beta$",
    "≥": r"$\geq$",
}


CI95 = "95 % CI"
"""The heading of a column of intervals, which takes two columns in CSV."""
BEHIND = (CI95, "images")
"""The headings behind a score's own: its interval and its number of pictures."""


class Points(float):
    """A difference of two shares, which tables show in percentage points and with its sign: 0.012 → `+1.2`."""


Value = str | float | tuple[float, float]  # `metrics.scores.Interval`, without numpy, which `--help` must not import


@dataclass(frozen=True)
class ScoreTable:
    """A table of scores. A cell has a share in [0, 1], `Points`, an interval of either, or a text; it is empty for
    NaN."""

    title: str
    columns: Sequence[str]
    """The headings, without the first column, which has the names of rows."""
    rows: Sequence[Sequence[Value]]
    """Each row: its name, then its values."""
    sums: Sequence[Sequence[Value]] = ()
    """Rows below a line, such as the mean."""

    def rich(self) -> Table:
        """The table for the terminal."""
        from rich.table import Table
        from rich.text import Text

        table = Table("", *self.columns, title=Text(self.title))
        for column in table.columns[1:]:
            column.justify = "right"
        for rows, style in ((self.rows, ""), (self.sums, "bold")):
            for row in rows:
                table.add_row(*(Text(show_cell(value, "%")) for value in row), style=style)
            table.add_section()
        return table

    def write(self, form: TableFormat) -> str:
        """The text of the table in a format for papers, with scores in percent. LaTeX has the title as a comment, and
        needs the package booktabs. In CSV an interval takes two columns."""
        if form == "csv":
            return self._csv()
        cells = [[show_cell(value) for value in row] for row in (*self.rows, *self.sums)]
        heads = ["", *self.columns]
        if form == "markdown":
            rule = ["---", *["--:"] * len(self.columns)]
            lines = [heads, rule, *([cell.replace("|", r"\|") for cell in row] for row in cells)]
            return "".join(f"| {' | '.join(line)} |\n" for line in lines)
        lines = [f"{' & '.join(_latex(cell) for cell in row)} \\\\" for row in (heads, *cells)]
        first_sum = 1 + len(self.rows)
        parts = [lines[:1], lines[1:first_sum], lines[first_sum:]]
        body = "\n\\midrule\n".join("\n".join(part) for part in parts if part)
        begin = f"% {self.title}, in percent\n\\begin{{tabular}}{{l{'r' * len(self.columns)}}}\n\\toprule\n"
        return f"{begin}{body}\n\\bottomrule\n\\end{{tabular}}\n"

    def _csv(self) -> str:
        lines = [[""]]
        for name in self.columns:
            lines[0] += [f"{name}, low", f"{name}, high"] if name == CI95 else [name]
        for row in (*self.rows, *self.sums):
            ends = [value if isinstance(value, tuple) else [value] for value in row]
            lines.append([end if isinstance(end, str) else _number(end) for end in chain.from_iterable(ends)])
        return csv_text(lines)


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """The text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def show_cell(value: Value, unit: str = "") -> str:
    """The text of a cell: 0.123 → `12.3`. unit: what follows a share, such as "%"."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        between = " to " if isinstance(value[0], Points) else "–"
        return between.join(filter(None, map(show_cell, value)))
    if math.isnan(value):
        return ""
    if isinstance(value, Points):
        return f"{100 * value:+.1f}".replace("-", "−")
    return f"{100 * value:.1f}{unit}"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.2f}"


def _latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)
