"""Commands for finished datasets: `seediff check` and `stats` report on a set; `filter`, `augment`, `merge` and `split`
make others of it."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from ..config.class_names import side_notes
from ..config.fields import RUN, WORD
from ..config.sets import VAL_SHARE, AugmentConfig, Criteria
from ..config.settings import configure
from ..errors import UserError
from ..files.messages import make_console, plural
from ..files.outputs import check_apart, check_writable, stage_output, write_json
from ..files.reading import real
from .advice import LOOK, command_line, export_line, next_steps, say_notes, say_reading, train_line
from .doubt import say_doubtful
from .options import HERE, ConfigFile, Data, Json, Link, NewOut, Quiet, Workers, option
from .progress import follow_progress
from .typed import NOTHING, Typed

if TYPE_CHECKING:
    from ..dataset.check import Checked
    from ..dataset.select import Stats

PARTS = Group("Parts", sort_key=2)
Rename = Annotated[
    tuple[str, ...],
    option(
        RUN,
        "A class and its new name, as car=Car, in every dataset. The name of another class joins both; tree=background "
        "and tree=ignore (255) remove a class from masks and objects; no name removes a class that no mask shows. "
        "Repeat the option for several.",
        negative=(),
    ),
]


def check(data: Data, *, json: Json = None, quiet: Quiet = False) -> None:
    """Read every file of a dataset and report problems. Exit code 2 if there are errors; warnings are for you to judge.

    For example:

    - `seediff check pets`

    - `seediff check pets --json check.json`
    """
    from ..dataset.check import check_dataset
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
            say_doubtful(data, checked.rows, checked.changed)
    if json is not None:
        write_json(checked.to_json(), json)
    if checked.errors:
        raise UserError(f"{data}: {describe_errors(checked)}")
    if not quiet:
        print(f"{data}: no errors, {plural(len(checked.findings), 'warning')}")


def stats(data: Data, *, json: Json = None, quiet: Quiet = False) -> None:
    """Count each class's images, pixels, areas and pieces in a dataset.

    For example: `seediff stats pets --json stats.json`
    """
    from ..dataset.dataset import Dataset

    check_writable(json, is_file=True)
    counted = Dataset.open(data, "native").stats(follow_progress(quiet))
    if not quiet:
        show_stats(counted)
    if json is not None:
        write_json(counted.to_json(), json)


def filter_(
    data: Data,
    *,
    out: NewOut,
    typed: Typed[Criteria] = NOTHING,
    rename: Rename = (),
    link: Link = False,
    quiet: Quiet = False,
) -> None:
    """Make a dataset from the samples that are worth training on.

    For example:

    - `seediff filter pets --out good --drop-flags all --max-components 3`

    - `seediff filter pets --out best --best 100 --min-confidence 0.25`

    - `seediff filter pets --out doubtful --worst 60`

    - `seediff filter pets --out reviewed --reviewed accepted`
    """
    from ..dataset.dataset import Dataset
    from ..dataset.merge import read_renames
    from ..files.messages import show_counts

    check_apart(out, [data])
    follow = follow_progress(quiet)
    opened = Dataset.open(data, "native")
    renames = read_renames(rename, opened.classes)
    kept = opened.filter(follow=follow, **typed)
    if not kept:
        dropped = show_counts(kept.dropped) or "the dataset has none"
        raise UserError(f"{data}: no sample meets the criteria (dropped: {dropped}); nothing was written")
    about = {"command": "filter", **typed, "dropped": sum(kept.dropped.values()), **_renamed(rename)}
    saved = kept.renamed(renames) if renames else kept
    saved.save(out, about=about, link=link, follow=follow)
    if not quiet:
        print(f"{plural(len(kept), 'sample')} in {out}; dropped: {show_counts(kept.dropped) or 'none'}")
        say_notes(kept.notes)
        print(next_steps(command_line("look", out, about=LOOK), train_line(out), export_line(out)))


def _renamed(rename: tuple[str, ...]) -> dict[str, list[str]]:
    """The fact for a dataset's card about classes that got other names, if any did."""
    return {"renamed": list(rename)} if rename else {}


def describe_errors(checked: Checked) -> str:
    """The message about a dataset's errors: their number, the first error, and what helps."""
    from ..dataset.check import FILE_FINDINGS
    from ..files.messages import show_counts

    errors = checked.findings[: checked.errors]
    first = errors[0]
    kinds = Counter(finding.kind for finding in errors)
    where = "" if first.kind == "structure" else f"{first.where}: "
    text = f"{plural(checked.errors, 'error')} ({show_counts(kinds)}); the first: {where}{first.text}"
    is_damage = kinds.keys() & {*FILE_FINDINGS} or any(finding.where.startswith("row ") for finding in errors)
    if is_damage and not first.fix:
        text += "; restore what is damaged from a copy"
    return text  # a label map that does not fit its row may be somebody's work


def show_stats(stats: Stats) -> None:
    from .summary import stats_line, stats_table

    make_console().print(stats_table(stats))
    print(stats_line(stats))


