"""What `seediff study main | ablation | …` do: read the table's file, make what is missing, write the results, say where they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.outputs import check_writable
from ..files.terminal import make_console
from ..study.tables.definition import Table, packaged, read_table
from ..study.tables.estimate import estimate, show_estimate
from ..study.tables.kept import open_kept
from ..study.tables.results import summarised, write_table
from ..study.tables.sources import Places
from ..study.tables.trained import Watch, check, run_table
from ..workers import Progress
from .progress import show_progress
from .study_options import Options


def run(name: str, options: Options) -> None:
    """The command of a table. Raises UserError."""
    # 1. What to do
    table = chosen_table(name, options)
    out = options.out or Path("studies") / table.name
    places = Places(options.work, parse_folders(options.data), options.art, options.device)
    seeds = parse_seeds(options.seeds)
    given = {"backbone": options.backbone, "epochs": options.epochs, "device": options.device}
    settings = {key: value for key, value in given.items() if value is not None}
    kept = open_kept(options.work, options.reuse)
    if options.dry_run:
        show_estimate(estimate(table, seeds, settings, tflops=options.tflops, device=options.device))
        return

    # 2. Do it
    check(table, places, seeds, settings, kept)
    check_writable(out)
    with watching(options.quiet, options.work) as watch:
        result = run_table(table, places, seeds=seeds, settings=settings, kept=kept, watch=watch)

    # 3. Say what came of it
    write_table(out, result)
    show_rows(result)
    make_console().print(
        f"Table: {out / 'results.md'}   Plot: {out / 'results.svg'}   JSON: {out / 'results.json'}", markup=False, soft_wrap=True
    )


def chosen_table(name: str, options: Options) -> Table:
    """The table of a command, with what its options change."""
    if not 0 < options.scale <= 1:
        raise UserError(f"--scale {options.scale}: must be a share in (0, 1]")
    path = options.config or packaged(name, options.world)
    if not path.is_file():
        raise UserError(
            f"there is no table '{name}' of the {options.world} world"
            if options.config is None
            else f"--config {path}: there is no such file"
        )
    table = read_table(path)
    if options.scale < 1:
        table = table.scaled(options.scale)
    if options.model is not None:
        table = table.with_model(options.model)
    return table.only_rows(options.rows) if options.rows else table


def parse_folders(data: tuple[str, ...]) -> dict[str, Path]:
    """`voc=VOCdevkit/VOC2012` → {"voc": Path(…)}. Raises UserError for what is not so, and for a folder that is not there."""
    folders = {}
    for text in data:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise UserError(f"--data {text}: write NAME=FOLDER, for example --data voc=VOCdevkit/VOC2012")
        if not Path(folder).exists():
            raise UserError(f"--data {text}: there is no folder {folder}")
        if name in folders:
            raise UserError(f"--data {text}: '{name}' is given twice")
        folders[name] = Path(folder)
    return folders


def parse_seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"--seeds {text}: write whole numbers with commas between, for example 0,1,2") from error


@contextmanager
def watching(quiet: bool, work: Path) -> Iterator[Watch]:
    """Says each thing that is done, with a bar of its progress."""
    with ExitStack() as stack:
        current = stack.enter_context(ExitStack())

        def watch(what: str) -> Progress:
            current.close()
            if not quiet:
                print(what, file=sys.stderr, flush=True)
            return current.enter_context(show_progress(quiet, work, "steps"))

        yield watch


def show_rows(result: dict[str, Any]) -> None:
    """The table on the terminal."""
    from rich.table import Table as Shown
    from rich.text import Text

    shown = Shown("", "measured on", "figure", "%", "seeds", "95 % over images", "paper", title=result["title"])
    for row in summarised(result):
        ci = "–".join(f"{bound:.1f}" for bound in row["ci95"])
        seeds = f"{row['lowest']:.1f}–{row['highest']:.1f}"
        paper = "" if row["paper"] is None else str(row["paper"])
        shown.add_row(Text(row["row"]), row["test"].replace("_", " "), row["metric"], f"{row['mean']:.1f}", seeds, ci, paper)
    make_console().print(shown)
