"""What all configurations share: combining values from several sources, reading and writing TOML, and comparing.

An output's bytes depend only on its configuration and the package's version. The output's location and the progress display are not part
of the configuration. Each value comes from the first of these sources that has one:

    the command line > the file of --config > a file of `seediff tune` > the model's preset > the advice of the model's authors
    > the method's constants > the dataclasses' defaults, which for constants are the paper's

seediff.toml stores the source of each value. If such a file is combined with another model or method, its given values stay and all others
are resolved again (docs/decisions/0021-values-have-sources.md).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar

import tomli_w
from msgspec import Meta

from .. import __version__
from ..errors import UserError
from ..files.documents import fit, read_toml
from ..files.messages import shown
from .fields import Count, Seed, check_fields, checked, field_types
from .names import split_classes

ABOUT = ("command", "version", "weights")
"""Keys of an output's seediff.toml besides the configuration: the command and version that wrote it, and the weights' fingerprint."""

LOADING = ("base", "lora", "lora_scale", "embedding", "quantize", "vae_tiling", "compile")
"""Fields of RunConfig that change how a model is loaded, except device and number format. Same names as in `load_model`."""

GIVEN, DEFAULT = "given", "default"
"""Sources of values: given by the user (command line, file or Python), and the class's default (for constants, the paper's)."""
FOUND = {
    **dict.fromkeys(("device", "dtype", "threads"), "this machine"),
    **dict.fromkeys(("photos", "data"), "the pictures"),
}
"""Sources of fields that are filled in when a run starts."""


class Layer(NamedTuple):
    """Values from one source. values: a table like seediff.toml, with inner tables such as `mask`. where: the file of the values, if
    any."""

    source: str
    values: Mapping[str, Any]
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A configuration whose values come from several sources. Making an instance reads no file and does not access the hub."""

    command: ClassVar[str]
    """The name of the configured command."""
    deciding: ClassVar[tuple[str, ...]] = ()
    """Flat names of fields that change other fields' defaults, such as the model or `mask.method`."""
    following: ClassVar[tuple[str, ...]] = ()
    """Those of `deciding` whose own default depends on the others: with another of these, only a given value of them stays."""
    asking: ClassVar[Mapping[str, Any]] = {}
    """Flat name → a placeholder, such as "best" for `mask.method`: `resolve` takes the value of the layers below instead."""

    origins: Mapping[str, tuple[str, Any]] = field(default_factory=dict, compare=False, repr=False)
    """Flat name → source and value, from `resolve`. A value that was replaced later counts as given."""

    @classmethod
    def behind(cls, chosen: Mapping[str, Any], preset: str) -> list[Layer]:
        """The layers below the given values. chosen: flat name → given value. preset: which constants to use (see `configure`)."""
        return []

    def values(self) -> dict[str, Any]:
        """Field → value, with dataclasses as tables."""
        return {name: value for name, value in asdict(self).items() if name != "origins"}

    def flat(self) -> dict[str, Any]:
        """Flat name → value."""
        return flatten(type(self), self.values())

    def source(self, name: str) -> str:
        """The source of a value, by its flat name: "given", "mini's preset", "default" …"""
        return next((source for source, names in self.sources().items() if name in names), DEFAULT)

    def sources(self) -> dict[str, list[str]]:
        """Source → flat names of its values. Values that are not named are defaults or None."""
        named: dict[str, list[str]] = {}
        for name, value in self.flat().items():
            source, resolved = self.origins.get(name, (DEFAULT, _defaults(type(self)).get(name, MISSING)))
            source = source if value == resolved else FOUND.get(name, GIVEN)
            if source != DEFAULT and value is not None:
                named.setdefault(source, []).append(name)
        return named

    def to_toml(self, weights: str = "") -> str:
        """The text of seediff.toml, which can be read back as a configuration. Values of None are left out. weights: the model's
        fingerprint."""
        about = {"command": self.command, "version": __version__, **({"weights": weights} if weights else {})}
        return tomli_w.dumps({**about, **_without_none(self.values()), "sources": self.sources()})


