"""Reads a paper's table from a TOML file, which defines the data, the segmenters trained on them, and the tests.

    title = "…"             the table's title; further texts are `paper` ("table 2") and `note`
    metrics = ["miou"]      the figures that are shown
    reference = "…"         optional: the row by whose figures the others are divided
    [sets]                  sets to draw (`SetConfig`)
    main = "set.toml"       a set: the file beside this one that describes it
    [sets.other]            a set: `file`, and keys of SetConfig that differ; `labels` names the labellings to keep
    [data.cre]              samples to train on; a table of `Source`
    [test.held_out]         samples to measure on; a table of `HeldOut`
    [train]                 the segmenter and its training, for all rows; as `seediff train --config` takes it
    [[rows]]                a row; a table of `Row`

The files are in the folders beside this module: `embedded` for the embedded world, `full` for Stable Diffusion and real
data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, field, structs

from seediff.config.fields import Count
from seediff.config.settings import check_table, load_config
from seediff.errors import UserError
from seediff.files.reading import fit, read_toml

from .drawn import SetConfig

FOLDER = Path(__file__).parent
TRIAL = "Trial at a scale of"
"""How the title of a scaled table begins."""
Amount = Annotated[int, Meta(ge=0)]


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Samples from one of three places: a drawn set, scenes of the embedded world, or a folder.

    set, labels: the name of a set under [sets], and one of its labellings. scenes: a set of recipes/mini/world.py.
    folder, split: a name for `--data NAME=FOLDER`, and a split of that data. skip, count: the `count` samples after the
    first `skip`. only, without: of these, the samples that show no classes but these, or none of these. seed: of
    rendered scenes and of the augmentation; a drawn set is drawn again with it, which gives other images of the same
    kind. augment: a preset of `seediff augment`, or what its
    `--add` takes, separated by commas.
    """

    set: str | None = None
    labels: str | None = None
    scenes: str | None = None
    folder: str | None = None
    split: str | None = None
    count: Count | None = None
    skip: Amount = 0
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    seed: int | None = None
    augment: str | None = None

    def scaled(self, factor: float) -> Source:
        """The source with `count` multiplied by `factor`, but at least 2."""
        return self if self.count is None else structs.replace(self, count=max(2, round(self.count * factor)))


class HeldOut(Source, frozen=True, forbid_unknown_fields=True):
    """Samples to measure on, and the protocol of `seediff evaluate` that is used. share: of the samples, the first that
    are measured.
    """

    protocol: str = "own"
    share: Annotated[float, Meta(gt=0, le=1)] = 1.0

    def scaled(self, factor: float) -> HeldOut:
        """The test with only this share of its samples."""
        return structs.replace(self, share=factor)


class Row(Struct, frozen=True, forbid_unknown_fields=True):
    """A row of a table. train: names of the data to train on, mixed. then: names of the data for fine-tuning
    afterwards. tests: names of the tests; all by default. settings: override [train]. then_settings: override both in
    fine-tuning. paper: the paper's figures in percent, by METRIC or TEST.METRIC. reference: another row than the
    table's `reference`."""

    name: Annotated[str, Meta(min_length=1)]
    train: Annotated[tuple[str, ...], Meta(min_length=1)]
    then: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    settings: dict[str, Any] = {}
    then_settings: dict[str, Any] = {}
    paper: dict[str, int | float] = {}
    reference: str = ""


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A table as its file defines it. name: of the file. sets: name → what is drawn. metrics: figures shown. classes:
    test → classes that are columns of a second table."""

    title: str
    rows: Annotated[tuple[Row, ...], Meta(min_length=1)]
    data: dict[str, Source]
    tests: dict[str, HeldOut] = field(name="test")
    sets: dict[str, Any] = {}
    train: dict[str, Any] = {}
    metrics: tuple[str, ...] = ("miou",)
    classes: dict[str, tuple[str, ...]] = {}
    paper: str = ""
    note: str = ""
    reference: str = ""
    name: str = ""

    def scaled(self, factor: float) -> Table:
        """The table with the numbers of samples to draw, to train on and to measure multiplied by `factor`; its title
        says so."""
        tests = {name: test.scaled(factor) for name, test in self.tests.items()}
        data = {name: source.scaled(factor) for name, source in self.data.items()}
        needed = {
            name: max((s.skip + (s.count or 0) for s in data.values() if s.set == name), default=0)
            for name in self.sets
        }
        sets = {
            name: replace(one, images=max(2, round(one.images * factor), needed[name]))
            for name, one in self.sets.items()
        }
        return structs.replace(self, title=f"{TRIAL} {factor:g}: {self.title}", data=data, tests=tests, sets=sets)

    def only_rows(self, names: tuple[str, ...]) -> Table:
        """The table with only these rows. Raises UserError for an unknown row."""
        known = [row.name for row in self.rows]
        for name in names:
            if name not in known:
                raise UserError("rows", f"there is no '{name}'", f"there are: {', '.join(known)}")
        return structs.replace(self, rows=tuple(row for row in self.rows if row.name in names))


def used_data(rows: Sequence[Row]) -> list[str]:
    """The names of the data that rows train on, each once."""
    return list(dict.fromkeys(name for row in rows for name in (*row.train, *row.then)))


def packaged(table: str, world: str) -> Path:
    """The file of a table in a world, `embedded` or `full`."""
    return FOLDER / world / f"{table}.toml"


def tables_in(folder: Path) -> list[str]:
    """The names of the tables in a folder, which also holds sets."""
    return sorted(path.stem for path in folder.glob("*.toml") if "rows" in read_toml(path))


def read_table(path: Path) -> Table:
    """Read a table from its file. Raises UserError for a file with unknown keys or values of other types; a name that
    is defined nowhere is found when it is used."""
    table = fit(read_toml(path), Table, str(path))
    sets = {name: _set(given, path, f"{path} [sets.{name}]") for name, given in table.sets.items()}
    rows = tuple(structs.replace(row, tests=row.tests or tuple(table.tests)) for row in table.rows)
    return structs.replace(table, name=path.stem, sets=sets, rows=rows)


def _set(given: str | dict[str, Any], path: Path, where: str) -> SetConfig:
    """The configuration in a set's file, with the changes in `given` if it is a table."""
    changes: dict[str, Any] = {"file": given} if isinstance(given, str) else dict(given)
    config = load_config(path.parent / changes.pop("file"), SetConfig)
    if "labels" in changes:
        changes["labels"] = {name: config.labels[name] for name in changes["labels"]}
    return replace(config, **check_table(SetConfig, changes, where))
