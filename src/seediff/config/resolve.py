"""Values from several sources. Each comes from the first of these that has it:

    the command line or Python > a file > the model's preset, with its method's constants > the dataclasses' defaults
    (the papers')

If an output's seediff.toml is combined with another model or method, what was given stays and the rest is resolved
again. A file of `seediff tune`, given as `--preset` or `--config`, has a model's own thresholds:

    command = "tune"
    model = "sd2-base"
    presence = 0.81
    name_threshold = 0.522
    beta = 0.36
    method = "ca_sa"
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path, PurePath
from typing import Any, ClassVar, NamedTuple, TypeVar

import tomli_w

from .. import __version__
from ..errors import UserError
from ..files.documents import fit, read_toml
from ..files.messages import show_json
from .base import BEST_SOURCE, DEFAULT, GIVEN, TUNED, RunConfig, Settings, ValueLayer
from .fields import Share, check_names, check_table, flatten, tables_of
from .methods import BEST
from .names import sound, split_classes

LOADED = ("weights", "gpu")
ABOUT = ("command", "version", *LOADED)
"""Keys of an output's seediff.toml besides the configuration: the weights' fingerprint, and the GPU's name."""
DECIDING = ("model", "base", "lora", "mask.method", "segment.method", "architecture", "backbone", "weights")
"""Fields with which other defaults come."""
THRESHOLDS = {"mask": "presence", "segment": "name_threshold"}
"""For each command, the threshold whose best value differs from model to model."""

AnySettings = TypeVar("AnySettings", bound=Settings)


def resolve(kind: type[AnySettings], layers: Sequence[ValueLayer]) -> AnySettings:
    """The configuration that layers make together, the strongest first. Raises UserError naming the source of a value
    that is wrong.
    """
    found: dict[str, tuple[ValueLayer, Any]] = {}
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
        example = "for example --classes dog,cat (or --classes voc, or a file with one per line)"
        raise UserError("classes", "name at least one", example)
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
        layer = found[name][0] if name in found else ValueLayer(GIVEN, {})
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

    def layers(self, *, given: bool = False) -> list[ValueLayer]:
        """One layer per value, with its source. given: only what a person chose, also by `tune` or `best`."""
        layers = []
        for name, value in self.values.items():
            source = GIVEN if self.sources is None else self.sources.get(name, DEFAULT)
            if not given or source == GIVEN or (name in DECIDING and source.startswith((TUNED, BEST_SOURCE))):
                layers.append(ValueLayer(source, {name: value}, str(self.path)))
        return layers


def read_file(path: Path, kind: type[Settings]) -> ConfigFile:
    """A configuration file, or an output's seediff.toml, without the keys in ABOUT. Also raises UserError if the file
    is from another command's output.

    `classes` may also be one text, names separated by commas or `voc`, and `prompts` one template. They may not name
    files here, because the file's author could then have any file opened.
    """
    table = read_toml(path)
    if (command := table.get("command", kind.command)) != kind.command:
        raise UserError(path, f"is the configuration of `seediff {command}`, not of `seediff {kind.command}`")
    for key in {*ABOUT} - {f.name for f in fields(kind)}:  # TrainConfig has a field named `weights`
        table.pop(key, None)
    named, sources = table.pop("sources", None), None
    if named is not None:
        said = fit(named, dict[str, tuple[str, ...]], f"{path} [sources]")
        sources = {name: source for source, names in said.items() for name in names}
    if isinstance(classes := table.get("classes"), str):
        if re.search(r"[/\\]|\.(txt|names)$", classes.strip()):
            problem = f"classes: {show_json(classes)} is a file, which only --classes may name"
            raise UserError(path, problem, 'list them: ["dog", "cat"]')
        table["classes"] = list(split_classes(classes))
    if isinstance(table.get("prompts"), str):
        table["prompts"] = [table["prompts"]]
    return ConfigFile(path, flatten(check_table(kind, table, str(path)), kind), sources)


