"""`seediff evaluate …`: compare predictions with labels. evaluate/ computes tables and sentences, which its page and
files have, too. `semantic` is `seediff evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from ..config.class_names import parse_classes
from ..config.fields import WORD, WholeNumber, read_names
from ..evaluate.tables import ScoreTable, TableFormat
from ..files.messages import make_console
from ..files.outputs import check_free, check_writable, write_json
from .advice import MOST_LINES, print_lines
from .commands import EVERY_OPTION, HELP_ALL
from .options import HERE, AnySeed, Json, Whole, shown
from .progress import bar_or_lines

if TYPE_CHECKING:
    from ..dataset.reading import Reading

app = App(name="evaluate", help_flags=("--help", "-h", HELP_ALL), default_parameter=EVERY_OPTION)


NO = Parameter(negative=(), show_default="no")
Form = Annotated[
    TableFormat,
    Parameter(name="--format", help="Format of the printed table; for LaTeX, CSV and Markdown, notes go to stderr."),
]
NoProgress = Annotated[bool, NO, Parameter(help="Show no progress.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Comparison:
    """The options of `evaluate.evaluation.evaluate`."""

    protocol: Literal[
        "own", "voc", "voc-zero-shot", "voc-zero-shot-objects", "cityscapes-human-vehicle", "ade20k", "domain", "camvid"
    ] = "own"
    """Classes to evaluate: the data's own, or those of a published comparison."""
    split: Annotated[str | None, shown("val for public data, test for CamVid, else all")] = None
    """Part of the data to evaluate."""
    against: Annotated[tuple[Path, ...], Parameter(name="--against", negative=()), shown(False)] = ()
    """Other predictions of the same data: print both scores, and their paired difference with its interval. Repeat the
    option for several."""
    class_map: Annotated[Path | None, shown(False)] = None
    """TOML file that maps the model's class names to the data's."""
    classes: Annotated[
        tuple[str, ...] | None, read_names(parse_classes), shown("its classes.txt, else the data's ids")
    ] = None
    """Class names for the ids in PRED, from 1 up, or a file of names."""
    scales: Annotated[tuple[float, ...], WORD] = (1.0,)
    """Relative sizes at which MODEL sees each image, for example 0.5,1,2; scores are averaged."""
    flip: Annotated[bool, NO] = False
    """MODEL also sees each image mirrored; scores are averaged."""
    boundary: Annotated[bool, Parameter(negative="--no-boundary", show_default="yes")] = True
    """Also compute boundary IoU."""
    device: Annotated[str | None, shown("the fastest available")] = None
    """Device for MODEL: cuda, mps or cpu."""
    draws: Whole = 1000
    """Number of bootstrap draws over images, for the intervals."""
    seed: AnySeed = 0
    """Random seed for the bootstrap."""
    with_rejected: Annotated[bool, NO] = False
    """Also compare with samples that were rejected in `seediff look`."""
    corrected: Annotated[bool, NO] = False
    """Evaluate the masks of a reviewed dataset as people corrected them, not as they were made."""


USUAL_COMPARISON = Comparison()


@app.default
def semantic(
    predictions: Annotated[
        Path,
        Parameter(
            name="MODEL|PRED",
            help="Folder that `seediff train` wrote, a dataset, or a folder of PNG label maps named like the images.",
        ),
    ],
    /,
    *,
    data: Annotated[
        Path,
        Parameter(help="Folder of labelled data: VOC, Cityscapes, ADE20K, CamVid or any dataset that `seediff` reads."),
    ],
    options: Comparison = USUAL_COMPARISON,
    form: Form = "text",
    json: Json = None,
    out: Annotated[
        Path | None,
        HERE,
        Parameter(
            help="Folder for all scores, each image's mean IoU, and a page that shows the worst images.",
            show_default=False,
        ),
    ] = None,
    quiet: NoProgress = False,
) -> None:
    """Compare label maps, or a segmenter's predictions, with true label maps: mIoU, each class's IoU, pixel accuracy
    and boundary IoU.

    `seediff evaluate segments` is for segments without classes. For example:

    - `seediff evaluate runs/zoo --data VOCdevkit/VOC2012 --protocol voc --json voc.json`

    - `seediff evaluate predictions --data cityscapes --protocol cityscapes-human-vehicle --class-map map.toml`

    - `seediff evaluate ours --against theirs --data VOCdevkit/VOC2012 --protocol voc --format latex`
    """
    from ..evaluate.evaluation import evaluate, score_tables
    from ..evaluate.notes import notes, warnings
    from ..evaluate.page import write_report

    check_writable(out)
    check_writable(json, is_file=True)
    if out is not None:
        check_free(out)
    with bar_or_lines(quiet) as progress:
        evaluation = evaluate(predictions, data, progress=progress, **vars(options))
    if out is not None:
        write_report(evaluation, out)
    if json is not None:
        write_json(evaluation.to_json(), json)
    lines = notes(evaluation)
    loud = warnings(evaluation)
    _show(score_tables(evaluation), form, evaluation.data.reading, lines, loud, JSON=json, Report=out)


