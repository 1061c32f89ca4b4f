"""Reads a paper's table from a TOML file, which defines the data, the segmenters trained on them, and the tests.

    title = "…"                       paper = "table 2"            metrics = ["miou"] [sets] main = "set.toml"
    sets to draw (`SetConfig`): for each, the file beside this one that describes it [sets.other]
    `file`, and keys of SetConfig that differ from it; `labels` names the labellings to keep [data.cre]
    samples to train on; a table of `Source` [test.held_out]                   samples to measure on; a table of
    `HeldOut` [train]                           the segmenter and its training, for all rows; as
    `seediff train --config` takes it reference = "exact masks"         optional: the row by whose figures the others
    are divided [[rows]]                          a row; a table of `Row`

The files are in the folders beside this module: `embedded` for the embedded world, `full` for Stable Diffusion and real
data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, field, structs

from seediff.config.augment import parse_recipe
from seediff.config.fields import Count, check_table
from seediff.config.resolve import load_config
from seediff.errors import UserError
from seediff.files.documents import fit, read_toml

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

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.set, self.scenes, self.folder)) != 1:
            raise ValueError("name one of set, scenes and folder")
        if (self.set is None) != (self.labels is None):
            raise ValueError("set and labels belong together")
        if self.augment is not None:
            parse_recipe(self.augment)
        if self.folder is not None and (self.only or self.without):
            raise ValueError(
                "only and without are for sets and scenes, which say what an image shows, not for a folder"
            )

    def scaled(self, factor: float) -> Source:
        """The source with `count` multiplied by `factor`, but at least 2."""
        return self if self.count is None else structs.replace(self, count=max(2, round(self.count * factor)))


class HeldOut(Source, frozen=True, forbid_unknown_fields=True):
    """Samples to measure on, and the protocol of `seediff evaluate` that is used. share: of the samples, the first that
    are measured.
    """

    protocol: str = "own"
    share: Annotated[float, Meta(gt=0, le=1)] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.set is not None or self.only or self.without or self.augment:
            raise ValueError("a test is of scenes or of a folder, as they are: what is drawn has no exact masks")

    def scaled(self, factor: float) -> HeldOut:
        """The test with only this share of its samples."""
        return structs.replace(self, share=factor)


class Row(Struct, frozen=True, forbid_unknown_fields=True):
    """A row of a table. train: names of the data to train on, mixed. then: names of the data for fine-tuning
    afterwards. tests: names of the tests; all by default. settings: override [train]. then_settings: override both in
    fine-tuning. paper: the paper's figures in percent, by METRIC or TEST.METRIC."""

    name: Annotated[str, Meta(min_length=1)]
    train: Annotated[tuple[str, ...], Meta(min_length=1)]
    then: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    settings: dict[str, Any] = {}
    then_settings: dict[str, Any] = {}
    paper: dict[str, int | float] = {}


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
        for name in names:
            _check_known("rows", name, [row.name for row in self.rows])
        return structs.replace(self, rows=tuple(row for row in self.rows if row.name in names))

    def folders(self) -> list[str]:
        """The names of the folders that `--data` must give."""
        used = [self.data[name] for name in used_data(self.rows)]
        used += [self.tests[name] for row in self.rows for name in row.tests]
        return sorted({source.folder for source in used if source.folder})


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
    """Read a table from its file. Raises UserError naming the file and the faulty place."""
    values = read_toml(path)
    if "rows" not in values and "labels" in values:
        raise UserError(
            path, "describes a set of images for tables, not a table", f"tables: {', '.join(tables_in(path.parent))}"
        )
    table = fit(values, Table, str(path))
    sets = {name: _set(given, path, f"{path} [sets.{name}]") for name, given in table.sets.items()}
    rows = tuple(structs.replace(row, tests=row.tests or tuple(table.tests)) for row in table.rows)
    table = structs.replace(table, name=path.stem, sets=sets, rows=rows)
    _check_names(table, path)
    return table


def _set(given: str | dict[str, Any], path: Path, where: str) -> SetConfig:
    """The configuration in a set's file, with the changes in `given` if it is a table."""
    changes: dict[str, Any] = {"file": given} if isinstance(given, str) else dict(given)
    if not isinstance(file := changes.pop("file", None), str) or Path(file).name != file:
        raise UserError(where, f"'file' is {file!r} and must be the name of a set's file beside this one")
    config = load_config(path.parent / file, SetConfig)
    if "labels" in changes:
        for name in changes["labels"]:
            _check_known(f"{where}: labels", name, config.labels)
        changes["labels"] = {name: config.labels[name] for name in changes["labels"]}
    return replace(config, **check_table(SetConfig, changes, where))


def _check_names(table: Table, path: Path) -> None:
    """Raise UserError if rows or data refer to anything that does not exist, or if two rows have the same name."""
    for name, source in {**table.data, **table.tests}.items():
        if source.set is not None:
            _check_known(f"{path}: {name}: set", source.set, table.sets)
            _check_known(f"{path}: {name}: labels", str(source.labels), table.sets[source.set].labels)
            if (last := source.skip + (source.count or 0)) > (images := table.sets[source.set].images):
                raise UserError(f"{path}: {name}", f"takes images up to {last}, but set '{source.set}' has {images}")
    names = [row.name for row in table.rows]
    for row in table.rows:
        for name in (*row.train, *row.then):
            _check_known(f"{path}: row '{row.name}'", name, table.data)
        for name in row.tests:
            _check_known(f"{path}: row '{row.name}'", name, table.tests)
    if len({*names}) < len(names):
        raise UserError(path, "two rows have the same name")
    for name in table.classes:
        _check_known(f"{path}: classes", name, table.tests)
    if table.reference:
        _check_known(f"{path}: reference", table.reference, names)


def _check_known(where: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise UserError(where, f"there is no '{name}'", f"there are: {', '.join(known)}")
