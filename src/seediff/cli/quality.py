"""`seediff check`, `seediff stats` and `seediff filter`: find a dataset's faults, summarise its contents, select its
better samples.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..config.sets import Criteria
from ..errors import UserError
from ..files.messages import make_console, plural
from ..files.outputs import check_apart, check_writable
from .advice import (
    LOOK,
    command_line,
    export_line,
    follow_progress,
    next_steps,
    say_notes,
    say_reading,
    train_line,
)
from .options import Data, Json, Link, NewOut, Quiet
from .typed import NOTHING, Typed

if TYPE_CHECKING:
    from ..dataset.check import Checked
    from ..dataset.select import Stats


def check(
    data: Data,
    *,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Read every file of a dataset and report problems. Exit code 2 if there are errors; warnings are for you to judge.

    For example:

    - `seediff check pets`

    - `seediff check pets --json check.json`
    """
    from ..dataset.check import check_dataset
    from ..evaluate.tables import write_json
    from .summary import findings_table

    check_writable(json, is_file=True)
    checked = check_dataset(data, follow_progress(quiet))
    if not quiet:
        if checked.findings:
            make_console().print(findings_table(checked))
        if checked.stats:
            show_stats(checked.stats)
            say_reading(checked.reading)
            say_notes(checked.doubts)
    if json is not None:
        write_json(checked.as_json(), json)
    if checked.errors:
        raise UserError(f"{data}: {describe_errors(checked)}")
    if not quiet:
        print(f"{data}: no errors, {plural(len(checked.findings), 'warning')}")


def stats(
    data: Data,
    *,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Count each class's images, pixels, areas and pieces in a dataset.

    For example: `seediff stats pets --json stats.json`
    """
    from ..dataset.dataset import Dataset
    from ..evaluate.tables import write_json

    check_writable(json, is_file=True)
    counted = Dataset.open(data, "native").stats(follow_progress(quiet))
    if not quiet:
        show_stats(counted)
    if json is not None:
        write_json(counted.as_json(), json)


def filter_(
    data: Data,
    *,
    out: NewOut,
    typed: Typed[Criteria] = NOTHING,
    link: Link = False,
    quiet: Quiet = False,
) -> None:
    """Make a dataset from the samples that are worth training on.

    For example:

    - `seediff filter pets --out good --drop-flags all --max-components 3`

    - `seediff filter pets --out best --best 100 --min-agreement 0.55`

    - `seediff filter pets --out reviewed --reviewed accepted`
    """
    from ..dataset.dataset import Dataset
    from .summary import counts

    check_apart(out, [data])
    criteria, follow = Criteria(**typed), follow_progress(quiet)
    chosen = {name: value for name, value in vars(criteria).items() if value != getattr(Criteria, name)}
    kept = Dataset.open(data, "native").filter(follow=follow, **typed)
    if not kept:
        dropped = counts(kept.dropped) or "the dataset has none"
        raise UserError(f"{data}: no sample meets the criteria (dropped: {dropped}); nothing was written")
    about = {"command": "filter", **chosen, "dropped": sum(kept.dropped.values())}
    kept.save(out, about=about, link=link, follow=follow)
    if not quiet:
        print(f"{plural(len(kept), 'sample')} in {out}; dropped: {counts(kept.dropped) or 'none'}")
        say_notes(kept.notes)
        print(next_steps(command_line("look", out, about=LOOK), train_line(out), export_line(out)))


def describe_errors(checked: Checked) -> str:
    """The message about a dataset's errors: their number, the first error, and what helps."""
    from ..dataset.check import FILE_FINDINGS
    from .summary import counts

    errors = checked.findings[: checked.errors]
    first, kinds = errors[0], Counter(finding.kind for finding in errors)
    where = "" if first.kind == "structure" else f"{first.where}: "
    text = f"{plural(checked.errors, 'error')} ({counts(kinds)}); the first: {where}{first.text}"
    is_damage = kinds.keys() & {*FILE_FINDINGS} or any(finding.where.startswith("row ") for finding in errors)
    if is_damage and not first.fix:
        text += "; restore what is damaged from a copy"
    return text  # a label map that does not fit its row may be somebody's work


def show_stats(stats: Stats) -> None:
    from .summary import stats_line, stats_table

    make_console().print(stats_table(stats))
    print(stats_line(stats))
