"""What configurations have in common: put together of several sources, read from TOML, written and compared.

The bytes of an output folder follow from its configuration and the version of the package; where it is written, and how progress is
shown, are not part of it. Of the sources of a value the first of these that has one wins:

    the command line > the file of --config > a file of `seediff tune` > the model's preset > what its authors advise > the method's own
    > the dataclasses' defaults, which for constants are the paper's

seediff.toml keeps the source of each value: what was given stays when another model or method is named over that file, and the rest is
resolved anew. docs/decisions/0021-values-have-sources.md says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
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
"""What an output's seediff.toml says besides the configuration: who wrote it, and the fingerprint of the model's weights."""

LOADING = ("base", "lora", "lora_scale", "embedding", "quantize", "vae_tiling", "compile")
"""Fields of RunConfig about how a model is loaded besides its device and number format, called as `load_model` calls them."""

GIVEN, DEFAULT = "given", "default"
"""Sources of values: a user, on the command line, in a file or in Python; and the class itself, which for constants is the paper."""
FOUND = {
    **dict.fromkeys(("device", "dtype", "threads"), "this machine"),
    **dict.fromkeys(("photos", "data"), "the pictures"),
}
"""Sources of fields that are filled in when a run begins."""


class Layer(NamedTuple):
    """Values from one source. values: a table like seediff.toml, with for example `mask` as a table of its own. where: the file, if any."""

    source: str
    values: Mapping[str, Any]
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A configuration whose values come from several sources. It never reads a file and never asks the hub."""

    command: ClassVar[str]
    """The command line's name for what is configured."""
    deciding: ClassVar[tuple[str, ...]] = ()
    """Fields that bring other values along, such as the model, by their flat names: `mask.method`."""

    origins: Mapping[str, tuple[str, Any]] = field(default_factory=dict, compare=False, repr=False)
    """Flat name → source and value, of what `resolve` put together. A value that was replaced since is a given one."""

    @classmethod
    def behind(cls, chosen: Mapping[str, Any], preset: str) -> list[Layer]:
        """The layers behind what was given. chosen: flat name → value. preset: which constants."""
        return []

    @classmethod
    def given_earlier(cls, values: Mapping[str, Any], changed: tuple[str, ...]) -> Mapping[str, Any]:
        """What was given of a file of version 0.1.0, which did not say so: all of it, where a class does not know better."""
        return values

    def values(self) -> dict[str, Any]:
        """Field → value, that of a dataclass as a table."""
        return {name: value for name, value in asdict(self).items() if name != "origins"}

    def flat(self) -> dict[str, Any]:
        """Flat name → value."""
        return flatten(type(self), self.values())

    def source(self, name: str) -> str:
        """Where a value is from, by its flat name: "given", "mini's preset", "default" …"""
        return next((source for source, names in self.sources().items() if name in names), DEFAULT)

    def sources(self) -> dict[str, list[str]]:
        """Source → flat names of the values that are from it; what is not named is the default."""
        named: dict[str, list[str]] = {}
        for name, value in self.flat().items():
            source, resolved = self.origins.get(name, (DEFAULT, _defaults(type(self)).get(name, MISSING)))
            source = source if value == resolved else FOUND.get(name, GIVEN)
            if source != DEFAULT and value is not None:
                named.setdefault(source, []).append(name)
        return named

    def to_toml(self, weights: str = "") -> str:
        """The text of seediff.toml, which `--config` reads back. What is None has no line. weights: the model's fingerprint."""
        about = {"command": self.command, "version": __version__, **({"weights": weights} if weights else {})}
        return tomli_w.dumps({**about, **_without_none(self.values()), "sources": self.sources()})