@dataclass(frozen=True, kw_only=True)
class RunConfig(Settings):
    """A configuration of a command that runs a model."""

    last_file: ClassVar[str]
    """The file that is written last: an output folder that has it is complete."""
    deciding: ClassVar[tuple[str, ...]] = ("model", "base")

    model: str = "mini"
    """A name from `seediff models`, a local folder, a hub id, or a .safetensors or .gguf file.

    A relative path starts from the current folder, also when a run is continued. Use a full path to continue from another folder."""
    base: str | None = None
    """The model that the rest is taken from, of a single file, or of a network alone; None: as the file's tensors tell."""
    lora: str | None = None
    """LoRA on top of the model: a .safetensors file, a folder with one, or a hub id; None: none."""
    lora_scale: Annotated[float, Meta()] | None = None
    """Strength of the LoRA: factor on its weights; None: 1."""
    embedding: str | None = None
    """Textual inversion: a .safetensors file, a folder with one, or a hub id. Prompts use its token; None: none."""
    quantize: Literal["nf4", "int8"] | None = None
    """Fewer bits for the linear layers of the network and of language models: nf4 (bitsandbytes) or int8 (torchao); None: as they are."""
    vae_tiling: bool = False
    """Encode and decode pictures above the autoencoder's own size in overlapping tiles. Needs less memory; blends edges."""
    compile: bool = False
    """Compile the network with torch. Takes minutes for every new batch shape, then runs faster; rounds differently."""
    batch_size: Count = 8
    """Images per batch. Changes rounding, so it is part of the configuration."""
    seed: Seed = 0
    """Random seed; another seed gives other images."""
    device: str | None = None
    """Device: cuda, mps or cpu; None: the fastest available."""
    dtype: str | None = None
    """Number format; None: float16 on cuda, else float32.

    float32, float16 or bfloat16."""
    threads: Count | None = None
    """CPU threads. Changes rounding, so it is part of the configuration; None: torch's choice."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.lora_scale is not None and self.lora is None:
            raise UserError(f"lora_scale = {self.lora_scale}: needs a lora; give both or neither")

    @property
    def loading(self) -> dict[str, Any]:
        """The arguments of `load_model` that change how the model is loaded."""
        return {name: getattr(self, name) for name in LOADING}

    @property
    def weight_sources(self) -> tuple[str, str | None, str | None, str | None]:
        """Everything that weights are loaded from: model, base, LoRA and embedding."""
        return (self.model, self.base, self.lora, self.embedding)

    @property
    def model_label(self) -> str:
        """The model's name for rows and pages; for a local folder only its last part, so that outputs do not reveal its location.

        Only seediff.toml stores the path as given.
        """
        return model_label(self.model)

    def extends(self, earlier: RunConfig) -> bool:
        """Whether this configuration only adds samples to those of the earlier one, which stay the same."""
        return False

    def batches(self, count: int) -> list[range]:
        """The indices of each batch's samples, for `count` samples in all."""
        return [range(start, min(start + self.batch_size, count)) for start in range(0, count, self.batch_size)]


AnySettings = TypeVar("AnySettings", bound=Settings)
Config = TypeVar("Config", bound=RunConfig)


def model_label(model: str) -> str:
    return Path(model).resolve().name if os.path.exists(model) else model  # os.path.exists is False for a name that is too long


@lru_cache
def nested(kind: type) -> dict[str, type]:
    """Field → dataclass, for the fields of a configuration that are tables, such as `mask`."""
    return {name: hint for name, hint in field_types(kind).items() if isinstance(hint, type) and is_dataclass(hint)}


def flatten(kind: type, table: Mapping[str, Any]) -> dict[str, Any]:
    """Values by flat names: {"seed": 1, "mask": {"beta": 0.4}} → {"seed": 1, "mask.beta": 0.4}."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if name in nested(kind) else {name: value}
    return flat


@lru_cache
def _defaults(kind: type) -> dict[str, Any]:
    """Flat name → the class's default."""
    plain: dict[str, Any] = {
        f.name: f.default_factory() if f.default_factory is not MISSING else f.default for f in fields(kind) if f.compare
    }
    return flatten(kind, {name: asdict(value) if name in nested(kind) else value for name, value in plain.items()})


