"""`seediff check`, `seediff stats` and `seediff filter`: find a dataset's faults, summarise its contents, select its
better samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.filter import Criteria
from ..errors import UserError
from ..files.messages import plural
from .formats import follow_progress, say_reviewed
from .help import show_default
from .line import UNTYPED, Typed
from .options import Data, Json, Link, NewOut, Quiet

if TYPE_CHECKING:
    from ..dataset.quality.check import Checked
    from ..dataset.quality.stats import Stats

DECIDED_BY = {
    "reviewed": ("reviewed",),
    "flags": ("drop_flags",),
    "area": ("min_area", "max_area"),
    "components": ("max_components", "min_piece"),
    "confidence": ("min_confidence",),
    "agreement": ("min_agreement",),
    "best": ("best",),
}
"""Reason for dropping a sample → the fields of Criteria that cause it."""


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
    from ..dataset.quality.check import check_dataset
    from ..files.output_folders import check_writable
    from .summary import findings_table

    check_writable(None, json)
    checked = check_dataset(data, follow_progress(quiet))
    if not quiet:
        if checked.findings:
            show(findings_table(checked))
        if checked.stats:
            show_stats(checked.stats)
    write_json(json, checked.as_json(), quiet)
    if checked.errors:
        raise UserError(f"{data}: {describe_errors(data, checked)}")
    if not quiet:
        print(f"{data}: no errors, {plural(len(checked.findings), 'warning')}")


def stats(
    data: Data,
    *,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Count each class's images, pixels, areas, pieces and flags in a dataset.

    For example: `seediff stats pets --json stats.json`
    """
    from ..dataset.dataset import Dataset
    from ..files.output_folders import check_writable

    check_writable(None, json)
    counted = Dataset.from_native(data).stats(follow_progress(quiet))
    if not quiet:
        show_stats(counted)
    write_json(json, counted.as_json(), quiet)


def filter_(
    data: Data,
    *,
    out: NewOut,
    line: Typed[Criteria] = UNTYPED,
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
    from ..dataset.native import check_finished
    from ..dataset.quality.select import select_samples
    from ..files.output_folders import check_apart, check_free
    from .summary import counts

    check_apart(out, [data])
    check_free(out)
    check_finished(data)
    criteria = Criteria(**line.values)
    dataset = Dataset.from_native(data)
    selected = select_samples(dataset.classes, dataset, criteria, where=data, follow=follow_progress(quiet))
    if not selected.samples:
        raise UserError(
            f"{data}: no sample meets the criteria: {count_dropped(criteria, selected.dropped)}; nothing was written"
        )
    about = {"command": "filter", **describe_criteria(criteria), "dropped": sum(selected.dropped.values())}
    Dataset(dataset.classes, selected.samples).save(out, about=about, link=link, follow=follow_progress(quiet))
    if not quiet:
        print(f"{plural(len(selected.samples), 'sample')} in {out}; dropped: {counts(selected.dropped) or 'none'}")
        say_reviewed(selected.samples)


def describe_criteria(criteria: Criteria) -> dict[str, Any]:
    """The criteria that differ from their defaults, for the dataset card."""
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(criteria).items()}
    return {f.name: values[f.name] for f in fields(criteria) if getattr(criteria, f.name) != f.default}


def count_dropped(criteria: Criteria, dropped: Mapping[str, int]) -> str:
    """How many samples each option dropped: `--reviewed accepted leaves out 40 of 40`."""
    if not dropped:
        return "the dataset has none"
    chosen, texts = describe_criteria(criteria), []
    for reason, count in dropped.items():
        names = [name for name in DECIDED_BY[reason] if name in chosen]
        options = " ".join(f"--{name.replace('_', '-')} {show_default(getattr(criteria, name))}" for name in names)
        verb = "leave" if len(names) > 1 else "leaves"
        texts.append(f"{options} {verb} out {count} of {sum(dropped.values())}")
    return "; ".join(texts)


def describe_errors(data: Path, checked: Checked) -> str:
    """How many errors there are, the first, and what helps: a run only writes its own files again."""
    from ..dataset.native import CONFIG, METADATA
    from ..dataset.quality.check import DAMAGED
    from ..dataset.reviews import REVIEWED, REVIEWS
    from .summary import counts

    errors = checked.findings[: checked.errors]
    first, kinds = errors[0], Counter(finding.kind for finding in errors)
    where = "" if first.kind == "structure" else f"{first.where}: "
    text = f"{plural(checked.errors, 'error')} ({counts(kinds)}); the first: {where}{first.text}"
    if not kinds.keys() & {*DAMAGED}:
        return text
    text += "; restore what is damaged from a copy"
    by_people = any(finding.where == REVIEWS or finding.where.startswith(f"{REVIEWED}/") for finding in errors)
    if (data / CONFIG).is_file() and not by_people:
        text += f", or remove {METADATA} and run the same command again with the same --out"
    return text


def show(table: Any) -> None:
    from ..files.messages import make_console

    make_console().print(table)


def show_stats(stats: Stats) -> None:
    from .summary import stats_line, stats_table

    show(stats_table(stats))
    print(stats_line(stats))


def write_json(path: Path | None, document: dict[str, Any], quiet: bool) -> None:
    """Write the file of --json, if it was given, atomically."""
    import json

    from ..files.outputs import write_atomic

    if path is None:
        return
    write_atomic(path, (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode("utf-8"))
    if not quiet:
        print(f"JSON: {path}")
