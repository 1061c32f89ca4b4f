"""Where a value comes from: a list of layers, the strongest first. `build` makes a configuration of them, and keeps the
name of each value's layer (docs/decisions/0021-values-have-sources.md).

    command line, Python       what somebody typed, and nothing else
    a table of classes         of the photographs, for `mask`
    a file (--config)          written by hand, or an output's seediff.toml, which has the layers of its run
    a file of `seediff tune`   its thresholds; or the model of the run that began in the folder
    what was distilled         the steps and the guidance that the weights, or their LoRA, were made for
    the model's preset         with its constants for the method
    the method for the model   the method's constants for this model
    the authors                of the model's family
    the paper                  all levels, with --preset paper
    the method                 its own constants
    the model's preset         the steps to capture
    defaults                   of the classes, which are the papers'

`chosen_layers` makes those of the command line and of the file, resolve.py the model's, train.py the backbone's.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..files.reading import fit, read_toml
from .fields import check_table, flatten, tables_of
from .settings import DEFAULT, GIVEN, TABLE, TUNED, AnySettings, Settings, defaults


class Layer(NamedTuple):
    """Values from one source. name: the source. values: flat name (`mask.beta`) → value. place: the file with the
    values, for messages; "" without a file."""

    name: str
    values: Mapping[str, Any]
    place: str = ""

    def only(self, names: Collection[str]) -> Layer:
        """The layer with the values of these names alone."""
        return self._replace(values={name: value for name, value in self.values.items() if name in names})


NOTHING = Layer("", {})


def known_layer(name: str, table: Mapping[str, Any]) -> Layer:
    """A layer of the values in a table that are known, which are all but None. name: the source. table: field → value,
    with tables for the fields of a configuration's parts."""
    return Layer(name, {field: value for field, value in flatten(table).items() if value is not None})


def merge(layers: Sequence[Layer]) -> dict[str, Any]:
    """Flat name → its value in the first layer that has it. layers: the strongest first."""
    return dict(ChainMap(*(dict(layer.values) for layer in layers)))


def build(kind: type[AnySettings], layers: Sequence[Layer]) -> AnySettings:
    """The configuration in which each value comes from the first layer that has it.

    kind: its class. Values for fields of other classes are left out, because presets serve several commands.
    layers: the strongest first.
    Raises UserError, with the layer's place or name, for a wrong value.
    """
    known, prefix = defaults(kind), ""
    layer_of = {name: layer for layer in reversed(layers) for name in layer.values if name in known}
    values = {name: layer.values[name] for name, layer in layer_of.items()}
    if "classes" in known and "classes" not in values:
        example = "for example --classes dog,cat (or --classes voc, or a file with one per line)"
        raise UserError("classes", "name at least one", example)
    try:
        for table, part in tables_of(kind).items():
            prefix = f"{table}."
            names = [name for name in values if name.startswith(prefix)]
            values[table] = part(**{name.removeprefix(prefix): values.pop(name) for name in names})
        prefix = ""
        return kind(**values).with_sources({name: layer.name for name, layer in layer_of.items()})
    except UserError as error:
        if not error.problem:
            raise
        name, problem = f"{prefix}{error.subject}", error.problem
        layer = layer_of.get(name, NOTHING)
        place = layer.place or layer.name
        if place not in ("", GIVEN):
            problem += f" ({place})"
        raise UserError(name, problem, error.fix) from None


def chosen_layers(
    kind: type[Settings],
    line: Mapping[str, Any],
    file: Path | None,
    table: Layer = NOTHING,
    *,
    people_only: bool = False,
) -> list[Layer]:
    """The layers of the command line, or of Python, of a table of classes, and of a configuration file.

    kind: the configuration.
    line: flat name → value, or tables.
    file: a TOML file; None: no file.
    table: the table's classes.
    people_only: whether to keep only what a person chose in the file: the given values, and from a file of `seediff
        tune` the model and the method. This also happens if `line` names another model or method than the file.
    Raises UserError.
    """
    line, in_file = flatten(line, kind), list[Layer]()
    if file is not None:
        in_file = file_layers(file, kind)
        before = merge(in_file)
        if people_only or any(line[name] != before.get(name) for name in kind.deciding if name in line):
            tuned = [layer.only(kind.deciding) for layer in in_file if layer.name.startswith(TUNED)]
            in_file = [layer for layer in in_file if layer.name == GIVEN or layer.name.startswith(TABLE)] + tuned
    return [Layer(GIVEN, line), table, *in_file]


def file_layers(path: Path, kind: type[Settings]) -> list[Layer]:
    """The layers in a configuration file. In a file written by hand, all values count as given. An output's
    seediff.toml names the sources of its values, and what it leaves out is a default. Raises UserError for wrong
    values, and for the output of another command."""
    table = read_toml(path)
    command = table.get("command", kind.command)
    if command != kind.command:
        raise UserError(path, f"is the configuration of `seediff {command}`, not of `seediff {kind.command}`")
    for key in kind.notes:
        table.pop(key, None)
    sources = table.pop("sources", None)
    given = Layer(GIVEN, flatten(check_table(kind, table, str(path)), kind), str(path))
    if sources is None:
        return [given]
    named = fit(sources, dict[str, tuple[str, ...]], f"{path} [sources]").items()
    class_defaults = {name: value for name, value in defaults(kind).items() if value is not MISSING}
    return [
        *(given._replace(name=source).only(names) for source, names in named),
        given._replace(name=DEFAULT, values={**class_defaults, **given.values}),
    ]


def load_config(path: Path, kind: type[AnySettings]) -> AnySettings:
    """The configuration in a TOML file, such as an output's seediff.toml. kind: its class. Raises UserError."""
    return build(kind, file_layers(path, kind))
