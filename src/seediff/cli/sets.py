"""`seediff merge` and `seediff split`: several datasets as one, and one as several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from ..errors import UserError
from ..files.messages import counted
from .derive import option
from .formats import LINK, OUTPUT, QUIET, say_reviewed
from .options import HERE
from .quality import DATA, followed

PARTS = Group("Parts", sort_key=2)


def merge(
    data: Annotated[list[Path], Parameter(help="Folders of finished datasets.", negative=())],
    *,
    out: Annotated[Path, HERE, option(OUTPUT, "Folder to make; it appears when it is complete.")],
    link: Annotated[bool | None, option(OUTPUT, LINK.capitalize(), "no")] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Make one dataset of several. Classes are joined by their names; `origin` in the rows says where a sample is from.

    For example: `seediff merge pets zoo --out animals`
    """
    from ..dataset.merge import merge_datasets, set_names
    from ..dataset.store import write_native
    from ..files.places import check_apart, check_free

    check_apart(out, data)
    check_free(out)
    merged = merge_datasets(data)
    about = {"command": "merge", "datasets": set_names(data)}
    count = write_native(out, merged.classes, followed(quiet)(merged.items), about=about, link=bool(link))
    if not quiet:
        print(f"{counted(count, 'sample')} of {counted(len(merged.classes), 'class')} in {out}")
        say_reviewed(merged.items)
        print(*(f"note: {name}/ stays behind: not every dataset has it for these ids\n" for name in merged.left_behind), sep="", end="")


def split(
    data: Annotated[Path, DATA],
    *,
    val: Annotated[float, option(PARTS, "Share of the samples for validation.", 0.2)] = 0.2,
    test: Annotated[float | None, option(PARTS, "Share of the samples for testing.", "none")] = None,
    seed: Annotated[int, option(PARTS, "Another seed, other parts.", 0)] = 0,
    out: Annotated[Path | None, HERE, option(OUTPUT, "Folder to make, of a dataset a part: OUT/train, OUT/val, OUT/test.")] = None,
    in_place: Annotated[
        bool, option(OUTPUT, "Instead write `split` into the rows, which `export` and `train` follow.", negative=())
    ] = False,
    link: Annotated[bool | None, option(OUTPUT, LINK.capitalize(), "no")] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Set samples aside for validation and testing: the same share of every class, and pictures that look alike in one part.

    For example:

    - `seediff split pets --val 0.2 --test 0.1 --out parts`

    - `seediff split pets --val 0.2 --in-place`
    """
    from ..dataset.split import set_splits, split_samples
    from ..dataset.store import open_native, write_native
    from ..files.places import check_apart, check_free, staged

    if (out is None) != in_place:
        raise UserError("split: choose one of --out FOLDER, for a dataset a part, and --in-place, for `split` in the rows")
    if out is not None:
        check_apart(out, [data])
        check_free(out)
    classes, items = open_native(data)
    shares = {"val": val, **({"test": test} if test is not None else {})}
    found = split_samples(items, classes, shares, seed=seed, follow=followed(quiet))
    if out is None:
        set_splits(data, found)
    else:
        about = {"command": "split", **shares, "seed": seed}
        with staged(out) as folder:
            for part in ("train", *shares):
                part_items = [
                    item.replace(metadata={**item.metadata, "split": part})
                    for item, item_part in zip(items, found, strict=True)
                    if item_part == part
                ]
                write_native(folder / part, classes, followed(quiet)(part_items), about={**about, "part": part}, link=bool(link))
    if not quiet:
        parts = ", ".join(f"{part} {found.count(part)}" for part in ("train", *shares))
        print(f"{parts} of {counted(len(items), 'sample')}: {out or data}")
        say_reviewed(items)
