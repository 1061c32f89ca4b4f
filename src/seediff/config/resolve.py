"""Values from several sources. Each comes from the first of these that has it:

    the command line or Python > a file > the model's preset, with its method's constants > the dataclasses' defaults
    (the papers')

If an output's seediff.toml is combined with another model or method, what was given stays and the rest is resolved
again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple, TypeVar

from ..errors import UserError
from ..files.documents import fit, read_toml
from ..files.messages import show_json
from .base import BEST_SOURCE, DEFAULT, GIVEN, TUNED, Layer, RunConfig, Settings
from .fields import check_table, flatten, tables_of
from .methods import BEST
from .names import split_classes

ABOUT = ("command", "version", "weights")
"""Keys of an output's seediff.toml besides the configuration: the command and version that wrote it, and the weights'
fingerprint.
"""
DECIDING = ("model", "base", "lora", "mask.method", "segment.method", "architecture", "backbone", "weights")
"""Fields with which other defaults come."""

AnySettings = TypeVar("AnySettings", bound=Settings)


def resolve(kind: type[AnySettings], layers: Sequence[Layer]) -> AnySettings:
    """The configuration that layers make together, the strongest first. Raises UserError naming the source of a value
    that is wrong.
    """
    found: dict[str, tuple[Layer, Any]] = {}
    for layer in reversed(layers):
        found |= {name: (layer, value) for name, value in layer.values.items()}
    parts, known = tables_of(kind), {f.name for f in fields(kind)}
    table: dict[str, Any] = {name: {} for name in parts}
    for name, (_, value) in found.items():
        part, _, inner = name.rpartition(".")
        if part in parts:
            table[part][inner] = value
        elif name in known:  # presets serve several commands; each takes the fields that it has
            table[name] = value
    if "classes" in known and "classes" not in table:
        raise UserError(
            "classes",
            "name at least one",
            "for example --classes dog,cat (or --classes voc, or a file with one per line)",
        )
    part = ""
    try:
        for part, inner_kind in parts.items():
            table[part] = inner_kind(**table[part])
        part = ""
        config = kind(**table)
    except UserError as error:
        if not error.problem:
            raise
        name = f"{part}.{error.subject}" if part else error.subject
        layer = found[name][0] if name in found else Layer(GIVEN, {})
        source = layer.where or (layer.source if layer.source != GIVEN else "")
        raise UserError(name, f"{error.problem} ({source})" if source else error.problem, error.fix) from error
    flat = config.flat()
    return replace(
        config, origins={name: (layer.source, flat[name]) for name, (layer, _) in found.items() if name in flat}
    )


class ConfigFile(NamedTuple):
    """A TOML file. values: flat name → value, checked. sources: flat name → source, in the file of an output, which
    holds all values, so that a missing value is unset; None in a file that a person wrote."""

    path: Path
    values: Mapping[str, Any]
    sources: Mapping[str, str] | None

    def layers(self, *, given: bool = False) -> list[Layer]:
        """One layer per value, with its source. given: only what a person chose, also by `tune` or `best`."""
        layers = []
        for name, value in self.values.items():
            source = GIVEN if self.sources is None else self.sources.get(name, DEFAULT)
            if not given or source == GIVEN or (name in DECIDING and source.startswith((TUNED, BEST_SOURCE))):
                layers.append(Layer(source, {name: value}, str(self.path)))
        return layers


def read_file(path: Path, kind: type[Settings]) -> ConfigFile:
    """A configuration file, or an output's seediff.toml, without the keys in ABOUT.

    `classes` may also be one text, names separated by commas or `voc`, and `prompts` one template. They may not name
    files here, because the file's author could then have any file opened. Also raises UserError if the file is from
    another command's output.
    """
    table = read_toml(path)
    if (command := table.get("command", kind.command)) != kind.command:
        raise UserError(path, f"is the configuration of `seediff {command}`, not of `seediff {kind.command}`")
    for key in {*ABOUT} - {f.name for f in fields(kind)}:  # TrainConfig has a field named `weights`
        table.pop(key, None)
    named = table.pop("sources", None)
    sources = None
    if named is not None:
        said = fit(named, dict[str, tuple[str, ...]], f"{path} [sources]")
        sources = {name: source for source, names in said.items() for name in names}
    if isinstance(classes := table.get("classes"), str):
        if re.search(r"[/\\]|\.(txt|names)$", classes.strip()):
            raise UserError(
                path,
                f'classes: {show_json(classes)} is a file, which only --classes may name; list them: ["dog", "cat"]',
            )
        table["classes"] = list(split_classes(classes))
    if isinstance(table.get("prompts"), str):
        table["prompts"] = [table["prompts"]]
    return ConfigFile(path, flatten(kind, check_table(kind, table, str(path))), sources)


def configure(
    kind: type[AnySettings],
    line: Mapping[str, Any],
    file: Path | None = None,
    *,
    preset: str = "model",
    tuned: Any = None,
) -> AnySettings:
    """The configuration of a command. Raises UserError.

    line: the command line's values, by flat name or as tables. file: a configuration file. preset: "model", or the
    constants to use instead of the model's: "paper", and for segments "coco" or "cityscapes". tuned: `presets.Tuned`,
    from a file of `seediff tune`.
    """
    line = flatten(kind, line)
    layers = [Layer(GIVEN, line)]
    if file is not None:
        read = read_file(file, kind)
        now = {**read.values, **line}
        other = preset != "model" or tuned is not None or now.get("mask.method") == BEST
        other = other or any(now.get(name) != read.values.get(name) for name in DECIDING)
        layers += read.layers(given=read.sources is not None and other)
        if read.sources is not None and not other:
            return resolve(kind, layers)
    if tuned is not None:
        layers.append(tuned.layer(kind.command, _values(layers).get("model")))
    chosen = _values(layers)
    if chosen.get("mask.method") == BEST:  # what the layers below have measured as best, whatever a file says
        layers = [
            layer._replace(values={k: v for k, v in layer.values.items() if k != "mask.method"}) for layer in layers
        ]
    return resolve(kind, [*layers, *kind.behind(chosen, preset)])


def choose_model(
    kind: type[RunConfig], line: Mapping[str, Any], file: Path | None, tuned: Any = None
) -> tuple[str, str | None]:
    """The model and base that `configure` would take, from the same arguments. Raises UserError for a file that cannot
    be read.
    """
    chosen = _values([Layer(GIVEN, flatten(kind, line)), *(read_file(file, kind).layers() if file is not None else ())])
    return chosen.get("model", tuned.model if tuned is not None else kind.model), chosen.get("base")


def _values(layers: Sequence[Layer]) -> dict[str, Any]:
    """Flat name → value, from the layers so far."""
    return {name: value for layer in reversed(layers) for name, value in layer.values.items()}


def recommend(kind: type[AnySettings], values: Mapping[str, Any]) -> AnySettings:
    """The configuration with the model's own constants for values that are not given. Raises UserError.

    values: field → value; `mask` and the like are tables of given values, or whole configurations.
    """
    values = {name: str(value) if isinstance(value, PurePath) else value for name, value in values.items()}
    table = {
        name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        for name, value in values.items()
    }
    for name, part in (("", kind), *tables_of(kind).items()):
        given = table.get(name, {}) if name else table
        if not isinstance(given, Mapping):
            raise UserError(name, f"must be a {part.__name__} or a table of its fields, not {given!r}")
        known = [f.name for f in fields(part) if f.compare]
        if unknown := sorted(set(given) - set(known)):
            raise UserError(
                name or kind.__name__, f"there is no option '{unknown[0]}'", f"options here: {', '.join(known)}"
            )
    return configure(kind, table)


def load_config(path: Path, kind: type[AnySettings]) -> AnySettings:
    """The configuration in a TOML file, such as an output's seediff.toml."""
    return resolve(kind, read_file(path, kind).layers())
