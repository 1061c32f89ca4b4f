"""The summary that a command prints at its end: a table, the time that it took, and commands to run next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ..config.class_names import SEGMENT
from ..config.filter import GOOD_AGREEMENT
from ..config.photos_config import MaskPhotosConfig, SegmentPhotosConfig
from ..files.messages import make_console, plural, sentence
from ..report.tables import count_flags, show_reasons, summarize
from ..rows.row import Row, said
from .options import LOOK, command_line, export_line, next_steps, train_line

if TYPE_CHECKING:
    from ..config.generate_config import GenerateConfig
    from ..dataset.quality.check import Checked
    from ..dataset.quality.stats import Stats
    from ..run.loop import RunResult

ROWS_SHOWN = 12
"""Maximum number of photographs that a table lists."""
BARS = " ▁▂▃▄▅▆▇█"


def show_generated(result: RunResult, config: GenerateConfig) -> None:
    """Print the summary of `generate`. result: of a run that has finished the dataset, or found it finished.

    The table has for each class its images, rejected draws and flags by reason, its mean share of an image and, if
    rows have it, its mean agreement. A sentence says how many images there are, and how many are left out because all
    their draws were rejected.
    """
    from ..run.output import sample_number

    agreements = [scores for scores in (said(row.agreement) for row in result.rows) if scores]
    commands = [
        command_line("look", result.out, about=LOOK),
        *_filter_lines(result, agreements),
        export_line(result.out),
    ]
    columns = ["class", "images", "rejected", "flagged", "mean area"]
    if agreements:
        columns.append("mean agreement")
    table = _numbers_table(*columns)
    for row in summarize(result.rows, config.classes, count_flags(result.rejected, config.classes)).classes:
        rejected, flags = show_reasons(row.rejected) or "0", show_reasons(row.flags) or "0"
        cells = [Text(row.name), str(row.images), rejected, flags, _share(row.area)]
        if agreements:
            of_class = [scores[row.name] for scores in agreements if row.name in scores]
            cells.append(f"{mean(of_class):.2f}" if of_class else "–")
        table.add_row(*cells)
    left_out = {row.index for row in result.rejected}
    if left_out:
        left_out.difference_update(sample_number(said(row.file_name) or "") for row in result.rows)
    text = _describe_count(result, f"{plural(result.made, 'image')} with masks in {result.out}", left_out=len(left_out))
    _show(result, table, text, commands)


def _filter_lines(result: RunResult, agreements: Sequence[Mapping[str, float]]) -> list[str]:
    """The command that leaves out bad masks: by agreement, which finds most of them, or else by flags; [] if all agree.
    agreements: class → agreement, for each image that has any."""
    criteria, about = ("--drop-flags", "all"), "keep masks without flags"
    if agreements:
        kept = sum(min(scores.values()) >= GOOD_AGREEMENT for scores in agreements)
        if kept == len(result.rows):
            return []
        criteria = ("--min-agreement", str(GOOD_AGREEMENT))
        about = f"keep the {kept} of {len(result.rows)} on whose masks two methods agree"
    return [command_line("filter", result.out, *criteria, "--out", f"{result.out}-good", about=about)]


def show_segments(result: RunResult, config: SegmentPhotosConfig, skipped: str, doubt: str = "") -> None:
    """Print the summary of `segment`; nothing if no photograph was divided. skipped: a line about other files, or "".
    doubt: the warning of `PhotoJob.doubts`, or ""."""
    if not result.rows:
        return
    table, named = Table("photograph", "segments"), any({*row.named} - {SEGMENT} for row in result.rows)
    if named:
        table.add_column("names")
    for row in result.rows[:ROWS_SHOWN]:
        names = ", ".join(name for name in row.named if name != SEGMENT)
        cells = [Text(str(said(row.source))), str(_objects(row))]
        if named:
            cells.append(Text(names or "–"))
        table.add_row(*cells)
    if len(result.rows) > ROWS_SHOWN:
        table.add_row(f"… {len(result.rows) - ROWS_SHOWN} more")
    middle = median(map(_objects, result.rows))
    count = f"{plural(result.made, 'photograph')} in {result.out}; segments per photograph: {middle:g} (median)"
    text = _describe_count(result, count, skipped)
    if config.names and not named:
        text += f"\nNo segment got a name: none reached --name-threshold {config.name_threshold:g}."
    if middle <= 1 and config.segment.method == "diffseg":
        text += "\nMost are one segment: lower --kl-threshold, or use --method kmeans -k 5."
    text += _further_line(doubt)
    commands = [
        command_line("look", result.out, about="see the segments, and correct them"),
        command_line("evaluate", "segments", result.out, "--labels", "LABELS", about="with your own label maps"),
        export_line(result.out),
    ]
    _show(result, table, text, commands)


def _objects(row: Row) -> int:
    return len(said(row.instances) or ())


def show_masks(result: RunResult, config: MaskPhotosConfig, skipped: str, doubt: str = "") -> None:
    """Print the summary of `mask`; nothing if no photograph has masks. skipped, doubt: as in `show_segments`."""
    if not result.rows:
        return
    table = _numbers_table("class", "asked", "found", "flagged", "mean area")
    for row in summarize(result.rows, config.classes).classes:
        asked = sum(row.name in (said(each.asked) or ()) for each in result.rows)
        flags = show_reasons(row.flags) or "0"
        table.add_row(Text(row.name), str(asked), str(row.images), flags, _share(row.area))
    text = _describe_count(result, f"{plural(result.made, 'photograph')} with masks in {result.out}", skipped)
    commands = [command_line("look", result.out, about=LOOK)]
    if not doubt:  # masks that mean nothing are not to be trained on
        commands += [train_line(result.out), export_line(result.out)]
    _show(result, table, text + _further_line(doubt), commands)


def _describe_count(result: RunResult, count: str, skipped: str = "", left_out: int = 0) -> str:
    """A sentence about the finished output. count: its contents, such as "9 images with masks in pets". skipped: a
    line about other files, or "". left_out: the number of images whose draws were all rejected."""
    text = count
    if result.asked:
        text = f"Ended early: {count}, of {result.asked} asked for; the same command without --finish makes the others"
    elif not result.done:
        text = f"Complete: {count}; nothing to do"
    if skipped:
        text += f" ({skipped})"
    if left_out:
        text += f"; {left_out} left out because every attempt was flagged"
    return f"{text}."


def _further_line(text: str) -> str:
    """A warning as a further line of the summary; "" if there is none."""
    return f"\n{sentence(text)}" if text else ""


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _show(result: RunResult, table: Table, text: str, commands: Sequence[str]) -> None:
    console = make_console()
    console.print(table)
    if result.seconds:
        text += f"\nTime: {sum(result.seconds.values()):.1f} s"
    for line in (text, next_steps(*commands, made=result.out)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


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


def counts(of: Mapping[str, int]) -> str:
    """`{"a": 2}` → `a 2`."""
    return ", ".join(f"{name} {count}" for name, count in of.items())


def bars(values: tuple[int, ...]) -> str:
    """A histogram in a line: one character per bin, visible for every value above 0."""
    top = max(values, default=0) or 1
    return "".join(BARS[-(-value * (len(BARS) - 1) // top)] for value in values)  # rounded up
