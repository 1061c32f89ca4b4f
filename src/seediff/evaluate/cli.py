"""`seediff evaluate …`: how good predictions are, against labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

app = App(name="evaluate", help="Measure predictions against labels.")


@app.command
def segments(
    predictions: Annotated[Path, Parameter(help="Folder that `seediff segment` wrote, or PNG label maps named like the labels.")],
    *,
    labels: Annotated[Path, Parameter(help="Folder of labels: a data set's own, or PNG label maps.")],
    protocol: Annotated[
        Literal["diffseg", "dataset", "strict"],
        Parameter(help="Matching per image as in DiffSeg, one for the whole set, or per image with segments left over as false positives."),
    ] = "diffseg",
    labels_format: Annotated[
        Literal["auto", "folder", "voc", "coco-stuff", "cityscapes"], Parameter(help="How the labels are laid out.")
    ] = "auto",
    num_classes: Annotated[
        int | None, Parameter(help="Classes of a plain folder.", show_default="as classes.txt there lists, or 27")
    ] = None,
    split: Annotated[str, Parameter(help="Part of a data set that has several.")] = "val",
    names: Annotated[
        Path | None, Parameter(name="--list", help="Text file of the labels to evaluate, one name a line.", show_default="all of them")
    ] = None,
    center_crop: Annotated[bool, Parameter(help="Evaluate the centre square of each image only.", negative=())] = False,
    size: Annotated[
        int | None, Parameter(help="Evaluate the centre square at this side: 512 or 320 in the papers.", show_default="its own")
    ] = None,
    resize_predictions: Annotated[
        bool, Parameter(help="Scale predictions (nearest) that differ in size from their label.", negative=())
    ] = False,
    missing: Annotated[
        Literal["error", "wrong", "skip"], Parameter(help="Labels without prediction: stop, count as wrong, or leave out.")
    ] = "error",
    json: Annotated[Path | None, Parameter(help="Also write the scores here.")] = None,
    draws: Annotated[int, Parameter(help="Draws of the bootstrap over images, for the intervals.")] = 2000,
    seed: Annotated[int, Parameter(help="Of the bootstrap.")] = 0,
    quiet: Annotated[bool, Parameter(help="No progress.", negative=())] = False,
) -> None:
    """Compare segments without names with labels: each segment is matched with a class, then ACC and mIoU are counted.

    For example:

    - `seediff evaluate segments segments --labels VOCdevkit/VOC2012 --size 512`

    - `seediff evaluate segments segments --labels cocostuff/dataset --list Coco164kFull_Stuff_Coarse_7.txt --size 512 --json coco.json`
    """
    from rich.console import Console

    from ..outputs import make_writable
    from ..progress import no_progress, progress_bar, progress_lines
    from .segments import evaluate_segments, notes, score_table, write_json

    make_writable(None, json)
    with no_progress() if quiet else progress_bar() if sys.stderr.isatty() else progress_lines() as progress:
        scores = evaluate_segments(
            predictions,
            labels,
            protocol=protocol,
            layout=labels_format,
            num_classes=num_classes,
            split=split,
            names=names,
            center_crop=center_crop,
            size=size,
            resize_predictions=resize_predictions,
            missing=missing,
            seed=seed,
            draws=draws,
            progress=progress,
        )
    console = Console()
    if json is not None:
        write_json(scores, json)  # first: whoever reads the table may have had enough of it
    console.print(score_table(scores))
    for line in notes(scores):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if json is not None:
        console.print(f"JSON: {json}", highlight=False, markup=False, soft_wrap=True)
