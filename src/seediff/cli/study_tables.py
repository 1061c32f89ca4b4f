"""`seediff study main | ablation | …`: tables of trained segmenters as commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from .places import HERE

TABLES = {
    "main": "Train on generated pairs and on exact masks, and fine-tune (SeeDiff, table 1).",
    "ablation": "Train on masks of CAA, CRE, IRE and the whole of SeeDiff (table 2).",
    "resolution": "Train on masks of cross-attention at one resolution (table 4).",
    "strategy": "Train on masks of CA, CA·SA and SeeDiff (table 5).",
    "pamr": "Train on masks with and without PAMR (table S4).",
    "zero-shot": "Train with five classes that no exact mask shows (table S1).",
    "cityscapes": "Human and vehicle, as on Cityscapes (table 3).",
    "ade20k": "Bus, car and person, as on ADE20K (table S3).",
    "domain": "Measure one synthetic set on two domains (table S2).",
    "augmentation": "Train with and without DiffuMask's augmentation.",
    "scale": "Train on more and more generated images, with a fitted curve.",
    "gap": "Part the share of the images from that of the masks in what generated pairs lack.",
    "selection": "Train on parts of a set: the surest masks, one object an image, objects pasted in front.",
    "photographs": "Measure the embedded world's segmenter on photographs, and fine-tune it on some.",
}
"""By the name of the command and of the file in studies/."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options:
    """What all of these commands take."""

    out: Annotated[Path | None, HERE, Parameter(help="Folder for results.md, .csv, .json, .svg.", show_default="studies/TABLE")] = None
    work: Annotated[Path, HERE, Parameter(help="Folder for sets, scenes and segmenters, which all tables share.")] = Path("studies/work")
    world: Annotated[
        Literal["embedded", "full"], Parameter(help="The embedded world on a CPU, or the paper's scale: Stable Diffusion and real data.")
    ] = "embedded"
    config: Annotated[Path | None, Parameter(help="A table's file instead of a packaged one.")] = None
    data: Annotated[tuple[str, ...], Parameter(help="Where data is, as NAME=FOLDER; repeat for several.", negative=())] = ()
    art: Annotated[Path | None, Parameter(help="Folder that `seediff mini art` filled: exact scenes are drawn from it.")] = None
    model: Annotated[str | None, Parameter(help="Draw with this model instead of the table's.")] = None
    scale: Annotated[float, Parameter(help="Share of all samples that are drawn and trained on.")] = 1.0
    seeds: Annotated[str, Parameter(help="Of the trainings, with commas between.")] = "0,1,2"
    rows: Annotated[tuple[str, ...], Parameter(help="Only these rows; repeat for several.", negative=())] = ()
    backbone: Annotated[str | None, Parameter(help="Of the segmenter, instead of the table's.")] = None
    epochs: Annotated[
        float | None,
        Parameter(help="Of every row's training, instead of the table's; fine-tuning keeps what the table says in then_settings."),
    ] = None
    device: Annotated[str | None, Parameter(help="cuda, mps or cpu; the best there is by default.")] = None
    dry_run: Annotated[
        bool, Parameter(help="Say what would be drawn and trained if nothing were there yet, and its cost.", negative=())
    ] = False
    tflops: Annotated[
        float | None, Parameter(help="For --dry-run: what the device sustains, in 10^12 operations a second.", show_default="measured here")
    ] = None
    reuse: Annotated[
        tuple[Path, ...],
        Parameter(
            help="Folder with results.json of earlier tables, for rows and seeds of which nothing has changed; repeat for several.",
            negative=(),
        ),
    ] = ()
    quiet: Annotated[bool, Parameter(help="No progress.", negative=())] = False


def register(app: App) -> None:
    """Add a command a table."""
    for table, what in TABLES.items():
        app.command(_command(table, what), name=table)


def _command(table: str, what: str) -> Callable[..., None]:
    def command(options: Options = Options()) -> None:
        from .study_table_run import run

        run(table, options)

    command.__doc__ = f"""{what}

    Sets are drawn, segmenters trained and measured as far as they are not there yet; stopped at any moment, the same command goes on.

    Examples:

    - `seediff study {table} --art art --out studies/{table}`

    - `seediff study {table} --world full --dry-run`
    """
    return command
