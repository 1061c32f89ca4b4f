"""`seediff evaluate …`: compare predictions with labels. evaluate/ computes tables and sentences, which its page and
files have, too. `semantic` is `seediff evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from ..config.sets import NO, Comparison, SegmentComparison
from ..evaluate.tables import ScoreTable, TableFormat
from ..files.messages import make_console
from ..files.outputs import check_free, check_writable, write_json
from .advice import MOST_LINES, print_lines
from .commands import EVERY_OPTION, HELP_ALL
from .options import HERE, Json
from .progress import bar_or_lines

if TYPE_CHECKING:
    from ..dataset.reading import Reading

app = App(name="evaluate", help_flags=("--help", "-h", HELP_ALL), default_parameter=EVERY_OPTION)


Form = Annotated[
    TableFormat,
    Parameter(name="--format", help="Format of the printed table; for LaTeX, CSV and Markdown, notes go to stderr."),
]
NoProgress = Annotated[bool, NO, Parameter(help="Show no progress.")]


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
    from ..evaluate.page import notes, warnings, write_report

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
