"""What a person reads in the terminal after a run: a table of the classes, where the time went, what to do next."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..config.generate import GenerateConfig
from ..dataset import native
from ..files.messages import counted, make_console
from ..files.places import Url
from ..report.tables import count_classes, show_reasons
from ..run.samples import RunResult, rejections
from .following import command_line, following, look_at


def show_summary(result: RunResult, config: GenerateConfig, console: Console | None = None) -> None:
    """Print the summary of a finished run, or of a dataset that was complete already; the last line says which picture to look at."""
    console = console or make_console()
    console.print(class_table(result, config.classes))
    console.print(headline(result), highlight=False, markup=False, soft_wrap=True)
    if shares := time_shares(result.seconds):
        console.print(f"Time: {shares}", highlight=False, markup=False)
    console.print(following(*next_commands(result)), highlight=False, markup=False, soft_wrap=True)
    console.print(f"\n{look_at(result.out / native.PREVIEW)}", highlight=False, markup=False, soft_wrap=True)


def class_table(result: RunResult, classes: Sequence[str]) -> Table:
    """One row per class: images made, draws rejected and why, flagged, mean share of the image."""
    table = Table("class", "images", "rejected", "flagged", "mean area")
    for column in table.columns[1:]:
        column.justify = "right"
    for c in count_classes(result.rows, classes, rejections(result.rejected)):
        area = "–" if c.area is None else f"{c.area:.1%}"
        table.add_row(Text(c.name), str(c.made), show_reasons(c.rejected) or "0", show_reasons(c.flags) or "0", area)
    return table


def headline(result: RunResult) -> str:
    """How many images there are and where; how many are missing because every draw of them was flagged."""
    attempts: dict[int, int] = {}
    for row in result.rejected:
        attempts[row["index"]] = attempts.get(row["index"], 0) + 1
    kept = {int(row["file_name"].partition("/")[2].partition(".")[0]) for row in result.rows}
    missing = len(set(attempts) - kept)
    text = f"{counted(result.made, 'image')} with masks in {result.out}"
    if not result.drawn:
        text = f"Complete: {text}; nothing to do"
    if missing:
        text += f"; {missing} left out, because each of their draws was flagged"
    return text + "."


def time_shares(seconds: Mapping[str, float], parts: Sequence[str] = ("drawing", "masks", "writing")) -> str:
    """Where the time went after the model was loaded. Drawing is the network, the VAE and the capture of attention, which run as one;
    what draws nothing has its own `parts`."""
    total = sum(value for name, value in seconds.items() if name != "loading")
    if not total:
        return ""
    shares = [f"{name} {seconds[name] / total:.1%}" for name in parts if seconds.get(name, 0) > 0.0005 * total]
    return (
        ", ".join(shares)
        + f" of {total:.1f} s"
        + (f", after {seconds['loading']:.1f} s of loading the model" if "loading" in seconds else "")
    )


def next_commands(result: RunResult) -> list[str]:
    """What to do with the dataset now, for the shell: with this very Python, and `seediff` as the user called it."""
    if isinstance(result.out, Url):
        code = f"import fsspec; store, root = fsspec.url_to_fs({str(result.out)!r}); store.get(root, 'dataset', recursive=True)"
        return [shlex.join([sys.executable, "-c", code])]
    folder = json.dumps(str(result.out), ensure_ascii=False)
    code = f"import seediff; sample = next(seediff.read_dataset({folder})); print(sample.image.shape, sample.label_map.max())"
    return [
        shlex.join([sys.executable, "-c", code]),
        command_line("study", "truth", "--scenes", 100, "--out", "truth", about="how good such masks are, against exact ones"),
    ]