def resolve(kind: type[AnySettings], layers: Sequence[Layer]) -> AnySettings:
    """The configuration that layers make together, the strongest layer first. Raises UserError naming the source of an invalid value."""
    parts, known = nested(kind), {f.name for f in fields(kind)}
    named: dict[str, tuple[Layer, Any]] = {}
    for layer in reversed(layers):
        flat = flatten(kind, layer.values).items()
        named |= {name: (layer, value) for name, value in flat if name not in named or not _asks(kind, name, value)}
    table: dict[str, Any] = {name: {} for name in parts}
    for name, (_, value) in named.items():
        part, _, inner = name.rpartition(".")
        if part:
            table[part][inner] = value
        elif name in known:  # presets serve several commands; each takes the fields that it has
            table[name] = value
    if any(f.name == "classes" and f.default is MISSING for f in fields(kind)) and "classes" not in table:
        raise UserError("no classes: name them, for example --classes dog,cat (or --classes voc, or a file with one per line)")
    where = ""
    try:
        for where, part in parts.items():
            table[where] = part(**table[where])
        where = ""
        config = kind(**table)
    except UserError as error:
        raise _with_source(error, where, {name: layer for name, (layer, _) in named.items()}) from error
    flat = config.flat()
    return replace(config, origins={name: (layer.source, flat[name]) for name, (layer, _) in named.items() if name in flat})


def _with_source(error: UserError, part: str, named: Mapping[str, Layer]) -> UserError:
    """The error, with the table (`part`) before its field's name, and with the source of the field's value, unless the user gave the value
    on the command line or in Python."""
    field = str(error).partition(" ")[0].rstrip(":")
    if part and str(error).startswith(f"{field} = ") and "." not in field:
        error = UserError(f"{part}.{error}")
    layer = named.get(f"{part}.{field}" if part else field) or next((of for name, of in named.items() if name.endswith(f".{field}")), None)
    source = layer and (layer.where or (layer.source if layer.source != GIVEN else ""))
    return UserError(f"{error} ({source})") if source else error


class ConfigFile(NamedTuple):
    """A TOML file. values: flat name → value, checked. sources: source → flat names, in the file of an output, which holds all values, so
    that a missing value is unset; None in a file that a person wrote."""

    path: Path
    values: Mapping[str, Any]
    sources: Mapping[str, tuple[str, ...]] | None

    def layers(self) -> list[Layer]:
        """One layer per value, with the value's source."""
        if self.sources is None:
            return [Layer(GIVEN, self.values, str(self.path))]
        said = {name: source for source, names in self.sources.items() for name in names}
        return [Layer(said.get(name, DEFAULT), {name: value}, str(self.path)) for name, value in self.values.items()]


def read_file(path: Path, kind: type[Settings]) -> ConfigFile:
    """A configuration file, or an output's seediff.toml, without the keys in ABOUT.

    `classes` may also be one text, names separated by commas or `voc`, and `prompts` one template. They may not name files here, because
    the file's author could then have any file opened. Also raises UserError if the file is from another command's output.
    """
    table = read_toml(path)
    if (command := table.get("command", kind.command)) != kind.command:
        raise UserError(f"{path}: is the configuration of `seediff {command}`, not of `seediff {kind.command}`")
    for key in {*ABOUT} - {f.name for f in fields(kind)}:  # TrainConfig has a field named `weights`
        table.pop(key, None)
    sources = fit(table.pop("sources", None), dict[str, tuple[str, ...]] | None, f"{path} [sources]")  # type: ignore[arg-type]
    if isinstance(classes := table.get("classes"), str):
        if re.search(r"[/\\]|\.(txt|names)$", classes.strip()):
            raise UserError(f'{path}: classes = {shown(classes)} is a file, which only --classes may name; list them: ["dog", "cat"]')
        table["classes"] = list(split_classes(classes))
    if isinstance(table.get("prompts"), str):
        table["prompts"] = [table["prompts"]]
    return ConfigFile(path, flatten(kind, checked(kind, table, str(path))), sources)


