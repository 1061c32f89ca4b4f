"""What all configurations share: flat names, which values a person gave, TOML, and comparing. The bytes of an output
depend only on its configuration and the package's version.

A flat name is the name of a field together with its table: the field `beta` of the table `mask` is `mask.beta`. Values
have flat names wherever they come from: the method, the model, a file, what was typed. `build` puts the stronger over
the weaker, and makes the configuration of them (`default_sources` in resolve.py lists where a run's defaults come
from). It keeps the names of what a person gave (`given`): with another model or method, the rest is decided anew
(decision 0021). What calls it:

    load_config      of an output's own file
    configure        of what was typed, and a file
    configure_run    the same, and what the model and the method decide (resolve.py)
    recommend        the same, of Python's keyword arguments (resolve.py); `GenerateConfig.recommended` and the like
    make_config      of what was typed, a file, and what the backbone decides (train.py)
"""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

import tomli_w
from cyclopts import Parameter

from ..errors import UserError
from ..files.messages import show_json
from ..files.reading import fit, read_toml, real
from ..version import __version__
from .fields import MODEL, NO_OPTION, Count, Device, DType, Seed, check_fields, field_types, fit_field
from .other_names import own_name

OF_MODEL = Parameter(group=MODEL)
NOT_TYPED = Parameter(parse=False)
"""A parameter for a field without an option on the command line."""
UNSAID: Any = None
"""In the place of `given`, for an instance that Python code makes without it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A configuration. Making an instance reads no file."""

    command: ClassVar[str]
    other_keys: ClassVar[tuple[str, ...]] = ("command", "version")
    """Keys of an output's seediff.toml that are not fields of the configuration."""
    deciding: ClassVar[tuple[str, ...]] = ()
    """Flat names of the fields that decide the defaults of other fields."""
    needed: ClassVar[Mapping[str, str]] = {}
    """Field without a default → an example of its values, for the message if it is missing."""
    given: Annotated[tuple[str, ...], NOT_TYPED] = field(default=UNSAID, compare=False, repr=False, metadata=NO_OPTION)
    """Flat names of the values that a person gave. If Python code makes the instance without them, these are the values
    that differ from the class's defaults."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.given is UNSAID:
            usual = defaults(type(self))
            given = (name for name, value in self.values().items() if value != usual[name])
            object.__setattr__(self, "given", tuple(given))

    def values(self) -> dict[str, Any]:
        """Flat name (`mask.beta`) → value."""
        kind = type(self)
        return flatten({name: getattr(self, name) for name in field_types(kind)}, kind)

    def filled(self: "AnySettings", **values: Any) -> "AnySettings":
        """A copy in which these values replace None; other values stay."""
        return replace(self, **{name: value for name, value in values.items() if getattr(self, name) is None})

    def lines(self) -> list[str]:
        """Lines for a dry run with all values except None: those that a person gave, then the others."""
        shown = {name: f"{name} = {show_json(value)}" for name, value in self.values().items() if value is not None}
        given = [shown.pop(name) for name in self.given if name in shown]
        return [f"Given: {', '.join(given)}", f"Not given: {', '.join(shown.values())}"]

    def to_toml(self, **others: object) -> str:
        """The text of seediff.toml, without values that are None. others: values of `other_keys`; empty ones are left
        out."""
        about = {"command": self.command, "version": __version__, **others}
        about = {name: value for name, value in about.items() if value}
        known = {name: value for name, value in self.values().items() if value is not None}
        plain = {name: value for name, value in known.items() if name in field_types(type(self))}
        tables = {table: table_values(known, table) for table in tables_of(type(self))}
        return tomli_w.dumps({**about, "given": self.given, **plain, **tables})


class BatchConfig(Settings):
    """A configuration of a command that runs a network, batch by batch. It has no fields of its own: each class beneath
    declares those named here, at their places in its file."""

    other_keys: ClassVar[tuple[str, ...]] = (*Settings.other_keys, "weights", "gpu")
    """`weights` is the fingerprint of the model's weights, `gpu` the name of the GPU."""

    model: str
    batch_size: int
    device: str | None
    dtype: str | None
    threads: int | None

    @property
    def model_label(self) -> str:
        """The model's name in rows and on pages. For a local folder it is the last part of the path, so that outputs do
        not reveal where the folder is."""
        # os.path.exists is False for a name that is too long
        return real(self.model).name if os.path.exists(self.model) else self.model

    def extends(self, earlier: "BatchConfig") -> bool:
        """Whether this configuration makes all samples of an earlier configuration, and more."""
        return False

    def batches(self, count: int) -> list[range]:
        """The positions of each batch's items: 5 items in batches of 2 → 0–1, 2–3, 4. count: the number of items."""
        return [range(start, min(start + self.batch_size, count)) for start in range(0, count, self.batch_size)]