def _show(
    tables: Sequence[ScoreTable],
    form: TableFormat,
    reading: Reading,
    notes: Iterable[str],
    loud: Iterable[str] = (),
    **places: Path | None,
) -> None:
    """Print how the labels were understood, tables, notes, and the paths of the written files, which must be complete
    before, because the tables' reader may close the output. form: with "text", everything goes to stdout; with a format
    for papers, only the tables do, and the rest goes to stderr. loud: further notes, shown in yellow. places: what was
    written → its path."""
    console = make_console(stderr=form != "text")
    print_lines(console, reading.lines(MOST_LINES))
    if form == "text":
        for table in tables:
            console.print(table.rich(), "")
    else:
        print("\n".join(table.write(form) for table in tables), end="")
    print_lines(console, notes)
    print_lines(console, loud, "bold yellow")
    print_lines(console, (f"{name}: {place}" for name, place in places.items() if place is not None))


@Parameter(name="*")
@dataclass(frozen=True)
class SegmentComparison:
    """The options of `evaluate.segments.evaluate_segments`."""

    protocol: Literal["diffseg", "dataset", "strict"] = "diffseg"
    """Match segments per image (diffseg), once for the whole set (dataset), or per image with false positives
    (strict)."""
    num_classes: Annotated[Whole | None, shown("those of its classes.txt")] = None
    """Number of classes in a plain folder without classes.txt; their ids count from 0."""
    split: Annotated[str | None, shown("val; test for CamVid")] = None
    """Part of the dataset to evaluate."""
    void: Annotated[tuple[WholeNumber, ...], WORD, shown("only 255")] = ()
    """Ids in a plain folder to ignore, for example 0,11."""
    names: Annotated[Path | None, Parameter(name="--list", show_default="all of them")] = None
    """Text file with the labels to evaluate, one name per line."""
    size: Annotated[Whole | None, shown("its own")] = None
    """Evaluate the centred square, resized to this side in pixels: 512 or 320 in the papers."""
    draws: Whole = 1000
    """Number of bootstrap draws over images, for the intervals."""
    seed: AnySeed = 0
    """Random seed for the bootstrap."""


USUAL_OF_SEGMENTS = SegmentComparison()


@app.command
def segments(
    predictions: Annotated[
        Path, Parameter(help="Folder that `seediff segment` wrote, or PNG label maps named like the labels.")
    ],
    *,
    labels: Annotated[Path, Parameter(help="Folder of labels: a dataset as distributed, or PNG label maps.")],
    options: SegmentComparison = USUAL_OF_SEGMENTS,
    form: Form = "text",
    json: Json = None,
    quiet: NoProgress = False,
) -> None:
    """Compare unnamed segments with labels: match each segment with a class, then compute ACC and mIoU.

    For example:

    - `seediff evaluate segments segments --labels VOCdevkit/VOC2012 --size 512`

    - `seediff evaluate segments segments --labels cocostuff/dataset --list coarse.txt --size 512 --json coco.json`
    """
    from ..evaluate.segments import evaluate_segments, notes

    check_writable(json, is_file=True)
    with bar_or_lines(quiet) as progress:
        scores = evaluate_segments(predictions, labels, progress=progress, **vars(options))
    if json is not None:
        write_json(scores.to_json(), json)
    _show(scores.score_tables("labelled pixels"), form, scores.reading, notes(scores), JSON=json)
