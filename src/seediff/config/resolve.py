"""Where a value comes from. The first of these that has one wins:

    the command line > the file of --config > a file of `seediff tune` > the model's preset > what its authors advise > the method's own
    > the dataclasses' defaults, which for constants are the paper's

seediff.toml keeps the source of each value: what was given stays when another model or method is named over that file, and the rest is
resolved anew. docs/decisions/0021-values-have-sources.md says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ..errors import UserError
from .base import DEFAULT, GIVEN, AnySettings, ConfigFile, Layer, flatten, nested, read_file, resolve
from .presets import Tuned, find_constants


def configure(
    kind: type[AnySettings],
    line: Mapping[str, Any],
    file: Path | None = None,
    *,
    preset: str = "model",
    tuned: Tuned | None = None,
    find: Callable[[str], Any] = find_constants,
) -> AnySettings:
    """The configuration of a command. Raises UserError.

    line: its own values, as a table. file: of --config. preset: "model", or which constants are taken instead of the model's: "paper", and
    for segments "coco" or "cityscapes". find: what is known of a model by its name.
    """
    layers = [Layer(GIVEN, line)]
    if file is not None:
        read = read_file(file, kind)
        if read.complete and not _other(kind, line, read):
            return resolve(kind, [*layers, *_of_file(kind, read, (), find)])
        layers += _of_file(kind, read, _other(kind, line, read), find) if read.complete else read.layers()
    if tuned is not None:
        layers.append(tuned.layer(kind.command, _chosen(kind, layers).get("model")))
    return resolve(kind, [*layers, *kind.behind(_chosen(kind, layers), preset, find)])


def _other(kind: type[AnySettings], line: Mapping[str, Any], file: ConfigFile) -> tuple[str, ...]:
    """The deciding fields that the command line gives another value than the file."""
    flat = flatten(kind, line)
    return tuple(name for name in kind.deciding if name in flat and flat[name] != file.values.get(name))


def _of_file(kind: type[AnySettings], file: ConfigFile, other: tuple[str, ...], find: Callable[[str], Any]) -> list[Layer]:
    """What a complete file says: all of it, or, where another model or method was named, what was given and what decides."""
    if file.sources is None:
        given = kind.given_earlier(file.values, find, other)
        rest = [] if other else [Layer("an earlier version's file", file.values, str(file.path))]
        return [Layer(GIVEN, given, str(file.path)), *rest]
    if not other:
        return file.layers()
    return [layer for layer in file.layers() if layer.source == GIVEN or (layer.source != DEFAULT and {*layer.values} & {*kind.deciding})]


def _chosen(kind: type[AnySettings], layers: Sequence[Layer]) -> dict[str, Any]:
    """Flat name → value, of what layers say so far."""
    return {name: value for layer in reversed(layers) for name, value in flatten(kind, layer.values).items()}


def recommend(kind: type[AnySettings], values: Mapping[str, Any]) -> AnySettings:
    """The configuration with the model's own constants where none are given, for `recommended` of the classes. Raises UserError."""
    tables = {
        name: asdict(value) if isinstance(value, part) else value for name, part in nested(kind).items() if (value := values.get(name))
    }
    for name, table, part in [("", values, kind), *((name, table, nested(kind)[name]) for name, table in tables.items())]:
        if not isinstance(table, Mapping):
            raise UserError(f"{name} must be a {part.__name__} or a table of its fields, not {table!r}")
        known = [f.name for f in fields(part) if f.compare]
        if unknown := sorted(set(table) - set(known)):
            raise UserError(f"{name}{': ' if name else ''}there is no option '{unknown[0]}'; options here: {', '.join(known)}")
    return configure(kind, {**values, **tables})