@dataclass(frozen=True, kw_only=True)
class RunConfig(BatchConfig):
    """A configuration of a command that runs a model of `load_model`."""

    deciding: ClassVar[tuple[str, ...]] = ("model", "base", "lora", "mask.method", "segment.method")
    presets: ClassVar[tuple[str, ...]] = ("model", "paper")
    """What --preset may be, besides a file of `seediff tune`."""

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


AnySettings = TypeVar("AnySettings", bound=Settings)
Config = TypeVar("Config", bound=BatchConfig)
ModelConfig = TypeVar("ModelConfig", bound=RunConfig)


@lru_cache
def tables_of(kind: type) -> dict[str, type]:
    """Field → its dataclass, for the fields that hold a dataclass: mask → MaskConfig. In TOML they are tables."""
    tables: dict[str, type] = {}
    for name, hint in field_types(kind).items():
        plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        if isinstance(plain, type) and is_dataclass(plain):
            tables[name] = plain
    return tables


def flatten(table: Mapping[str, Any], kind: type | None = None) -> dict[str, Any]:
    """Flat name → value: {"seed": 1, "mask": {"beta": 0.4}} → {"seed": 1, "mask.beta": 0.4}. table: field → value; what
    has fields of its own is a mapping or a dataclass. kind: the configuration's class. With it, mappings in fields that
    are no tables stay whole."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if is_dataclass(value):
            value = vars(value)
        if isinstance(value, Mapping) and (kind is None or name in tables_of(kind)):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    return flat


def table_values(values: Mapping[str, Any], table: str) -> dict[str, Any]:
    """Field → value of one table: of `mask`, {"seed": 1, "mask.beta": 0.4} has {"beta": 0.4}. values: flat name →
    value."""
    prefix = f"{table}."
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def check_names(kind: type, names: Iterable[str], where: str) -> None:
    """Raise UserError for a name that is not a field of a dataclass. kind: the dataclass. where: the subject of the
    message."""
    for name in names:
        if name not in field_types(kind):
            fix = f"options here: {', '.join(field_types(kind))}"
            ours = own_name(name, field_types(kind))
            if ours:
                fix = f"the name here: {ours}"
            raise UserError(where, f"there is no option '{str(name)[:200]}'", fix)


def check_table(kind: type, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Flat name → value, converted to the types of a dataclass's fields. kind: the dataclass. table: field → value, as
    read from a file. where: the file, for messages. Raises UserError for unknown names, and for values that their types
    do not allow."""
    check_names(kind, table, where)
    values = dict[str, Any]()
    for key, value in table.items():
        part = tables_of(kind).get(key)
        if part is None:
            try:
                values[key] = fit_field(key, value, field_types(kind)[key])
            except UserError as error:
                raise UserError(where, str(error)) from None
        elif isinstance(value, dict):
            values |= flatten({key: check_table(part, value, f"{where} [{key}]")})
        else:
            raise UserError(where, f"'{key}' must be a table: [{key}]")
    return values


@lru_cache
def defaults(kind: type) -> dict[str, Any]:
    """Flat name → the default in the class."""
    table: dict[str, Any] = {one.name: one.default for one in fields(kind) if one.name in field_types(kind)}
    return flatten(table | {name: part() for name, part in tables_of(kind).items()}, kind)


