"""What every long command's configuration has in common, and how configurations are read from TOML, written and compared.

The bytes of an output folder follow from its configuration and the version of the package; where it is written, and how progress is
shown, are not part of it. Values come from the command line, else from the file of --config, else from the defaults of the dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_type_hints

import tomli_w

from .. import __version__
from ..errors import UserError
from ..files.documents import read_toml
from ..files.schema import checked
from .names import parse_classes, parse_prompts

ABOUT = ("command", "version", "weights")
"""What an output's seediff.toml says besides the configuration: who wrote it, and the fingerprint of the model's weights."""


LOADING = ("lora", "lora_scale", "embedding", "vae_tiling", "compile")
"""Fields of RunConfig about how a model is loaded besides its device and number format, called as `load_model` calls them."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The part of a configuration that says how a model is run."""

    command: ClassVar[str]
    """The command line's name for what is configured."""
    last_file: ClassVar[str]
    """What is written last of all: an output folder that has it is complete."""

    model: str = "mini"
    """A name from `seediff models`, a local folder or a hub id.

    A relative folder is looked up from where the program runs, now and when the run is continued: name it by its full path to continue
    from elsewhere."""
    lora: str | None = None
    """LoRA on top of the model: a .safetensors file, a folder with one, or a hub id; None: none."""
    lora_scale: float | None = None
    """Strength of the LoRA, a factor on what it adds to the weights; None: 1."""
    embedding: str | None = None
    """Textual inversion: a .safetensors file, a folder with one, or a hub id. Prompts use its token; None: none."""
    vae_tiling: bool = False
    """Encode and decode pictures larger than the autoencoder's own size in overlapping tiles: less memory, blended edges."""
    compile: bool = False
    """Compile the network with torch: minutes for every new shape of batch, then faster; rounds otherwise."""
    batch_size: int = 8
    """Images that go through the model together; part of the configuration, since rounding depends on it."""
    seed: int = 0
    """Seed of the random numbers; another seed gives other images."""
    device: str | None = None
    """cuda, mps or cpu; None: the best there is."""
    dtype: str | None = None
    """Number format; None: float16 on cuda, else float32.

    float32, float16 or bfloat16."""
    threads: int | None = None
    """Threads of the cpu; part of the configuration, since rounding depends on it; None: torch's own choice."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UserError(f"{name} = {value} must be at least 1")
        if self.lora_scale is not None and self.lora is None:
            raise UserError(f"lora_scale = {self.lora_scale}: there is no lora that it could be of; give both or none")
        if self.lora_scale is not None and not abs(self.lora_scale) < float("inf"):
            raise UserError(f"lora_scale = {self.lora_scale} must be a number")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed = {self.seed} must be in [0, 2^63)")

    @property
    def loading(self) -> dict[str, Any]:
        """What of a model is not the model's own, as `load_model` takes it."""
        return {name: getattr(self, name) for name in LOADING}

    @property
    def weight_sources(self) -> tuple[str, str | None, str | None]:
        """All that the model's numbers come from."""
        return (self.model, self.lora, self.embedding)

    @property
    def model_label(self) -> str:
        """The model's name for rows and pages: of a local folder its last part, so that they do not tell where it lay.

        seediff.toml alone holds the path as it was given, for `--config`.
        """
        return Path(self.model).resolve().name if Path(self.model).is_dir() else self.model

    def to_toml(self, weights: str = "") -> str:
        """The text of seediff.toml, which `--config` reads back. What is None has no line. weights: the model's fingerprint."""
        about = {"command": self.command, "version": __version__, **({"weights": weights} if weights else {})}
        return tomli_w.dumps({**about, **_without_none(asdict(self))})

    def batches(self, count: int) -> list[range]:
        """Which samples go together, of `count` in all."""
        return [range(start, min(start + self.batch_size, count)) for start in range(0, count, self.batch_size)]


Config = TypeVar("Config", bound=RunConfig)


def nested(kind: type) -> dict[str, type]:
    """The fields of a configuration that are tables of their own, such as `mask`, and their dataclasses."""
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind) if is_dataclass(hints[f.name])}


def read_table(path: Path, kind: type[RunConfig]) -> dict[str, Any]:
    """The values of a TOML file, checked for names and types, for `build`. What is about an output (ABOUT) is left out.

    `classes` and `prompts` may also be what the command line takes: one text with names between commas, `voc`, a file.
    UserError also when the file is of another command's output.
    """
    table = read_toml(path)
    if (command := table.get("command", kind.command)) != kind.command:
        raise UserError(f"{path}: is the configuration of `seediff {command}`, not of `seediff {kind.command}`")
    for key in ABOUT:
        table.pop(key, None)
    if isinstance(table.get("classes"), str):
        table["classes"] = list(parse_classes(table["classes"]))
    if isinstance(table.get("prompts"), str):
        table["prompts"] = list(parse_prompts([table["prompts"]]))
    return checked(kind, table, str(path))


def build(kind: type[Config], *tables: Mapping[str, Any]) -> Config:
    """One configuration from tables of given values, such as the command line's and a file's; the first that has a value wins.

    Tables are nested like seediff.toml: keys of `kind`, with for example `capture` and `mask` as tables of their own.
    """
    parts = nested(kind)
    merged: dict[str, Any] = {name: {} for name in parts}
    for table in reversed(tables):
        inner = {name: {**merged[name], **table.get(name, {})} for name in parts}
        merged = {**merged, **table, **inner}
    needed = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING and f.name not in merged]
    if "classes" in needed:
        raise UserError("no classes: name them, for example --classes dog,cat (or --classes voc, or a file with one per line)")
    return kind(**{**merged, **{name: part(**merged[name]) for name, part in parts.items()}})


def load_config(path: Path, kind: type[Config]) -> Config:
    """The configuration in a TOML file, such as an output's seediff.toml."""
    return build(kind, read_table(path, kind))


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """What differs, one `key: old → new` each, in the order of the fields; empty when both make the same bytes."""
    before, after = _flat(asdict(old)), _flat(asdict(new))
    return [f"{key}: {_shown(before[key])} → {_shown(after[key])}" for key in before if before[key] != after[key]]


def resolve_device(config: Config) -> Config:
    """The configuration with the device, number format and, on the cpu, threads that will be used, which decide about rounding."""
    import torch

    from ..devices import default_device  # imports torch
    from ..models.about import usual_dtype

    device = config.device or default_device()
    threads = (config.threads or torch.get_num_threads()) if device == "cpu" else config.threads
    return replace(config, device=device, dtype=config.dtype or usual_dtype(config.model, device), threads=threads)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "unset" if value is None else repr(value) if value == "" else str(value)


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """TOML has no None: what is not set has no line."""
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in table.items() if v is not None}
