"""`python -m recipes.tables TABLE`: draw what is missing, train, measure, and write the table beside the paper's
figures.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from seediff.cli.main import main
from seediff.cli.options import HERE
from seediff.cli.progress import show_progress
from seediff.config.fields import WORD
from seediff.errors import UserError
from seediff.files.output_folders import check_writable
from seediff.workers import Progress

from .definition import Table, packaged, read_table
from .results import write_table
from .sources import Places
from .stored_results import open_kept
from .trained import Watch, check, planned, run_table

app = App(
    name="python -m recipes.tables",
    help="Make the papers' tables.",
    help_format="markdown",
    result_action="return_value",
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options:
    """Options for making a table."""

    out: Annotated[
        Path | None, HERE, Parameter(help="Folder for results.md and results.json.", show_default="studies/TABLE")
    ] = None
    work: Annotated[Path, HERE, Parameter(help="Folder for sets, scenes and segmenters, shared by all tables.")] = Path(
        "studies/work"
    )
    world: Annotated[
        Literal["embedded", "full"],
        Parameter(
            help="embedded: the embedded world on a CPU. full: the paper's scale, with Stable Diffusion and real data."
        ),
    ] = "embedded"
    config: Annotated[Path | None, Parameter(help="File of a table of your own.")] = None
    data: Annotated[
        tuple[str, ...],
        Parameter(
            help="Folder of a data set, as NAME=FOLDER; repeat the option for several.", negative=(), show_default=False
        ),
    ] = ()
    art: Annotated[
        Path | None, Parameter(help="Folder from `python -m recipes.mini art`, for rendering exact scenes.")
    ] = None
    model: Annotated[str | None, Parameter(help="Model to draw with, instead of the table's.")] = None
    scale: Annotated[float, Parameter(help="Share of all samples to draw and to train on.")] = 1.0
    seeds: Annotated[tuple[int, ...], WORD, Parameter(help="Seeds of the trainings, separated by commas.")] = (0, 1, 2)
    rows: Annotated[
        tuple[str, ...],
        Parameter(help="Make only this row; repeat the option for several.", negative=(), show_default="all"),
    ] = ()
    device: Annotated[str | None, Parameter(help="Device: cuda, mps or cpu; by default the fastest available.")] = None
    dry_run: Annotated[
        bool,
        Parameter(help="Print what would be drawn and trained from scratch, and stop.", negative=(), show_default="no"),
    ] = False
    reuse: Annotated[
        tuple[Path, ...],
        Parameter(
            help=(
                "Folder with results.json of earlier tables; unchanged rows and seeds are reused. Repeat the option for"
                " several."
            ),
            negative=(),
            show_default=False,
        ),
    ] = ()
    quiet: Annotated[bool, Parameter(help="Show no progress.", negative=(), show_default="no")] = False


@app.default
def run(
    table: Annotated[str, Parameter(help="Name of the table; docs/truth.md lists them.")],
    options: Options = Options(),
) -> None:
    """Make a table of trained segmenters: draw missing sets, train and measure missing segmenters. The same
    command continues a study that was stopped.

    Examples:

    - `python -m recipes.tables main --art art --out studies/main`

    - `python -m recipes.tables main --world full --dry-run`
    """
    # 1. What to do
    chosen = chosen_table(table, options)
    out = options.out or Path("studies") / chosen.name
    places = Places(options.work, parse_folders(options.data), options.art, options.device)
    seeds = options.seeds
    kept = open_kept(options.work, options.reuse)
    if options.dry_run:
        print("\n".join([chosen.title, *planned(chosen, seeds)]))
        return

    # 2. Do it
    check(chosen, places, seeds, kept)
    check_writable(out)
    with watching(options.quiet, options.work) as watch:
        result = run_table(chosen, places, seeds=seeds, kept=kept, watch=watch)

    # 3. Write and print the results
    write_table(out, result)
    print((out / "results.md").read_text(encoding="utf-8"))
    print(f"Table: {out / 'results.md'}   JSON: {out / 'results.json'}")


def chosen_table(name: str, options: Options) -> Table:
    """The table that the command names, changed as its options say. Raises UserError for a wrong option."""
    if not 0 < options.scale <= 1:
        raise UserError("scale", f"{options.scale} must be a share in (0, 1]")
    path = options.config or packaged(name, options.world)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.toml") if not file.stem.startswith("set")))
        raise UserError(
            f"there is no table '{name}' of the {options.world} world; there are: {known}"
            if options.config is None
            else f"--config {path}: there is no such file"
        )
    table = read_table(path)
    if options.scale < 1:
        table = table.scaled(options.scale)
    if options.model is not None:
        table = table.with_model(options.model)
    if options.device is not None:
        table = replace(table, train={**table.train, "device": options.device})
    return table.only_rows(options.rows) if options.rows else table


def parse_folders(data: tuple[str, ...]) -> dict[str, Path]:
    """`voc=VOCdevkit/VOC2012` → {"voc": Path(…)}. Raises UserError for a malformed text, a missing folder or a repeated
    name.
    """
    folders = {}
    for text in data:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise UserError("data", f"{text}: write NAME=FOLDER, for example --data voc=VOCdevkit/VOC2012")
        if not Path(folder).exists():
            raise UserError("data", f"{text}: there is no folder {folder}")
        if name in folders:
            raise UserError("data", f"{text}: '{name}' is given twice")
        folders[name] = Path(folder)
    return folders


@contextmanager
def watching(quiet: bool, work: Path) -> Iterator[Watch]:
    """Yields a `Watch` that announces each activity and shows a progress bar for it; silent if `quiet`."""
    with ExitStack() as stack:
        current = stack.enter_context(ExitStack())

        def watch(what: str) -> Progress:
            current.close()
            if not quiet:
                print(what, file=sys.stderr, flush=True)
            return current.enter_context(show_progress(quiet, work, "steps"))

        yield watch


if __name__ == "__main__":
    sys.exit(main(program=app))
