"""`seediff evaluate …`: how good predictions are, against labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ..errors import UserError
from .options import HERE, SEED, numbers

app = App(name="evaluate", help="Measure predictions against labels.")


@Parameter(name="*")
@dataclass(frozen=True)
class Comparison:
    """Options of `evaluate.evaluation.evaluate`; lists as texts with commas."""

    protocol: Annotated[
        Literal["own", "voc", "voc-zero-shot", "voc-zero-shot-objects", "cityscapes-human-vehicle", "ade20k", "domain", "camvid"],
        Parameter(help="What counts: the data's own classes, or those of a published comparison."),
    ] = "own"
    split: Annotated[str | None, Parameter(help="Part of the data.", show_default="val of public data, test of CamVid, else all")] = None
    class_map: Annotated[
        Path | None, Parameter(help="TOML or CSV file: the model's name of a class, and the data's.", show_default=False)
    ] = None
    classes: Annotated[
        str | None, Parameter(help="Names of PRED's ids from 1 on, or a file of them.", show_default="its classes.txt, else the data's ids")
    ] = None
    scales: Annotated[str, Parameter(help="MODEL sees each image at these sizes, as in 0.5,1,2, and the mean decides.")] = "1"
    flip: Annotated[bool, Parameter(help="MODEL sees each image mirrored too.", negative=(), show_default="no")] = False
    boundary: Annotated[bool, Parameter(help="Boundary IoU too.", negative="--no-boundary", show_default="yes")] = True
    device: Annotated[str | None, Parameter(help="Where MODEL runs: cuda, mps or cpu.", show_default="the best there is")] = None
    draws: Annotated[int, Parameter(help="Draws of the bootstrap over images, for the intervals.")] = 1000
    seed: Annotated[int, SEED, Parameter(help="Seed of the bootstrap.")] = 0


@app.default
def semantic(
    predictions: Annotated[
        Path, Parameter(name="MODEL|PRED", help="Folder that `seediff train` wrote, or one of PNG label maps named like the images.")
    ],
    /,
    *,
    data: Annotated[Path, Parameter(help="Labelled data: VOC, Cityscapes, ADE20K, CamVid or any dataset that `seediff` reads.")],
    how: Comparison | None = None,
    json: Annotated[Path | None, HERE, Parameter(help="Also write the scores here.")] = None,
    out: Annotated[
        Path | None, HERE, Parameter(help="Folder for the scores, each image's, and a picture of the worst images.", show_default=False)
    ] = None,
    quiet: Annotated[bool, Parameter(help="No progress.", negative=(), show_default="no")] = False,
) -> None:
    """Compare label maps with classes, or a segmenter's, with truths: mIoU, IoU of each class, pixel accuracy and boundary IoU.

    `seediff evaluate segments` is for segments without classes. For example:

    - `seediff evaluate runs/zoo --data VOCdevkit/VOC2012 --protocol voc --json voc.json`

    - `seediff evaluate predictions --data cityscapes --protocol cityscapes-human-vehicle --class-map map.toml`
    """
    from ..config.names import parse_classes
    from ..evaluate.evaluation import evaluate, notes, score_table, write_report
    from ..evaluate.semantic import write_json
    from ..files.messages import make_console
    from ..files.output_folders import check_writable
    from .progress import bar_or_lines

    how = how or Comparison()
    names = None if how.classes is None else parse_classes(how.classes)
    options = {**vars(how), "classes": names, "scales": _parse_scales(how.scales)}
    check_writable(out, json)
    with bar_or_lines(quiet) as progress:
        evaluation = evaluate(predictions, data, progress=progress, **options)
    if json is not None:
        write_json(evaluation.to_json(), json)  # first: whoever reads the table may have had enough of it
    if out is not None:
        write_report(evaluation, out)
    console = make_console()
    console.print(score_table(evaluation.scores))
    for line in notes(evaluation):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for name, place in (("JSON", json), ("Report", out)):
        if place is not None:
            console.print(f"{name}: {place}", highlight=False, markup=False, soft_wrap=True)


def _parse_scales(text: str) -> tuple[float, ...]:
    scales = numbers(text, "--scales", float)
    if not all(0 < scale <= 8 for scale in scales):
        raise UserError(f"--scales {text}: must be numbers above 0 and up to 8 with commas between, such as 0.5,1,2")
    return scales


@Parameter(name="*")
@dataclass(frozen=True)
class SegmentComparison:
    """Options of `evaluate.segments.evaluate_segments`; lists as texts with commas."""

    protocol: Annotated[
        Literal["diffseg", "dataset", "strict"],
        Parameter(help="Matching per image as in DiffSeg, one for the whole set, or per image with segments left over as false positives."),
    ] = "diffseg"
    layout: Annotated[
        Literal["auto", "folder", "voc", "coco-stuff", "cityscapes", "camvid"],
        Parameter(name="--labels-format", help="How the labels are laid out."),
    ] = "auto"
    num_classes: Annotated[int | None, Parameter(help="Classes of a plain folder.", show_default="as classes.txt there lists, or 27")] = (
        None
    )
    split: Annotated[str | None, Parameter(help="Part of a data set that has several.", show_default="val; test of CamVid")] = None
    void: Annotated[str | None, Parameter(help="Ids of a plain folder that are no label, as in 0,11.", show_default="255 alone")] = None
    names: Annotated[
        Path | None, Parameter(name="--list", help="Text file of the labels to evaluate, one name per line.", show_default="all of them")
    ] = None
    center_crop: Annotated[bool, Parameter(help="Evaluate the centre square of each image only.", negative=(), show_default="no")] = False
    size: Annotated[
        int | None, Parameter(help="Evaluate the centre square at this side: 512 or 320 in the papers.", show_default="its own")
    ] = None
    resize_predictions: Annotated[
        bool, Parameter(help="Scale predictions (nearest) that differ in size from their label.", negative=(), show_default="no")
    ] = False
    missing: Annotated[
        Literal["error", "wrong", "skip"], Parameter(help="Labels without prediction: stop, count as wrong, or leave out.")
    ] = "error"
    floors: Annotated[
        bool,
        Parameter(
            help="Also the scores of divisions that never look at the picture, and how far above them the segments are.",
            negative=(),
            show_default="no",
        ),
    ] = False
    draws: Annotated[int, Parameter(help="Draws of the bootstrap over images, for the intervals.")] = 2000
    seed: Annotated[int, SEED, Parameter(help="Seed of the bootstrap.")] = 0


@app.command
def segments(
    predictions: Annotated[Path, Parameter(help="Folder that `seediff segment` wrote, or PNG label maps named like the labels.")],
    *,
    labels: Annotated[Path, Parameter(help="Folder of labels: a data set's own, or PNG label maps.")],
    how: SegmentComparison | None = None,
    json: Annotated[Path | None, HERE, Parameter(help="Also write the scores here.")] = None,
    quiet: Annotated[bool, Parameter(help="No progress.", negative=(), show_default="no")] = False,
) -> None:
    """Compare segments without names with labels: each segment is matched with a class, then ACC and mIoU are counted.

    For example:

    - `seediff evaluate segments segments --labels VOCdevkit/VOC2012 --size 512`

    - `seediff evaluate segments segments --labels labels --floors`

    - `seediff evaluate segments segments --labels cocostuff/dataset --list Coco164kFull_Stuff_Coarse_7.txt --size 512 --json coco.json`
    """
    from ..evaluate.segments import evaluate_segments, floor_table, notes, score_table, to_json
    from ..evaluate.semantic import write_json
    from ..files.messages import make_console
    from ..files.output_folders import check_writable
    from .progress import bar_or_lines

    how = how or SegmentComparison()
    void = numbers(how.void, "--void", int) if how.void is not None else ()
    check_writable(None, json)
    with bar_or_lines(quiet) as progress:
        scores = evaluate_segments(predictions, labels, progress=progress, **{**vars(how), "void": void})
    console = make_console()
    if json is not None:
        write_json(to_json(scores), json)  # first: whoever reads the table may have had enough of it
    console.print(score_table(scores))
    if how.floors:
        console.print(floor_table(scores))
    for line in notes(scores):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if json is not None:
        console.print(f"JSON: {json}", highlight=False, markup=False, soft_wrap=True)
