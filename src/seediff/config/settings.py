"""The part that all configurations share: the sources of their values (docs/decisions/0021-values-have-sources.md),
TOML, and comparing. The bytes of an output depend only on its configuration and the package's version."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import tomli_w
from cyclopts import Parameter

from .. import __version__
from ..errors import UserError
from ..files.messages import show_json
from ..files.reading import real
from .fields import MODEL, Count, Device, DType, Seed, check_fields, flatten, tables_of

GIVEN, DEFAULT = "given", "default"
"""Sources of values: a person (command line, file or Python), and the class's defaults."""
TUNED = "seediff tune for "
"""Beginning of the source's name for values from a file that `seediff tune` wrote. The model's name follows."""
TABLE = "the table "
"""Beginning of the source's name for the classes in a table of photographs. The file's name follows."""
MACHINE = "this machine"
"""The source of values that SeeDiff fills in when a run starts, such as the device."""
OF_MODEL = Parameter(group=MODEL)
NOT_TYPED = Parameter(parse=False)
"""A parameter for a field without an option on the command line."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A configuration whose values come from several sources. Making an instance reads no file."""

    command: ClassVar[str]
    notes: ClassVar[tuple[str, ...]] = ("command", "version")
    """Keys of an output's seediff.toml that are not fields of the configuration."""
    deciding: ClassVar[tuple[str, ...]] = ()
    """Flat names of the fields that decide the defaults of other fields."""
    _sources: ClassVar[Mapping[str, str] | None] = None
    """Flat name → source; a missing name has the class's default. None: no sources were recorded, because Python code
    made the instance or copied it with `replace` (which copies fields only). Then all values that differ from the
    class's defaults count as given."""

    def values(self) -> dict[str, Any]:
        """Field → value, with dataclasses as tables."""
        return asdict(self)

    def flat(self) -> dict[str, Any]:
        """Flat name (`mask.beta`) → value."""
        return flatten(self.values(), type(self))

    def source(self, name: str) -> str:
        """The source of the value with this flat name: "given", "mini's preset", "default" …"""
        return next((source for source, names in self.sources().items() if name in names), DEFAULT)

    def sources(self) -> dict[str, list[str]]:
        """Source → the flat names of its values. Values of None are left out."""
        names, recorded = dict[str, list[str]](), self._recorded()
        for name, value in self.flat().items():
            if value is not None:
                names.setdefault(recorded.get(name, DEFAULT), []).append(name)
        return names

    def _recorded(self) -> Mapping[str, str]:
        """Flat name → source, for all values but defaults."""
        if self._sources is not None:
            return self._sources
        class_defaults = defaults(type(self))
        return {name: GIVEN for name, value in self.flat().items() if value != class_defaults[name]}

    def changed(self: "AnySettings", source: str, **values: Any) -> "AnySettings":
        """A copy with other values for some fields. source: the name of their source. values: field → value, for fields
        that are no tables."""
        return replace(self, **values).with_sources({**self._recorded(), **dict.fromkeys(values, source)})

    def filled(self: "AnySettings", source: str, **values: Any) -> "AnySettings":
        """A copy in which these values replace None; other values stay. source, values: as in `changed`."""
        missing = {name: value for name, value in values.items() if getattr(self, name) is None and value is not None}
        return self.changed(source, **missing) if missing else self

    def with_sources(self: "AnySettings", sources: Mapping[str, str]) -> "AnySettings":
        """Record the sources of this instance's values, and return the instance. sources: flat name → source."""
        object.__setattr__(self, "_sources", sources)
        return self

    def source_lines(self) -> list[str]:
        """Lines for a dry run with all values except None: one line for each source, the defaults last."""
        flat, lines = self.flat(), list[str]()
        for source, names in sorted(self.sources().items(), key=lambda item: item[0] == DEFAULT):
            begin = "Given" if source == GIVEN else f"From {source}"
            lines.append(f"{begin}: {', '.join(f'{name} = {show_json(flat[name])}' for name in names)}")
        return lines

    def to_toml(self, weights: str = "", gpu: str = "", ended: int = 0) -> str:
        """The text of seediff.toml, without values that are None.

        Args:
            weights: the fingerprint of the model's weights; "": unknown.
            gpu: the name of the GPU; "": unknown, or none.
            ended: as in `RunConfig.notes`; 0: the run was not ended early.
        """
        notes, sources = {"command": self.command, "version": __version__}, self.sources()
        sources.pop(DEFAULT, None)
        more = {"weights": weights, "gpu": gpu, "ended": ended}
        notes |= {name: value for name, value in more.items() if value}
        return tomli_w.dumps({**notes, **_without_none(self.values()), "sources": sources})


