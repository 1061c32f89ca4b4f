"""`seediff augment`, `merge` and `split`: add changed samples to a dataset, join datasets, divide one into parts."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from ..config.fields import RUN, WORD
from ..config.sets import AugmentConfig
from ..config.settings import build, read_given
from ..config.sides import side_notes
from ..errors import UserError
from ..files.messages import plural
from ..files.outputs import check_apart, stage_output
from ..files.reading import real
from .advice import command_line, export_line, follow_progress, next_steps, say_notes, train_line
from .options import HERE, ConfigFile, Data, Link, NewOut, Quiet, Workers, option
from .typed import NOTHING, Typed

PARTS = Group("Parts", sort_key=2)


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

    values, given = read_given(AugmentConfig, typed, config_file)
    config = build(AugmentConfig, values, given=given)
    check_apart(out, [data])
    augmented = open_augmented(config, data)
    write_augmented(augmented, out, link=link, workers=workers, follow=follow_progress(quiet))
    if quiet:
        return
    print(f"{plural(len(augmented.originals), 'original')} and {plural(len(augmented.new), 'new sample')} in {out}")
    flipped = any("flip" in kind for kind in augmented.added())
    sides = side_notes(augmented.classes, config.mirror) if flipped else ()
    say_notes(sides)
    print(next_steps(train_line(out), made=out))


def merge(
    data: Annotated[list[Path], Parameter(help="Folders of finished datasets.", negative=())],
    *,
    out: NewOut,
    rename: Annotated[
        tuple[str, ...],
        option(
            RUN,
            "A class and its new name, as car=Car, in every dataset. The name of another class joins both; no name "
            "removes a class that no mask shows. Repeat the option for several.",
            negative=(),
        ),
    ] = (),
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

    - `seediff merge pets --rename Dog=dog --out renamed`
    """
    from ..dataset.dataset import Dataset
    from ..dataset.merge import read_renames, set_names

    check_apart(out, data)
    if len({*map(real, data)}) < len(data):
        raise UserError("merge: a folder is given twice, which would duplicate its samples")
    about = {"command": "merge", "datasets": set_names(data), **({"renamed": list(rename)} if rename else {})}
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
    val: Annotated[float, option(PARTS, "Share of the samples for validation.", 0.2)] = 0.2,
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
    an image, and images that `augment` or Roboflow made of it, stay together.

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
    shares, follow = {"val": val}, follow_progress(quiet)
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
