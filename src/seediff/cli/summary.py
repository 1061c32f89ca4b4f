"""The summary that a command prints at its end: a table, the time that it took, and commands to run next."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ..config.class_names import SEGMENT
from ..config.runs import GenerateConfig, MaskPhotosConfig, PredictConfig, SegmentPhotosConfig
from ..dataset import native
from ..files.messages import make_console, plural, show_counts
from ..report.set_summary import summarize
from ..rows.values import flag_kind
from .advice import LOOK, command_line, export_line, next_steps, print_lines, train_line

if TYPE_CHECKING:
    from ..dataset.check import Checked
    from ..dataset.select import Stats
    from ..run.job import AnyJob
    from ..run.loop import RunResult

BARS = " ▁▂▃▄▅▆▇█"
GOOD_CONFIDENCE = "0.25"
"""The lowest confidence that the suggested filter keeps (docs/decisions/0041-confidence-is-a-soft-iou.md)."""
ENOUGH = 0.9
"""A class with a smaller share of the images that were asked for is said to have too few."""
NEARLY_ALL = 0.8
"""Above this share of mixed drawings, the flag is taken to say nothing."""


def show_result(job: AnyJob, result: RunResult, skipped: str = "") -> None:
    """Print the summary of a run: a row for each class, a sentence, and what to run next. skipped: a line about other
    files, or ""."""
    if not (result.rows or result.rejected):
        return
    classes = summarize(result.rows, job.classes).classes
    redrawn: list[str] = []
    if isinstance(job.config, GenerateConfig):
        redrawn = _redrawn_lines(job.config, result, {row.name: row.images for row in classes})
    table = _numbers_table("class", "images", "flagged", "mean area")
    for row in classes:
        shown = f"{row.images} of {job.config.per_class}" if redrawn else str(row.images)
        table.add_row(Text(row.name), shown, show_counts(row.flags) or "0", _share(row.area))
    if isinstance(job.config, MaskPhotosConfig):
        table.add_row("none of the classes", str(sum(not row.named for row in result.rows)), "–", "–")
    text = f"{plural(result.made, 'image')} in {result.out}"
    if result.asked:
        text = f"Ended early: {text}, of {result.asked} asked for; the same command without --finish makes the others"
    elif not result.done:
        text += "; nothing was missing"
    if skipped:
        text += f" ({skipped})"
    lines = [text, *redrawn]
    if isinstance(job.config, SegmentPhotosConfig) and len(job.classes) > 1:  # SEGMENT, and names
        nameless = sum(set(row.classes or ()) <= {SEGMENT} for row in result.rows)
        if nameless:
            why = f"no word reached --name-threshold {job.config.name_threshold}; a lower one names more, also wrongly"
            lines.append(f"No segment has a name in {nameless} of {plural(len(result.rows), 'image')}: {why}")
    if result.seconds:
        loading = result.seconds.get("loading", 0.0)
        lines.append(f"Time: {sum(result.seconds.values()) - loading:.1f} s, and {loading:.1f} s of loading")
    about = "correct the masks" if isinstance(job.config, PredictConfig) else LOOK
    steps = [command_line("look", result.out, about=about)]
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


def _redrawn_lines(config: GenerateConfig, result: RunResult, images: Mapping[str, int]) -> list[str]:
    """Lines about samples that were drawn again; empty if none was. images: class → the number of images."""
    draws = Counter(row.index for row in result.rejected)
    if not draws:
        return []
    left_out = sum(count == config.attempts for count in draws.values())
    lines = [f"{len(draws) - left_out} redrawn, {left_out} left out: why is in {native.REJECTED}"]
    mixed = sum(any(flag_kind(flag) == "mixed" for flag in row.raised) for row in result.rejected)
    few = {name: count for name, count in images.items() if count < ENOUGH * config.per_class}
    if mixed > NEARLY_ALL * (result.made + len(result.rejected)):
        why = "the model draws these classes as one thing, or its words hardly tell masks apart"
        lines.append(f"Nearly all drawings are flagged mixed: {why}; --no-reject keeps them, to look at")
    elif few:
        more = math.ceil(config.per_class**2 / max(min(few.values()), 1))
        lines.append(f"Few images of {', '.join(few)}: the same command with --per-class {more} adds more")
    return lines


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
