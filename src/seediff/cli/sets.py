"""`seediff merge` and `seediff split`: join datasets, and divide a dataset into parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from ..config.fields import RUN, WORD
from ..errors import UserError
from ..files.messages import plural
from .formats import follow_progress, say_notes, say_reviewed
from .options import HERE, Data, Link, NewOut, Quiet, option

PARTS = Group("Parts", sort_key=2)


def merge(
    data: Annotated[list[Path], Parameter(help="Folders of finished datasets.", negative=())],
    *,
    out: NewOut,
    link: Link = False,
    quiet: Quiet = False,
) -> None:
    """Merge several datasets into one. Classes are matched by name; `origin` in each row names the sample's source.

    For example: `seediff merge pets zoo --out animals`
    """
    from ..dataset.dataset import Dataset
    from ..dataset.merge import set_names
    from ..files.output_folders import check_apart, check_free

    check_apart(out, data)
    check_free(out)
    if len({folder.resolve() for folder in data}) < len(data):
        raise UserError("merge: a folder is given twice, which would duplicate its samples")
    first, *others = [Dataset.from_native(folder) for folder in data]
    merged = first.merge(*others)
    about = {"command": "merge", "datasets": set_names(data)}
    merged.save(out, about=about, link=link, follow=follow_progress(quiet))
    if not quiet:
        print(f"{plural(len(merged), 'sample')} of {plural(len(merged.classes), 'class')} in {out}")
        say_reviewed(merged)
        say_notes(merged.notes)


def split(
    data: Data,
    *,
    val: Annotated[float, option(PARTS, "Share of the samples for validation.", 0.2)] = 0.2,
    test: Annotated[float | None, option(PARTS, "Share of the samples for testing.", "none")] = None,
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
    """Divide a dataset for training, validation and testing. Every part gets the same share of every class. Equal
    pictures, and augmented ones and their source, stay together.

    For example:

    - `seediff split pets --val 0.2 --test 0.1 --out parts`

    - `seediff split pets --val 0.2 --in-place`
    """
    from ..dataset.dataset import Dataset
    from ..dataset.split import set_splits
    from ..files.output_folders import check_apart, check_free, stage_output

    if (out is None) != in_place:
        raise UserError("split: give either --out FOLDER (one dataset per part) or --in-place (`split` in the rows)")
    if out is not None:
        check_apart(out, [data])
        check_free(out)
    dataset = Dataset.from_native(data)
    shares = {"val": val} if test is None else {"val": val, "test": test}
    follow = follow_progress(quiet)
    parts = dict(zip(("train", *shares), dataset.split(**shares, seed=seed, follow=follow), strict=True))
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
        say_reviewed(dataset)
