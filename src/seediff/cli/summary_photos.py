"""What a person reads in the terminal after a run over photographs: what was found, where it is, what to do next."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..config.photographs import MaskPhotosConfig
from ..dataset import native
from ..files.messages import make_console
from ..run.mask import MaskPhotosResult
from ..run.photos import others_skipped, photographs
from ..run.segment import SegmentPhotosResult
from .following import command_line, following, look_at
from .summary import time_shares

ROWS_SHOWN = 12
"""Photographs with a line of their own."""


def show_segments(result: SegmentPhotosResult, skipped: int, console: Console | None = None) -> None:
    """Print the summary of a finished `segment`; the last line says which picture to look at. Without segments there is none.

    skipped: files that are no pictures.
    """
    if not result.rows:
        return
    console = console or make_console()
    table = Table("photograph", "segments", "largest", "names")
    for row in result.rows[:ROWS_SHOWN]:
        areas = [one["area"] / (row["width"] * row["height"]) for one in row["segments"]]
        names = Counter(one["name"] for one in row["segments"] if one["name"])
        table.add_row(Text(row["photo"]), str(len(areas)), f"{max(areas, default=0):.0%}", Text(", ".join(names) or "–"))
    if len(result.rows) > ROWS_SHOWN:
        table.add_row(f"… {len(result.rows) - ROWS_SHOWN} more", "", "", "")
    console.print(table)
    numbers = [len(row["segments"]) for row in result.rows]
    text = f"{photographs(len(numbers))} in {result.out}; segments per photograph: {median(numbers):g} (median)"
    _say(console, (text if result.done else f"Complete: {text}; nothing to do") + others_skipped(skipped))
    if shares := time_shares(result.seconds, ("reading", "segmenting", "naming", "writing")):
        console.print(f"Time: {shares}", highlight=False, markup=False)
    command = command_line("evaluate", "segments", result.out, "--labels", "LABELS", about="against label maps of your own")
    console.print(following(command), highlight=False, markup=False, soft_wrap=True)
    look = result.out / result.picture
    console.print(f"\nLook at {shlex.quote(str(look))}", highlight=False, markup=False, soft_wrap=True)


def show_masks(result: MaskPhotosResult, config: MaskPhotosConfig, skipped: int, console: Console | None = None) -> None:
    """Print the summary of a finished `mask`; the last line says which picture to look at. Without masks there is none.

    skipped: files that are no pictures.
    """
    rows = result.dataset.rows
    if not rows:
        return
    console = console or make_console()
    table = Table("class", "asked", "found", "mean area")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in config.classes:
        areas = [row["area"][name] for row in rows if name in row["classes"]]
        asked = sum(name in row["asked"] for row in rows)
        table.add_row(Text(name), str(asked), str(len(areas)), f"{sum(areas) / len(areas):.1%}" if areas else "–")
    console.print(table)
    text = f"{photographs(len(rows))} with masks in {result.dataset.out}"
    _say(console, (text if result.dataset.drawn else f"Complete: {text}; nothing to do") + others_skipped(skipped))
    if shares := time_shares(result.dataset.seconds, ("reading", "capturing attention", "masks", "writing")):
        console.print(f"Time: {shares}", highlight=False, markup=False)
    if isinstance(out := result.dataset.out, Path):
        commands = (command_line("check", out, about="is everything in it sound?"), command_line("train", out, "--out", "segmenter"))
        console.print(following(*commands), highlight=False, markup=False, soft_wrap=True)
    console.print(f"\n{look_at(out / native.PREVIEW)}", highlight=False, markup=False, soft_wrap=True)


def _say(console: Console, text: str) -> None:
    console.print(f"{text}.", highlight=False, markup=False, soft_wrap=True)
