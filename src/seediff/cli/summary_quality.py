"""What `check`, `stats` and `filter` say on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ..files.messages import counted

if TYPE_CHECKING:
    from ..dataset.quality.check import Checked
    from ..dataset.quality.stats import Stats

BARS = " ▁▂▃▄▅▆▇█"


def findings_table(checked: Checked) -> Table:
    """A row a kind of finding: how many, and the first of them."""
    kinds: dict[tuple[str, str], list[Text]] = {}
    for one in checked.findings:
        kinds.setdefault((one.level, one.kind), []).append(Text(f"{one.where}: {one.text}"))
    table = Table("", "what", "how many", "the first")
    table.columns[2].justify = "right"
    table.columns[3].overflow = "fold"
    for (level, kind), texts in kinds.items():
        table.add_row(level, kind, str(len(texts)), texts[0])
    return table


def stats_table(stats: Stats) -> Table:
    """A row per class."""
    table = Table("class", "images", "pixels", "mean area", "areas", "pieces", "flags")
    for column in table.columns[1:4]:
        column.justify = "right"
    for one in stats.classes:
        area = "–" if one.mean_area is None else f"{one.mean_area:.1%}"
        pieces = "–" if one.mean_pieces is None else f"{one.mean_pieces:.1f}"
        table.add_row(Text(one.name), str(one.images), f"{one.pixels:.1%}", area, bars(one.areas), pieces, Text(counts(one.flags) or "0"))
    return table


def stats_line(stats: Stats) -> str:
    """The dataset as a whole."""
    sizes = [f"{count} of {size}" for size, count in list(stats.sizes.items())[:3]]
    more = f", {len(stats.sizes) - 3} other sizes" if len(stats.sizes) > 3 else ""
    shares = f"background {stats.background:.1%} of the pixels, ignored {stats.ignored:.1%}"
    return f"{counted(stats.images, 'image')} ({', '.join(sizes) or 'none'}{more}); {shares}; flags: {counts(stats.flags) or 'none'}"


def counts(of: Mapping[str, int]) -> str:
    """`{"a": 2}` → `a 2`."""
    return ", ".join(f"{name} {count}" for name, count in of.items())


def bars(values: tuple[int, ...]) -> str:
    """A histogram in a line, a character a bin; what is not zero is seen."""
    top = max(values, default=0) or 1
    return "".join(BARS[-(-value * (len(BARS) - 1) // top)] for value in values)