def augment(
    data: Data,
    *,
    out: NewOut,
    typed: Typed[AugmentConfig] = NOTHING,
    link: Link = False,
    workers: Workers = 1,
    config_file: ConfigFile = None,
    quiet: Quiet = False,
) -> None:
    """Add changed copies of a dataset's samples: spliced, noisy, tilted, occluded, mirrored.

    Masks change with their images and are never interpolated. soft/ and attention/ are not copied.

    For example:

    - `seediff augment pets --out more-pets`

    - `seediff augment pets --add flip:100%,splice-2x2:25% --add noise:500 --workers 4 --out more-pets`

    - `seediff augment pets --add diffumask,flip:10% --no-keep-originals --out new-pets`
    """
    from ..dataset.augmented import open_augmented, write_augmented

    config = configure(AugmentConfig, typed, config_file)
    check_apart(out, [data])
    augmented = open_augmented(config, data)
    write_augmented(augmented, out, link=link, workers=workers, follow=follow_progress(quiet))
    if quiet:
        return
    print(f"{plural(len(augmented.originals), 'original')} and {plural(len(augmented.new), 'new sample')} in {out}")
    if "flip" in augmented.added():
        say_notes(side_notes(augmented.classes))
    print(next_steps(train_line(out), made=out))


def merge(
    data: Annotated[list[Path], Parameter(help="Folders of finished datasets.", negative=())],
    *,
    out: NewOut,
    rename: Rename = (),
    ignore_background: Annotated[
        bool,
        option(RUN, "In a dataset that lacks classes of others, ignore the background: it may show them.", negative=()),
    ] = False,
    link: Link = False,
    quiet: Quiet = False,
) -> None:
    """Merge several datasets into one. Classes are matched by name; `origin` in each row names the sample's source.

    For example:

    - `seediff merge pets zoo --out animals`

    - `seediff merge pets --rename Dog=dog --rename tree=background --out renamed`
    """
    from ..dataset.dataset import Dataset
    from ..dataset.merge import read_renames, set_names

    check_apart(out, data)
    if len({*map(real, data)}) < len(data):
        raise UserError("merge: a folder is given twice, which would duplicate its samples")
    about = {"command": "merge", "datasets": set_names(data), **_renamed(rename)}
    opened = [Dataset.open(folder, "native") for folder in data]
    renames = read_renames(rename, list(chain(*(one.classes for one in opened))))
    if renames:
        opened = [one.renamed({old: renames[old] for old in renames if old in one.classes}) for one in opened]
    first, *others = opened
    merged = first.merge(*others, ignore_background=ignore_background)
    merged.save(out, about=about, link=link, follow=follow_progress(quiet))
    if not quiet:
        print(f"{plural(len(merged), 'sample')} of {plural(len(merged.classes), 'class')} in {out}")
        say_notes(merged.notes)
        print(next_steps(command_line("check", out), train_line(out), export_line(out)))


def split(
    data: Data,
    *,
    val: Annotated[float, option(PARTS, "Share of the samples for validation.", VAL_SHARE)] = VAL_SHARE,
    test: Annotated[float | None, option(PARTS, "Share of the samples for testing.", "none")] = None,
    by: Annotated[
        str | None,
        option(
            PARTS,
            "What stays in one part, such as frames of a recording: `folder`, samples of one folder; a pattern such as "
            "'clip_[0-9]+', samples in whose names it finds the same.",
            "copies alone",
        ),
    ] = None,
    seed: Annotated[int, WORD, option(PARTS, "Random seed; a different seed gives different parts.", 0)] = 0,
    out: Annotated[
        Path | None, HERE, option(RUN, "New folder with one dataset per part: OUT/train, OUT/val, OUT/test.")
    ] = None,
    in_place: Annotated[
        bool,
        option(
            RUN,
            "Instead of --out: write `split` into the dataset's rows, which `export` and `train` follow.",
            negative=(),
        ),
    ] = False,
    link: Link = False,
    quiet: Quiet = False,
) -> None:
    """Divide a dataset for training, validation and testing. Every part gets the same share of every class. Copies of
    an image stay together, also if they were saved again, resized, made brighter or darker or mirrored, and so do
    images that `augment` or Roboflow made of it.

    For example:

    - `seediff split pets --val 0.2 --test 0.1 --out parts`

    - `seediff split pets --val 0.2 --in-place`

    - `seediff split drives --by folder --out parts`
    """
    from ..dataset.dataset import Dataset
    from ..dataset.split import set_splits

    if (out is None) != in_place:
        raise UserError("split: give either --out FOLDER (one dataset per part) or --in-place (`split` in the rows)")
    if out is not None:
        check_apart(out, [data])
    follow = follow_progress(quiet)
    shares = {"val": val}
    if test is not None:
        shares["test"] = test
    dataset = Dataset.open(data, "native")
    parts = dict(zip(("train", *shares), dataset.split(**shares, by=by, seed=seed, follow=follow), strict=True))
    if out is None:
        part_of: dict[str, str] = {}
        for name, part in parts.items():
            part_of |= dict.fromkeys((sample.name for sample in part), name)
        set_splits(data, part_of)
    else:
        with stage_output(out) as folder:
            for name, part in parts.items():
                about = {"command": "split", **shares, "seed": seed, "part": name}
                part.save(folder / name, about=about, link=link, follow=follow)
    if not quiet:
        counts = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
        print(f"{counts} of {plural(len(dataset), 'sample')}: {out or data}")
        say_notes(parts["train"].notes)
        steps = [train_line(data), export_line(data)]
        if out is not None:
            steps = [command_line("train", out / "train", "--val", out / "val", "--out", "segmenter")]
        print(next_steps(*steps))
