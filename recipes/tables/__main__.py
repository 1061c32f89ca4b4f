"""`python -m recipes.tables TABLE`: draw what is missing, train, measure, and write the table beside the paper's
figures.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from msgspec import structs

from seediff.cli.main import main
from seediff.config.fields import WORD
from seediff.errors import UserError
from seediff.files.outputs import check_writable

from .definition import Table, packaged, read_table, tables_in
from .results import write_table
from .sources import Places
from .trained import open_kept, planned, run_table

app = App(
    name="python -m recipes.tables",
    help="Make the papers' tables.",
    help_format="markdown",
    result_action="return_value",
)
MANY = Parameter(negative=())


@app.default
def run(
    table: str,
    *,
    out: Path | None = None,
    work: Path = Path("studies/work"),
    world: Literal["embedded", "full"] = "embedded",
    config: Path | None = None,
    data: Annotated[tuple[str, ...], MANY] = (),
    art: Path | None = None,
    scale: float = 1.0,
    seeds: Annotated[tuple[int, ...], WORD] = (0, 1, 2),
    rows: Annotated[tuple[str, ...], MANY] = (),
    device: str | None = None,
    dry_run: Annotated[bool, MANY] = False,
    reuse: Annotated[tuple[Path, ...], MANY] = (),
) -> None:
    """Make a table of trained segmenters: draw missing sets, train and measure missing segmenters. The same
    command continues a study that was stopped.

    Examples:

    - `python -m recipes.tables main --art art --out studies/main`

    - `python -m recipes.tables main --world full --dry-run`

    Parameters
    ----------
    table
        Name of the table; the files of recipes/tables/embedded are named so.
    out
        Folder for results.md and results.json; by default studies/TABLE.
    work
        Folder for sets, scenes and segmenters, shared by all tables.
    world
        embedded: the embedded world on a CPU. full: the paper's scale, with Stable Diffusion and real data.
    config
        File of a table of your own.
    data
        Folder of a data set, as NAME=FOLDER; repeat the option for several.
    art
        Folder from `python -m recipes.mini art`, for rendering exact scenes.
    scale
        Share of all samples to draw, to train on and to measure, for a trial; the table's first line says so.
    seeds
        Seeds of the trainings, separated by commas.
    rows
        Make only this row; repeat the option for several.
    device
        Device: cuda, mps or cpu; by default the fastest available.
    dry_run
        Print what would be drawn and trained from scratch, and stop.
    reuse
        Folder with results.json of earlier tables; unchanged rows and seeds are reused. Repeat the option for several.
    """
    # 1. What to do
    chosen = chosen_table(table, world=world, config=config, scale=scale, device=device, rows=rows)
    out = out or Path("studies") / chosen.name
    if dry_run:
        print("\n".join([chosen.title, *planned(chosen, seeds)]))
        return
    places = Places(work, parse_folders(data), art, device)
    kept = open_kept(work, reuse)

    # 2. Do it
    check_writable(out)
    result = run_table(chosen, places, seeds=seeds, kept=kept)

    # 3. Write and print the results
    write_table(out, result)
    print((out / "results.md").read_text(encoding="utf-8"))
    print(f"Table: {out / 'results.md'}   JSON: {out / 'results.json'}")


def chosen_table(
    name: str,
    *,
    world: str = "embedded",
    config: Path | None = None,
    scale: float = 1.0,
    device: str | None = None,
    rows: tuple[str, ...] = (),
) -> Table:
    """The table that the command names, changed as its options say. Raises UserError for a wrong option."""
    if not 0 < scale <= 1:
        raise UserError("scale", f"{scale} must be a share in (0, 1]")
    path = config or packaged(name, world)
    if not path.is_file():
        raise UserError(path, "there is no such table", f"there are: {', '.join(tables_in(path.parent))}")
    table = read_table(path)
    if scale < 1:
        table = table.scaled(scale)
    if device is not None:
        table = structs.replace(table, train={**table.train, "device": device})
    return table.only_rows(rows) if rows else table


def parse_folders(data: tuple[str, ...]) -> dict[str, Path]:
    """`voc=VOCdevkit/VOC2012` → {"voc": Path(…)}. Raises UserError for a malformed text or a missing folder."""
    folders = {}
    for text in data:
        name, _, folder = text.partition("=")
        if not folder or not Path(folder).exists():
            raise UserError("data", f"{text}: write NAME=FOLDER of a folder that is there, as voc=VOCdevkit/VOC2012")
        folders[name] = Path(folder)
    return folders


if __name__ == "__main__":
    sys.exit(main(program=app))