def build(kind: type[AnySettings], *sources: Mapping[str, Any], given: Collection[str]) -> AnySettings:
    """The configuration of these values: the only place where they get into tables.

    sources: as for `merge`; the weakest are the class's defaults.
    given: the names of what a person gave.
    Raises UserError for a wrong value.
    """
    values = merge(kind, *sources)
    for name, example in kind.needed.items():
        if name not in values:
            raise UserError(name, "name at least one", example)
    plain = {name: value for name, value in values.items() if name in field_types(kind)}
    own = tuple(name for name in defaults(kind) if name in given and name in values)
    return kind(**plain, **build_tables(kind, values), given=own)


def merge(kind: type, *sources: Mapping[str, Any]) -> dict[str, Any]:
    """Flat name → value, of all sources, the stronger later. Values of other fields than the class's are left out,
    because presets serve several commands."""
    values: dict[str, Any] = {}
    for source in sources:
        values |= {name: value for name, value in source.items() if name in defaults(kind)}
    return values


def build_tables(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Field → its dataclass, for the `tables_of` a dataclass. values: flat name → value. Raises UserError for a wrong
    value."""
    tables: dict[str, Any] = {}
    for table, part in tables_of(kind).items():
        try:
            tables[table] = part(**table_values(values, table))
        except UserError as error:
            if error.problem:
                raise UserError(f"{table}.{error.subject}", error.problem, error.fix) from None
            raise
    return tables


def read_config(path: Path, kind: type[Settings]) -> tuple[dict[str, Any], Collection[str]]:
    """(values, given) of a configuration file: flat name → value, and the names of what a person gave. In a file
    written by hand, these are all; an output's seediff.toml names them, and what it leaves out is a default. Raises
    UserError for wrong values, and for the output of another command."""
    table = read_toml(path)
    command = table.get("command", kind.command)
    if command != kind.command:
        raise UserError(path, f"is the configuration of `seediff {command}`, not of `seediff {kind.command}`")
    given = table.pop("given", None)
    values = {name: value for name, value in table.items() if name not in kind.other_keys}
    values = check_table(kind, values, str(path))
    if given is None:
        return values, values.keys()
    usual = {name: value for name, value in defaults(kind).items() if value is not MISSING}
    return {**usual, **values}, fit(given, list[str], f"{path}: given")


def load_config(path: Path, kind: type[AnySettings]) -> AnySettings:
    """The configuration in a TOML file, such as an output's seediff.toml. kind: its class. Raises UserError."""
    values, given = read_config(path, kind)
    return build(kind, values, given=given)


def read_given(
    kind: type[Settings], typed: Mapping[str, Any], file: Path | None, *, people_only: bool = False
) -> tuple[dict[str, Any], set[str]]:
    """(values, given) of a configuration file and of what was typed, which is stronger: the strongest source
    of `build`.

    kind: the configuration.
    typed: flat name → value.
    file: a TOML file; None: no file.
    people_only: whether to keep only what a person gave in the file. This also happens if `typed` names another model
        or method than the file.
    Raises UserError.
    """
    values, given = read_config(file, kind) if file else ({}, ())
    if people_only or any(typed[name] != values.get(name) for name in kind.deciding if name in typed):
        values = {name: value for name, value in values.items() if name in given}
    return {**values, **typed}, {*given, *typed}


def configure(kind: type[AnySettings], typed: Mapping[str, Any], file: Path | None = None) -> AnySettings:
    """The configuration of what was typed, of a TOML file, which is weaker, and of the class's defaults. (Where a model
    has a say, `configure_run` makes it.) The arguments are those of `read_given`. Raises UserError."""
    values, given = read_given(kind, typed, file)
    return build(kind, values, given=given)


def differences(old: Settings, new: Settings) -> list[str]:
    """Texts `name: old → new` for all values that differ between two configurations. If there are none, both
    configurations make the same bytes."""
    before = old.values()
    after = new.values()
    return [f"{key}: {show_json(before[key])} → {show_json(after[key])}" for key in before if before[key] != after[key]]