def configure(
    kind: type[AnySettings],
    line: Mapping[str, Any],
    file: Path | None = None,
    *,
    preset: str = "model",
    tuned: Any = None,
) -> AnySettings:
    """The configuration of a command. Raises UserError.

    line: the command line's values, as a table. file: a configuration file. preset: "model", or the constants to use instead of the
    model's: "paper", and for segments "coco" or "cityscapes". tuned: `presets.Tuned`, from a file of `seediff tune`.
    """
    layers = [Layer(GIVEN, line)]
    if file is not None:
        read = read_file(file, kind)
        if read.sources is None:
            layers += read.layers()
        elif _other(kind, line, read):
            layers += _kept(kind, read)
        else:
            return resolve(kind, [*layers, *read.layers()])
    if tuned is not None:
        layers.append(tuned.layer(kind.command, _chosen(kind, layers).get("model")))
    return resolve(kind, [*layers, *kind.behind(_chosen(kind, layers), preset)])


def chosen_model(kind: type[Config], line: Mapping[str, Any], file: Path | None, tuned: Any = None) -> tuple[str, str | None]:
    """The model and base that `configure` would take, from the same arguments. Raises UserError for a file that cannot be read."""
    chosen = _chosen(kind, [Layer(GIVEN, line), *(read_file(file, kind).layers() if file is not None else ())])
    return chosen.get("model", tuned.model if tuned is not None else kind.model), chosen.get("base")


def _other(kind: type[AnySettings], line: Mapping[str, Any], file: ConfigFile) -> bool:
    """Whether a deciding field's value on the command line differs from the file's, or is a placeholder (`Settings.asking`)."""
    flat = {**file.values, **flatten(kind, line)}
    return any(flat.get(name) != file.values.get(name) or _asks(kind, name, flat.get(name)) for name in kind.deciding)


def _asks(kind: type[AnySettings], name: str, value: Any) -> bool:
    """Whether a field's value is a placeholder for the value of the layers below (`Settings.asking`)."""
    return name in kind.asking and value == kind.asking[name]


def _kept(kind: type[AnySettings], file: ConfigFile) -> list[Layer]:
    """The layers of an output's file that stay where a deciding field has another value now: the given values, and the deciding values
    that are neither defaults nor `following`."""
    stays = {*kind.deciding} - {*kind.following}
    return [layer for layer in file.layers() if layer.source == GIVEN or (layer.source != DEFAULT and {*layer.values} & stays)]


def _chosen(kind: type[AnySettings], layers: Sequence[Layer]) -> dict[str, Any]:
    """Flat name → value, from the layers so far."""
    return {name: value for layer in reversed(layers) for name, value in flatten(kind, layer.values).items()}


def recommend(kind: type[AnySettings], values: Mapping[str, Any]) -> AnySettings:
    """The configuration with the model's own constants for values that are not given; used by `recommended`. Raises UserError."""
    values = {name: str(value) if isinstance(value, PurePath) else value for name, value in values.items()}
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


def load_config(path: Path, kind: type[AnySettings]) -> AnySettings:
    """The configuration in a TOML file, such as an output's seediff.toml."""
    return resolve(kind, read_file(path, kind).layers())


def differences(old: Settings, new: Settings) -> list[str]:
    """The differences, as `key: old → new`, in the order of the fields; empty if both make the same bytes."""
    before, after = old.flat(), new.flat()
    return [f"{key}: {_shown(before[key])} → {_shown(after[key])}" for key in before if before[key] != after[key]]


def resolve_device(config: Config) -> Config:
    """The configuration with the device, number format and, on a CPU, the number of threads filled in, because they decide rounding."""
    import torch

    from ..devices import default_device  # imports torch
    from ..models.info import usual_dtype

    device = config.device or default_device()
    threads = (config.threads or torch.get_num_threads()) if device == "cpu" else config.threads
    return replace(config, device=device, dtype=config.dtype or usual_dtype(config.model, device, config.base), threads=threads)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "unset" if value is None else repr(value) if value == "" else str(value)


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table without its None values, which TOML cannot express."""
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in table.items() if v is not None}
