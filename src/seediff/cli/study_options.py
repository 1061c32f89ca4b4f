"""The options that all tables of trained segmenters share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from .places import HERE


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
    data: Annotated[
        tuple[str, ...], Parameter(help="Where data is, as NAME=FOLDER; repeat for several.", negative=(), show_default=False)
    ] = ()
    art: Annotated[Path | None, Parameter(help="Folder that `seediff mini art` filled: exact scenes are drawn from it.")] = None
    model: Annotated[str | None, Parameter(help="Draw with this model instead of the table's.")] = None
    scale: Annotated[float, Parameter(help="Share of all samples that are drawn and trained on.")] = 1.0
    seeds: Annotated[str, Parameter(help="Seeds of the trainings, with commas between.")] = "0,1,2"
    rows: Annotated[tuple[str, ...], Parameter(help="Only these rows; repeat for several.", negative=(), show_default="all")] = ()
    backbone: Annotated[str | None, Parameter(help="The segmenter's backbone, instead of the table's.")] = None
    epochs: Annotated[
        float | None,
        Parameter(help="Epochs of every row's training, instead of the table's; fine-tuning keeps what the table says in then_settings."),
    ] = None
    device: Annotated[str | None, Parameter(help="cuda, mps or cpu; the best there is by default.")] = None
    dry_run: Annotated[
        bool, Parameter(help="Say what would be drawn and trained if nothing were there yet, and its cost.", negative=(), show_default="no")
    ] = False
    tflops: Annotated[
        float | None,
        Parameter(help="For --dry-run: what the device sustains, in 10^12 operations per second.", show_default="measured here"),
    ] = None
    reuse: Annotated[
        tuple[Path, ...],
        Parameter(
            help="Folder with results.json of earlier tables, for rows and seeds of which nothing has changed; repeat for several.",
            negative=(),
            show_default=False,
        ),
    ] = ()
    quiet: Annotated[bool, Parameter(help="No progress.", negative=(), show_default="no")] = False
