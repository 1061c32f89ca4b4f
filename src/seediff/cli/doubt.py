"""`seediff doubt`: a second opinion on the labels of a dataset, from the dataset itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group

from ..config.fields import RUN, Whole
from ..config.sets import DOUBT_FOLDS, DOUBT_STEPS
from ..config.train import make_config
from ..files.messages import plural
from ..files.outputs import check_writable, write_json
from .advice import command_line, next_steps, say_notes
from .options import AT_LEAST_1, Data, Json, Quiet, option
from .progress import bar_or_lines, report_on_interrupt

if TYPE_CHECKING:
    from ..rows.row import Row

TRAINING = Group("Training", sort_key=2)
FEW = 150
"""Below this number of samples, the order gained nothing where it was measured."""
WORST = 5
"""One in so many samples is the part that the measured sentence is about."""


def doubt(
    data: Data,
    *,
    steps: Annotated[
        Whole, AT_LEAST_1, option(TRAINING, "Number of steps of each training.", DOUBT_STEPS)
    ] = DOUBT_STEPS,
    folds: Annotated[
        Whole, option(TRAINING, "Number of parts; each is predicted by the others.", DOUBT_FOLDS)
    ] = DOUBT_FOLDS,
    backbone: Annotated[str, option(TRAINING, "Backbone, as for `train`; tiny is for a CPU.", "tiny")] = "tiny",
    weights: Annotated[str, option(TRAINING, "Initial weights, as for `train`.", "pretrained")] = "pretrained",
    seed: Annotated[Whole, option(TRAINING, "Random seed of the parts and of the trainings.", 0)] = 0,
    device: Annotated[str | None, option(RUN, "Device: cuda, mps or cpu.", "the fastest available")] = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Find the samples whose labels the other samples of a dataset speak against.

    A small segmenter learns from each half of the dataset and predicts the other half. How well it agrees with the
    labels, at their worst place, is written into the rows as `support`, which `look`, `filter --worst` and `check`
    follow. Run the same command to continue a stopped run.

    For example:

    - `seediff doubt pets`

    - `seediff doubt pets --steps 300`
    """
    from ..rows.doubt import doubt as order
    from ..train.cross_fit import write_support

    check_writable(json, is_file=True)
    given = {"backbone": backbone, "weights": weights, "seed": seed, "device": device}
    config = make_config({name: value for name, value in given.items() if value is not None})
    taken = [0, 0]
    with (
        report_on_interrupt(lambda: f"{taken[0]} of {taken[1] or 'all'} steps taken"),
        bar_or_lines(quiet, "steps", told=True) as show,
    ):

        def report(done: int, total: int, current: str) -> None:
            taken[:] = [done, total]
            show(done, total, current)

        rows = write_support(data, config, steps=steps, folds=folds, report=report)
    if json is not None:
        values = zip(rows, order(rows).tolist(), strict=True)
        found = [{"sample": row.sample, "doubt": round(one, 4), "support": row.support} for row, one in values]
        write_json({"samples": sorted(found, key=lambda one: -one["doubt"])}, json)
    if quiet:
        return
    say_doubtful(data, rows)
    worst = command_line("filter", data, "--worst", len(rows) // WORST or 1, "--out", f"{data}-doubtful")
    print(next_steps(command_line("look", data, about="the most doubtful first"), worst))


def say_doubtful(data: Path, rows: Sequence[Row], changed: int = 0) -> None:
    """Print the ten most doubtful samples that nobody has judged, and how far to look. changed: the number of masks
    that `doubt` has not seen."""
    from ..rows.doubt import most_doubtful

    found = most_doubtful(rows)
    if not found:
        return
    print("Most doubtful (class to look at):")
    for position, name in found:
        print(f"  {rows[position].sample}    {name}")
    if not any(row.support for row in rows):
        print(f"A second opinion, from the other samples: {command_line('doubt', data)}")
    elif len(rows) < FEW:
        say_notes([f"below about {FEW} samples, this order found no more wrong labels than confidence or chance"])
    else:
        part = f"the first {len(rows) // WORST} of {len(rows)} hold about four in five of the wrong ones"
        print(f"Measured where labels were known to be wrong: {part}")
    if changed:
        say_notes([f"{plural(changed, 'mask')} changed or came after `doubt`: run it again for a new order"])