def configure(
    kind: type[AnySettings], line: Mapping[str, Any], file: Path | None = None, *, preset: str = "model"
) -> AnySettings:
    """The configuration of a command. Raises UserError.

    line: the command line's values, by flat name or as tables; the class `all` stands for all of a small model's. file:
    a configuration file, or one of `seediff tune`. preset: one of the command's presets ("model", or the constants to
    use instead of the model's), or a file of `seediff tune`.
    """
    line, tuned, whole = flatten(line, kind), None, False
    if file is not None and kind.command in THRESHOLDS and is_tuned(file):
        if preset not in kind.presets:
            problem = f"{preset}: --config {file} is a file of `seediff tune` as well"
            raise UserError("preset", problem, "only one can be used")
        file, tuned = None, read_tuned(file)
    elif preset not in kind.presets:
        if not Path(preset).is_file():
            known = ", ".join(kind.presets)
            raise UserError("preset", f"{preset} must be {known} or a file of `seediff tune`; no such file")
        preset, tuned = "model", read_tuned(Path(preset))
    layers = [ValueLayer(GIVEN, line)]
    if file is not None:
        read = read_file(file, kind)
        now = {**read.values, **line}
        other = preset != "model" or tuned is not None or now.get("mask.method") == BEST
        other = other or any(now.get(name) != read.values.get(name) for name in DECIDING)
        layers += read.layers(given=read.sources is not None and other)
        whole = read.sources is not None and not other
    if tuned is not None:
        layers.append(tuned.layer(kind.command, _values(layers)))
    chosen = _values(layers)
    if line.get("classes") == ("all",):
        layers.insert(
            0, ValueLayer(GIVEN, {"classes": _all_classes(chosen.get("model", RunConfig.model), chosen.get("base"))})
        )
    if whole:
        return _spelled(resolve(kind, layers))
    if chosen.get("mask.method") == BEST:  # what the layers below have measured as best, whatever a file says
        layers = [
            layer._replace(values={k: v for k, v in layer.values.items() if k != "mask.method"}) for layer in layers
        ]
    return _spelled(resolve(kind, [*layers, *kind.layers_below(chosen, preset)]))


def _spelled(config: AnySettings) -> AnySettings:
    """The configuration with classes, or names of segments, as a model with a vocabulary of its own spells them."""
    named = next((name for name in ("classes", "names") if getattr(config, name, ())), None)
    if named is None or not isinstance(config, RunConfig):
        return config
    from ..models.info import model_info

    info = model_info(config.model, config.base)
    known = {sound(word): word for word in (info and info.settings.words) or ()}
    spelled = tuple(known.get(sound(word), word) for word in getattr(config, named))
    return config if spelled == getattr(config, named) else replace(config, **{named: spelled})


def _all_classes(model: str, base: str | None) -> tuple[str, ...]:
    from ..models.info import find_settings

    if known := find_settings(model, base).classes:
        return known
    problem = f"all: model '{model}' is not limited to a list of classes"
    raise UserError("classes", problem, "name those that you want")


def _values(layers: Sequence[ValueLayer]) -> dict[str, Any]:
    """Flat name → value, from the layers so far."""
    return {name: value for layer in reversed(layers) for name, value in layer.values.items()}


def recommend(kind: type[AnySettings], values: Mapping[str, Any]) -> AnySettings:
    """The configuration with the model's own constants for values that are not given. Raises UserError.

    values: field → value; `mask` and the like are tables of given values, or whole configurations.
    """
    table: dict[str, Any] = {}
    for name, value in values.items():
        value = str(value) if isinstance(value, PurePath) else value
        table[name] = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    check_names(kind, table, kind.__name__)
    for name, part in tables_of(kind).items():
        if not isinstance(given := table.get(name, {}), Mapping):
            raise UserError(name, f"must be a {part.__name__} or a table of its fields, not {given!r}")
        check_names(part, given, name)
    return configure(kind, table)


def load_config(path: Path, kind: type[AnySettings]) -> AnySettings:
    """The configuration in a TOML file, such as an output's seediff.toml."""
    return resolve(kind, read_file(path, kind).layers())


@dataclass(frozen=True)
class Tuned:
    """A file of `seediff tune` or `evaluate masks`. model: the model's name. weights: its fingerprint, "" if unknown.
    presence, name_threshold, beta: None if the set could not determine it. method: of masks, for which beta is. note:
    the photographs used, and the result."""

    command: ClassVar[str] = "tune"

    model: str
    weights: str = ""
    presence: Share | None = None
    name_threshold: Share | None = None
    beta: Share | None = None
    method: str = ""
    note: str = ""

    def to_toml(self) -> str:
        """The text of the file, for `read_tuned`."""
        values = {name: value for name, value in vars(self).items() if value not in (None, "")}
        return tomli_w.dumps({"command": self.command, "version": __version__, **values})

    def layer(self, command: str, chosen: Mapping[str, Any]) -> ValueLayer:
        """The thresholds for a command, and the model and the method unless others were chosen: then without beta,
        which is the method's. chosen: flat name → value."""
        name = THRESHOLDS[command]
        values = {"model": None if "model" in chosen else self.model, name: getattr(self, name)}
        if name == "presence" and self.beta is not None and chosen.get("mask.method", self.method) == self.method:
            values |= {"mask.method": self.method, "mask.beta": self.beta}
        return ValueLayer(f"{TUNED}{self.model}", {name: value for name, value in values.items() if value is not None})


def is_tuned(path: Path) -> bool:
    """Whether a configuration file was written by `seediff tune`."""
    return read_toml(path).get("command") == Tuned.command


def read_tuned(path: Path) -> Tuned:
    """The contents of a file of `seediff tune`. Raises UserError naming the file and the problem."""
    table = read_toml(path)
    if table.get("command") != Tuned.command or "model" not in table:
        raise UserError(path, "is not a file of `seediff tune`: it should say command = 'tune', and model")
    return Tuned(**check_table(Tuned, {k: v for k, v in table.items() if k not in ("command", "version")}, str(path)))