@dataclass(frozen=True, kw_only=True)
class RunConfig(Settings):
    """The part of a configuration that says how a model is run."""

    last_file: ClassVar[str]
    """What is written last of all: an output folder that has it is complete."""
    deciding: ClassVar[tuple[str, ...]] = ("model", "base")

    model: str = "mini"
    """A name from `seediff models`, a local folder, a hub id, or a .safetensors or .gguf file.

    A relative folder is looked up from where the program runs, now and when the run is continued: name it by its full path to continue
    from elsewhere."""
    base: str | None = None
    """The model that the rest is taken from, of a single file, or of a network alone; None: as the file's tensors tell."""
    lora: str | None = None
    """LoRA on top of the model: a .safetensors file, a folder with one, or a hub id; None: none."""
    lora_scale: Annotated[float, Meta()] | None = None
    """Strength of the LoRA, a factor on what it adds to the weights; None: 1."""
    embedding: str | None = None
    """Textual inversion: a .safetensors file, a folder with one, or a hub id. Prompts use its token; None: none."""
    quantize: Literal["nf4", "int8"] | None = None
    """Fewer bits for the linear layers of the network and of language models: nf4 (bitsandbytes) or int8 (torchao); None: as they are."""
    vae_tiling: bool = False
    """Encode and decode pictures larger than the autoencoder's own size in overlapping tiles: less memory, blended edges."""
    compile: bool = False
    """Compile the network with torch: minutes for every new shape of batch, then faster; rounds otherwise."""
    batch_size: Count = 8
    """Images that go through the model together; part of the configuration, since rounding depends on it."""
    seed: Seed = 0
    """Seed of the random numbers; another seed gives other images."""
    device: str | None = None
    """cuda, mps or cpu; None: the best there is."""
    dtype: str | None = None
    """Number format; None: float16 on cuda, else float32.

    float32, float16 or bfloat16."""
    threads: Count | None = None
    """Threads of the cpu; part of the configuration, since rounding depends on it; None: torch's own choice."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.lora_scale is not None and self.lora is None:
            raise UserError(f"lora_scale = {self.lora_scale}: there is no lora that it could be of; give both or none")

    @property
    def loading(self) -> dict[str, Any]:
        """What of a model is not the model's own, as `load_model` takes it."""
        return {name: getattr(self, name) for name in LOADING}

    @property
    def weight_sources(self) -> tuple[str, str | None, str | None, str | None]:
        """All that the model's numbers come from."""
        return (self.model, self.base, self.lora, self.embedding)

    @property
    def model_label(self) -> str:
        """The model's name for rows and pages: of a local folder or file its last part, so that they do not tell where it lay.

        seediff.toml alone holds the path as it was given, for `--config`.
        """
        return model_label(self.model)

    def batches(self, count: int) -> list[range]:
        """Which samples go together, of `count` in all."""
        return [range(start, min(start + self.batch_size, count)) for start in range(0, count, self.batch_size)]


AnySettings = TypeVar("AnySettings", bound=Settings)
Config = TypeVar("Config", bound=RunConfig)


def model_label(model: str) -> str:
    return Path(model).resolve().name if Path(model).exists() else model


@lru_cache
def nested(kind: type) -> dict[str, type]:
    """The fields of a configuration that are tables of their own, such as `mask`, and their dataclasses."""
    return {name: hint for name, hint in field_types(kind).items() if isinstance(hint, type) and is_dataclass(hint)}


def flatten(kind: type, table: Mapping[str, Any]) -> dict[str, Any]:
    """Values by flat names: {"seed": 1, "mask": {"beta": 0.4}} → {"seed": 1, "mask.beta": 0.4}."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if name in nested(kind) else {name: value}
    return flat


@lru_cache
def _defaults(kind: type) -> dict[str, Any]:
    """Flat name → the class's own value."""
    plain: dict[str, Any] = {
        f.name: f.default_factory() if f.default_factory is not MISSING else f.default for f in fields(kind) if f.compare
    }
    return flatten(kind, {name: asdict(value) if name in nested(kind) else value for name, value in plain.items()})


def resolve(kind: type[AnySettings], layers: Sequence[Layer]) -> AnySettings:
    """One configuration from layers, the strongest first. Raises UserError, which says where a wrong value is from."""
    parts, known = nested(kind), {f.name for f in fields(kind)}
    named = {name: (layer, value) for layer in reversed(layers) for name, value in flatten(kind, layer.values).items()}
    table: dict[str, Any] = {name: {} for name in parts}
    for name, (_, value) in named.items():
        part, _, inner = name.rpartition(".")
        if part:
            table[part][inner] = value
        elif name in known:  # a preset is for several commands, each of which takes what it has
            table[name] = value
    if any(f.name == "classes" and f.default is MISSING for f in fields(kind)) and "classes" not in table:
        raise UserError("no classes: name them, for example --classes dog,cat (or --classes voc, or a file with one per line)")
    try:
        config = kind(**{**table, **{name: part(**table[name]) for name, part in parts.items()}})
    except UserError as error:
        raise _with_source(error, [(name, layer) for name, (layer, _) in named.items()]) from error
    flat = config.flat()
    return replace(config, origins={name: (layer.source, flat[name]) for name, (layer, _) in named.items() if name in flat})


def _with_source(error: UserError, named: Sequence[tuple[str, Layer]]) -> UserError:
    """The error with the source of the field that it begins with, unless that is the command itself."""
    field = str(error).partition(" ")[0]
    layer = next((layer for name, layer in named if name.rpartition(".")[2] == field), None)
    source = layer and (layer.where or (layer.source if layer.source != GIVEN else ""))
    return UserError(f"{error} ({source})") if source else error


