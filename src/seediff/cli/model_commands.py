"""`seediff models` and `seediff download`: which models there are, and fetching one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..config.fields import MODEL, RUN, DType
from ..errors import UserError
from ..files.messages import make_console
from ..models.describe import describe
from ..models.model_files import find_model
from .options import HERE, Quiet, command_line, next_steps, option
from .progress import report_on_interrupt

ABOUT_MODELS = """\
Sizes are those of all weights in half precision; licences are what the models' pages said: read them before use.
Fetched on first use; or before, also for a machine without a network: seediff download NAME
Also any local folder in diffusers' format, or a hub id: seediff generate --model FOLDER --classes zebra --out zebras"""


def models() -> None:
    """List the models that have short names, with their sizes and licences, and which are on this machine.

    For example: `seediff models`
    """
    from rich.padding import Padding
    from rich.text import Text

    from ..models.catalogue import HEADINGS, list_models

    console, families = make_console(), list_models()
    lines = [row[: len(HEADINGS)] for row in chain.from_iterable(rows for _, rows in families)]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *lines, strict=True)]

    def align(cells: Sequence[str]) -> Text:
        return Text("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())

    console.print(align(HEADINGS))
    for family, rows in families:
        console.print()
        console.print(Text(family.title, style="bold"))
        for row in rows:
            console.print(align(row[: len(HEADINGS)]))
            # On a line of its own, so that the id can be copied in one piece even from a narrow terminal.
            source = Text(", ".join(filter(None, (row.hub_id, row.licence))))
            console.print(Padding(source, (0, 0, 0, 4), expand=False), style="dim")
    print(f"\n{ABOUT_MODELS}")


def download(
    name: Annotated[str, Parameter(help="A name from `seediff models`, a hub id, or `owner/name/FILE` with --base.")],
    /,
    *,
    base: Annotated[str | None, option(MODEL, "Model that supplies what a single file lacks.")] = None,
    dtype: Annotated[
        DType | None,
        option(MODEL, "Number format in which it will be loaded.", "this machine's: half precision with a GPU"),
    ] = None,
    out: Annotated[
        Path | None,
        HERE,
        option(RUN, "Folder for the files, to copy elsewhere; then --model FOLDER.", "the hub's cache"),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fetch a model from the hub before it is needed: only the files that a run loads, safetensors and no pickles.

    Says the size and the licence first. Run the same command to continue a download that was stopped.

    For example:

    - `seediff download sdxl`

    - `seediff download sdxl --dtype float16 --out sdxl`
    """
    from ..devices import default_device, default_dtype
    from ..models.pipeline import fetch_pipeline

    with report_on_interrupt(lambda: "the download unfinished"):
        files = find_model(name, base)
        is_hubs = files.replacement is None and isinstance(files.whole, str)
        if out is not None and not is_hubs:
            raise UserError("out", f"is for a whole model of the hub, and {name} is not one", "leave it out")
        files = files.fetched()
        folder = files.whole
        if isinstance(folder, str):
            family = describe(files).family
            usual = default_dtype(default_device(), family.half)
            folder = fetch_pipeline(files, family, dtype or usual, out)
    if not quiet:
        model, places = ["--model", out or name], str(folder)
        if base is not None:
            model += ["--base", base]
        if files.replacement:
            places = f"{files.replacement.path} and {folder}"
        print(f"{name}: all files are in {places}")
        print(next_steps(command_line("generate", *model, "--classes", "dog,cat", "--out", "pets")))