@dataclass(frozen=True, kw_only=True)
class RunConfig(Settings):
    """A configuration of a command that runs a model, batch by batch."""

    notes: ClassVar[tuple[str, ...]] = (*Settings.notes, "weights", "gpu", "ended")
    """`weights` is the fingerprint of the model's weights, `gpu` the name of the GPU, and `ended` the number of items
    that a run made before somebody ended it early."""
    deciding: ClassVar[tuple[str, ...]] = ("model", "base", "lora", "mask.method", "segment.method")
    presets: ClassVar[tuple[str, ...]] = ("model", "paper")
    """What --preset may be, besides a file of `seediff tune`."""
    last_file: ClassVar[str]
    """The file that a run writes last. An output folder with this file is complete."""

    model: Annotated[str, OF_MODEL] = "mini"
    """A name from `seediff models`, a local folder, a hub id, or a .safetensors or .gguf file."""
    base: Annotated[str | None, OF_MODEL] = None
    """Base model that supplies what a single file or a network lacks; by default found from its tensors."""
    lora: Annotated[str | None, OF_MODEL] = None
    """LoRA on top of the model: a .safetensors file, a folder with one, or a hub id."""
    lora_scale: Annotated[float | None, OF_MODEL] = None
    """Strength of the LoRA: factor on its weights, 1 by default."""
    quantize: Annotated[Literal["nf4", "int8"] | None, OF_MODEL] = None
    """Fewer bits for the linear layers of the network and of language models: nf4 (bitsandbytes) or int8 (torchao)."""
    vae_tiling: Annotated[bool, OF_MODEL] = False
    """Encode and decode large images in overlapping tiles. Needs less memory; blends edges."""
    batch_size: Annotated[Count, OF_MODEL] = 8
    """Images per batch; by default fewer if 8 do not fit into the GPU's memory. Changes rounding, so it is part of
    the configuration."""
    seed: Annotated[Seed, OF_MODEL] = 0
    """Random seed; a different seed gives different results."""
    device: Annotated[Device | None, OF_MODEL] = None
    """Device: cuda, mps or cpu; by default the fastest available."""
    dtype: Annotated[DType | None, OF_MODEL] = None
    """Number format; by default 16-bit on cuda, else float32."""
    threads: Annotated[Count | None, OF_MODEL] = None
    """CPU threads; by default torch's choice. Changes rounding, so it is part of the configuration."""

    def __post_init__(self) -> None:
        check_fields(self)
        most = max(256, 4 * (os.cpu_count() or 1))  # thousands crash the process, without a message
        if self.threads is not None and self.threads > most:
            raise UserError("threads", f"{self.threads} is more than {most}", "use as many as the machine has cores")

    @property
    def model_label(self) -> str:
        """The model's name in rows and on pages. For a local folder it is the last part of the path, so that outputs do
        not reveal where the folder is."""
        return model_label(self.model)

    def extends(self, earlier: "RunConfig") -> bool:
        """Whether this configuration makes all samples of an earlier configuration, and more."""
        return False

    def batches(self, count: int) -> list[range]:
        """The positions of each batch's items: 5 items in batches of 2 → 0–1, 2–3, 4. count: the number of items."""
        return [range(start, min(start + self.batch_size, count)) for start in range(0, count, self.batch_size)]


AnySettings = TypeVar("AnySettings", bound=Settings)
Config = TypeVar("Config", bound=RunConfig)


def model_label(model: str) -> str:
    """The last part of a local folder's path; any other name as it is."""
    # os.path.exists is False for a name that is too long
    return real(model).name if os.path.exists(model) else model


@lru_cache
def defaults(kind: type) -> dict[str, Any]:
    """Flat name → the default in the class."""
    table: dict[str, Any] = {field_.name: field_.default for field_ in fields(kind)}
    table |= {name: asdict(part()) for name, part in tables_of(kind).items()}
    return flatten(table, kind)


def differences(old: Settings, new: Settings) -> list[str]:
    """Texts `name: old → new` for all values that differ between two configurations. If there are none, both
    configurations make the same bytes."""
    before, after = old.flat(), new.flat()
    return [f"{key}: {_text(before[key])} → {_text(after[key])}" for key in before if before[key] != after[key]]


def _text(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value) or "''"


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in table.items() if v is not None}