class ConfigFile(NamedTuple):
    """A TOML file. values: checked for names and types, by flat names. sources: source → flat names, as the file says; None: it does not,
    because it was written by hand or by version 0.1.0 (`complete`: it holds all values, and what has no line is unset)."""

    path: Path
    values: Mapping[str, Any]
    sources: Mapping[str, tuple[str, ...]] | None
    complete: bool

    def layers(self) -> list[Layer]:
        """All values, each under its own source."""
        if self.sources is None:
            return [Layer(GIVEN, self.values, str(self.path))]
        said = {name: source for source, names in self.sources.items() for name in names}
        return [Layer(said.get(name, DEFAULT), {name: value}, str(self.path)) for name, value in self.values.items()]


def read_file(path: Path, kind: type[Settings]) -> ConfigFile:
    """A file of --config, or an output's seediff.toml. What is about an output (ABOUT) is left out.

    `classes` may also be one text, names between commas or `voc`, and `prompts` one template. Only the command line names files of them:
    whoever wrote this file could have others opened.
    UserError also when the file is of another command's output.
    """
    table = read_toml(path)
    if (command := table.get("command", kind.command)) != kind.command:
        raise UserError(f"{path}: is the configuration of `seediff {command}`, not of `seediff {kind.command}`")
    complete = "version" in table
    for key in {*ABOUT} - {f.name for f in fields(kind)}:  # `weights` of a training are its first ones
        table.pop(key, None)
    sources = fit(table.pop("sources", None), dict[str, tuple[str, ...]] | None, f"{path} [sources]")  # type: ignore[arg-type]
    if isinstance(classes := table.get("classes"), str):
        if re.search(r"[/\\]|\.(txt|names)$", classes.strip()):
            raise UserError(f'{path}: classes = {shown(classes)} is a file, which only --classes may name; list them: ["dog", "cat"]')
        table["classes"] = list(split_classes(classes))
    if isinstance(table.get("prompts"), str):
        table["prompts"] = [table["prompts"]]
    return ConfigFile(path, flatten(kind, checked(kind, table, str(path))), sources, complete)


def configure(
    kind: type[AnySettings],
    line: Mapping[str, Any],
    file: Path | None = None,
    *,
    preset: str = "model",
    tuned: Any = None,
) -> AnySettings:
    """The configuration of a command. Raises UserError.

    line: its own values, as a table. file: of --config. preset: "model", or which constants are taken instead of the model's: "paper", and
    for segments "coco" or "cityscapes". tuned: `presets.Tuned`, of a file of `seediff tune`.
    """
    layers = [Layer(GIVEN, line)]
    if file is not None:
        read = read_file(file, kind)
        if read.complete and not _other(kind, line, read):
            return resolve(kind, [*layers, *_of_file(kind, read, ())])
        layers += _of_file(kind, read, _other(kind, line, read)) if read.complete else read.layers()
    if tuned is not None:
        layers.append(tuned.layer(kind.command, _chosen(kind, layers).get("model")))
    return resolve(kind, [*layers, *kind.behind(_chosen(kind, layers), preset)])


def _other(kind: type[AnySettings], line: Mapping[str, Any], file: ConfigFile) -> tuple[str, ...]:
    """The deciding fields that the command line gives another value than the file."""
    flat = flatten(kind, line)
    return tuple(name for name in kind.deciding if name in flat and flat[name] != file.values.get(name))


def _of_file(kind: type[AnySettings], file: ConfigFile, other: tuple[str, ...]) -> list[Layer]:
    """What a complete file says: all of it, or, where another model or method was named, what was given and what decides."""
    if file.sources is None:
        given = kind.given_earlier(file.values, other)
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


def load_config(path: Path, kind: type[AnySettings]) -> AnySettings:
    """The configuration in a TOML file, such as an output's seediff.toml."""
    return resolve(kind, read_file(path, kind).layers())


def differences(old: Settings, new: Settings) -> list[str]:
    """What differs, one `key: old → new` each, in the order of the fields; empty when both make the same bytes."""
    before, after = old.flat(), new.flat()
    return [f"{key}: {_shown(before[key])} → {_shown(after[key])}" for key in before if before[key] != after[key]]


def resolve_device(config: Config) -> Config:
    """The configuration with the device, number format and, on the cpu, threads that will be used, which decide about rounding."""
    import torch

    from ..devices import default_device  # imports torch
    from ..models.info import usual_dtype

    device = config.device or default_device()
    threads = (config.threads or torch.get_num_threads()) if device == "cpu" else config.threads
    return replace(config, device=device, dtype=config.dtype or usual_dtype(config.model, device), threads=threads)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "unset" if value is None else repr(value) if value == "" else str(value)


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """TOML has no None: what is not set has no line."""
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in table.items() if v is not None}
