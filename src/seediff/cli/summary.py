"""The summary that a command prints at its end: a table, the time that it took, and commands to run next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ..files.messages import make_console, plural, show_counts
from ..report.set_summary import summarize
from .advice import LOOK, command_line, export_line, next_steps, print_lines, train_line

if TYPE_CHECKING:
    from ..dataset.check import Checked
    from ..dataset.select import Stats
    from ..run.job import AnyJob
    from ..run.output import RunResult

BARS = " ▁▂▃▄▅▆▇█"
GOOD_CONFIDENCE = "0.25"
"""The lowest confidence that the suggested filter keeps (docs/decisions/0041-confidence-is-a-soft-iou.md)."""


def show_result(job: AnyJob, result: RunResult, skipped: str = "") -> None:
    """Print the summary of a run: a row for each class, a sentence, and what to run next. skipped: a line about other
    files, or ""."""
    if not (result.rows or result.rejected):
        return
    classes = summarize(result.rows, job.classes).classes
    remarks = job.remarks(result)
    table = _numbers_table("class", "images", "flagged", "mean area")
    asked = getattr(job.config, "per_class", None)
    for row in classes:
        shown = str(row.images)
        if remarks and asked:
            shown += f" of {asked}"
        table.add_row(Text(row.name), shown, show_counts(row.flags) or "0", _share(row.area))
    if job.counts_none:
        table.add_row("none of the classes", str(sum(not row.class_names for row in result.rows)), "–", "–")
    text = f"{plural(result.made, 'image')} in {result.out}"
    if result.asked:
        text = f"Ended early: {text}, of {result.asked} asked for; the same command without --finish makes the others"
    elif not result.done:
        text += "; nothing was missing"
    if skipped:
        text += f" ({skipped})"
    lines = [text, *remarks]
    if result.seconds:
        loading = result.seconds.get("loading", 0.0)
        lines.append(f"Time: {sum(result.seconds.values()) - loading:.1f} s, and {loading:.1f} s of loading")
    steps = [command_line("look", result.out, about=LOOK if job.explained else "correct the masks")]
    if not result.done:
        steps.append(command_line("check", result.out, about="whether each file is whole"))
    if not job.doubts and any(row.images for row in classes):  # masks that mean nothing are not to be trained on
        criteria = ["--drop-flags", "all"]
        if any(row.confidence for row in result.rows):
            criteria += ["--min-confidence", GOOD_CONFIDENCE]
        drop = command_line("filter", result.out, *criteria, "--out", f"{result.out}-good")
        steps += [drop, train_line(result.out), export_line(result.out)]
    console = make_console()
    console.print(table)
    if result.rows:
        lines.append(next_steps(*steps, made=result.out))
    print_lines(console, lines)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _numbers_table(*columns: str) -> Table:
    """A table with these columns. All but the first column are aligned for numbers."""
    table = Table(*columns)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def findings_table(checked: Checked) -> Table:
    """A table with one row per kind of finding: the number of such findings, and the first of them."""
    kinds: dict[tuple[str, str], list[Text]] = {}
    for finding in checked.findings:
        kinds.setdefault((finding.level, finding.kind), []).append(Text(f"{finding.where}: {finding.text}"))
    table = Table("", "finding", "count", "first example")
    table.columns[3].overflow = "fold"
    for (level, kind), texts in kinds.items():
        table.add_row(level, kind, str(len(texts)), texts[0])
    return table


def stats_table(stats: Stats) -> Table:
    """A table with the figures of each class."""
    table = _numbers_table("class", "images", "pixels", "mean area", "areas", "pieces")
    for row in stats.classes:
        pieces = "–" if row.mean_pieces is None else f"{row.mean_pieces:.1f}"
        shares = _share(row.pixels), _share(row.mean_area)
        table.add_row(Text(row.name), str(row.images), *shares, bars(row.areas), pieces)
    return table


def stats_line(stats: Stats) -> str:
    """A line about the whole dataset: images and their sizes, shares of background and ignored pixels."""
    sizes = [f"{count} of {size}" for size, count in list(stats.sizes.items())[:3]] or ["none"]
    if len(stats.sizes) > 3:
        sizes.append(f"{len(stats.sizes) - 3} other sizes")
    images = f"{plural(stats.images, 'image')} ({', '.join(sizes)})"
    return f"{images}; background {stats.background:.1%} of the pixels, ignored {stats.ignored:.1%}"


def bars(values: tuple[int, ...]) -> str:
    """A histogram in a line: one character per bin, visible for every value above 0."""
    top = max(values, default=0) or 1
    return "".join(BARS[-(-value * (len(BARS) - 1) // top)] for value in values)  # rounded up
