"""Makes the configuration of a run from values of several sources: `configure_run`. Its steps:

    the command line, files ─given_values─▶ what people chose ─find_described─▶ the model, by its name
                            ─ranked_sources─▶ all sources, the strongest first, also the model's and the method's
                            ─resolve─▶ the configuration: each value from the first source that has it

Sources name their values by flat names, such as `mask.beta` (`fields.flatten`). If an output's seediff.toml is combined
with another model or method, what people chose stays, and the other values are resolved again.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UserError
from ..files.documents import fit, read_toml
from ..files.messages import show_bytes
from ..files.outputs import CONFIG
from ..models.describe import ModelInfo, ModelSettings, describe
from ..models.model_files import fetch_configurations, locate_model
from ..models.sampling import values_of_file
from ..models.short_names import BY_NAME, EMBEDDED, REAL
from .class_names import reading_key
from .fields import check_names, check_table, field_types, flatten, tables_of
from .method_constants import MaskConfig, SegmentConfig
from .methods import METHOD_FACTS, MethodFacts
from .presets import MethodConstants, Preset, Tuned, read_preset, read_tuned
from .settings import DEFAULT, GIVEN, TUNED, AnySettings, Config, Settings, SourcedValues, defaults, model_label

Made = TypeVar("Made")
ALL_LEVELS = (8, 4, 2, 1)
"""The paper's "all resolutions" (supplement S2.5), which CA, CAA, CRE and DAAM read. The default leaves out 8, which
small models lack."""
NOTHING = SourcedValues("", {})


def configure_run(
    kind: type[Config],
    line: Mapping[str, Any],
    file: Path | None = None,
    *,
    constants: str = "model",
    tuned: Tuned | None = None,
    model: ModelInfo | None = None,
    planned: bool = False,
    out: Path | None = None,
) -> tuple[Config, ModelInfo | None]:
    """(configuration, model) of a command that runs a model. The model is None if its files cannot be fetched.

    kind: the command's configuration. line: flat name → value, or tables, from the command line or Python; the class
    `all` stands for all classes of a small model. file: a TOML file with further values. constants: "model" or "paper",
    as in `ranked_sources`. tuned: thresholds from a file of `seediff tune`. model: the model, if the caller has it;
    otherwise the values name it. planned: whether this is a dry run, which asks the hub only about models without a
    short name. out: the output's folder. If a run has begun there, and nobody names a model, the run's model is used.
    Raises UserError.
    """
    # 1. What people chose, the strongest first
    chosen = given_values(kind, line, file, people_only=constants != "model" or tuned is not None)
    given = strongest(chosen)
    if tuned is not None:
        chosen.append(tuned.sourced(kind.command, given))
    elif out is not None and not kind.model and "model" not in given:
        chosen.append(_begun_model(kind, out))
    given = strongest(chosen)

    # 2. The model, and the classes that it knows
    name = str(given.get("model", kind.model))
    if not name:
        raise no_model()
    if model is None:
        model = find_described(name, given.get("base"), planned)
    settings = ModelSettings() if model is None else model.settings
    if given.get("classes") == ("all",):
        if not settings.classes:
            problem = f"all: model '{name}' is not limited to a list of classes"
            raise UserError("classes", problem, "name those that you want")
        chosen = [SourcedValues(GIVEN, {"classes": settings.classes}), *chosen]

    # 3. The other values
    config = resolve(kind, ranked_sources(kind, chosen, name, model, constants))
    return _spelled(config, settings), model


def ranked_sources(
    kind: type[Settings],
    chosen: Sequence[SourcedValues],
    name: str,
    model: ModelInfo | None,
    constants: str = "model",
) -> list[SourcedValues]:
    """All sources of a configuration's values, the strongest first. What no source has, the dataclasses' defaults fill
    in, which are the papers' constants.

    kind: the configuration. chosen: the sources that people chose. name: the model's name, as the user gave it. model:
    None if its files are unknown. constants: "model" for the constants tuned for this model, "paper" for the papers'.
    Raises UserError for a broken preset.
    """
    # An embedded model may be named by its folder.
    short_name = next((short for short, folder in EMBEDDED.items() if str(folder) == name), name)
    given, paper = strongest(chosen), constants == "paper"
    preset, distilled, authors = Preset(), NOTHING, NOTHING
    if model is not None:
        preset = read_preset(model.settings.preset, model.settings.path)
        distilled = _distilled(model, name, given.get("lora"))
        authors = SourcedValues(f"the authors of {model.family.title}", flatten(model.defaults()))
    if paper:
        preset = Preset(presence=preset.presence, name_threshold=preset.name_threshold)  # the papers have none

    method = given.get("mask.method") or preset.method or MaskConfig.method
    facts = METHOD_FACTS.get(method, MethodFacts())  # MaskConfig refuses an unknown name
    in_preset = preset.values(tables_of(kind), method, given.get("segment.method", SegmentConfig.method))
    of_preset, of_method = f"{model_label(short_name)}'s preset", f"method {method}"
    # 1. The command line or Python, then a file (--config), then a file of `seediff tune` (--preset FILE)
    # 2. What the model, or its LoRA, was distilled for
    # 3. The model's preset, with its constants for the method
    ranked = [*chosen, distilled, SourcedValues(of_preset, in_preset)]
    # 4. The method's constants for the model
    if not paper:
        ranked.append(SourcedValues(f"{of_method} for {short_name}", flatten(facts.models.get(short_name, {}))))
    # 5. The authors of the model's family
    ranked.append(authors)
    # 6. With --preset paper, for some methods: all levels
    if paper and (facts.all_levels or given.get("mask.expansion") in ("parallel", "none")):
        ranked.append(SourcedValues("the paper", {"mask.expand_levels": ALL_LEVELS}))
    # 7. The method
    ranked.append(SourcedValues(of_method, flatten(facts.defaults)))
    # 8. The model's preset again: the steps to capture, for drawings. A method's own steps count more.
    if preset.capture_steps is not None and "steps" in field_types(kind):
        ranked.append(SourcedValues(of_preset, {"capture.steps": preset.capture_steps}))
    return ranked


def _begun_model(kind: type[Config], out: Path) -> SourcedValues:
    """The model of an unfinished or complete run in the folder `out`, as a given value; empty without such a run."""
    with suppress(UserError):
        begun = strongest(read_file(out / CONFIG, kind))
        return SourcedValues(GIVEN, {name: begun[name] for name in ("model", "base") if name in begun})
    return NOTHING


def _distilled(model: ModelInfo, name: str, lora: str | None) -> SourcedValues:
    """The values for which weights were distilled: the LoRA's, or else those of the single file that replaces the
    model's network. Empty for other weights. name: the model's name."""
    for source in filter(None, (lora, name if model.files.replacement else None)):
        values = values_of_file(model.family, source)
        if values:
            return SourcedValues(f"what {Path(source).name} was distilled for", values)
    return NOTHING


def find_described(name: str, base: str | None, planned: bool) -> ModelInfo | None:
    """The description of a model. None if its small files cannot be fetched, which loading reports later. base: the
    model that supplies what a single file lacks. planned: as in `configure_run`. Raises UserError for a name without a
    model."""
    files = locate_model(name, base)
    try:
        fetch_configurations(files, planned=planned)
    except UserError:
        return None
    return describe(files)


def no_model() -> UserError:
    """The error for a command for photographs that is given no model."""
    real = BY_NAME[REAL]
    gpu, cpu = (show_bytes(real.weight_bytes(dtype)) for dtype in ("float16", "float32"))
    smallest = f"such as --model {REAL}, the smallest (a download of {gpu} for a GPU, {cpu} for a CPU)"
    return UserError(f"photographs need a real model, {smallest}; mini is for its own drawings")


def _spelled(config: Config, settings: ModelSettings) -> Config:
    """The configuration with its classes, or its names of segments, spelled as the model's list of words spells them:
    `Dog` → `dog`. Words that the list lacks stay as they are."""
    by_reading = {reading_key(word): word for word in settings.words or ()}
    for field in ("classes", "names"):
        words = getattr(config, field, ())
        spelled = tuple(by_reading.get(reading_key(word), word) for word in words)
        if spelled != words:
            config = config.changed(GIVEN, **{field: spelled})
    return config


def given_values(
    kind: type[Settings], line: Mapping[str, Any], file: Path | None, *, people_only: bool = False
) -> list[SourcedValues]:
    """The values of the command line or of Python, then the values of a configuration file, by source.

    kind: the configuration. line: flat name → value, or tables. file: a TOML file; None: no file. people_only: whether
    to keep only what a person chose in the file (`chosen_by_people`), which also happens if `line` names another model
    or method than the file. Raises UserError.
    """
    line, in_file = flatten(line, kind), list[SourcedValues]()
    if file is not None:
        in_file = read_file(file, kind)
        values = strongest(in_file)
        if people_only or any(line[name] != values.get(name) for name in kind.deciding if name in line):
            in_file = chosen_by_people(in_file, kind)
    return [SourcedValues(GIVEN, line), *in_file]


def read_file(path: Path, kind: type[Settings]) -> list[SourcedValues]:
    """The values of a configuration file by source, the strongest first. In a file written by hand, all values count as
    given. An output's seediff.toml names the sources of its values, and what it leaves out is a default. Raises
    UserError for wrong values, and for the output of another command."""
    table = read_toml(path)
    command = table.get("command", kind.command)
    if command != kind.command:
        raise UserError(path, f"is the configuration of `seediff {command}`, not of `seediff {kind.command}`")
    for key in kind.notes:
        table.pop(key, None)
    sources = table.pop("sources", None)
    values = flatten(check_table(kind, table, str(path)), kind)
    if sources is None:
        return [SourcedValues(GIVEN, values, str(path))]
    ranked = list[SourcedValues]()
    for source, names in fit(sources, dict[str, tuple[str, ...]], f"{path} [sources]").items():
        ranked.append(SourcedValues(source, {name: values.pop(name) for name in names if name in values}, str(path)))
    class_defaults = {name: value for name, value in defaults(kind).items() if value is not MISSING}
    return [*ranked, SourcedValues(DEFAULT, {**class_defaults, **values}, str(path))]


def chosen_by_people(ranked: Sequence[SourcedValues], kind: type[Settings]) -> list[SourcedValues]:
    """The values of a file that a person chose: the given values, the model, and from a file of `seediff tune` also the
    method. ranked: all values of the file. kind: the configuration."""
    chosen = list[SourcedValues]()
    for source, values, where in ranked:
        if source != GIVEN:
            names = kind.deciding if source.startswith(TUNED) else ("model",)
            values = {name: values[name] for name in names if name in values}
        chosen.append(SourcedValues(source, values, where))
    return chosen


def split_preset(preset: str, *names: str) -> tuple[str, Tuned | None]:
    """(constants, tuned), the arguments of `configure_run`, from the value of --preset. names: the allowed values other
    than files, such as "paper". Raises UserError for any other value that is not a file of `seediff tune`."""
    if preset in names:
        return preset, None
    if not Path(preset).is_file():
        problem = f"{preset} must be {', '.join(names)} or a file of `seediff tune`; no such file"
        raise UserError("preset", problem)
    return "model", read_tuned(Path(preset))


def strongest(ranked: Sequence[SourcedValues]) -> dict[str, Any]:
    """Flat name → its value in the first source that has it. ranked: the strongest source first."""
    return dict(ChainMap(*(dict(source.values) for source in ranked)))


def resolve(kind: type[AnySettings], ranked: Sequence[SourcedValues]) -> AnySettings:
    """The configuration in which each value comes from the first source that has it. kind: its class. ranked: the
    strongest source first. Raises UserError, with the source's name, for a wrong value."""
    source_of: dict[str, SourcedValues] = {}
    for source in reversed(ranked):
        source_of |= dict.fromkeys(source.values, source)
    parts, names = tables_of(kind), {field.name for field in fields(kind)}
    table: dict[str, Any] = {name: {} for name in parts}
    for name, source in source_of.items():
        part, _, inner = name.rpartition(".")
        if part in parts:
            table[part][inner] = source.values[name]
        elif name in names:  # presets serve several commands, and each command takes the fields that it has
            table[name] = source.values[name]
    if "classes" in names and "classes" not in table:
        example = "for example --classes dog,cat (or --classes voc, or a file with one per line)"
        raise UserError("classes", "name at least one", example)
    table |= {name: _make(part, table[name], f"{name}.", source_of) for name, part in parts.items()}
    config = _make(kind, table, "", source_of)
    return config.with_sources({name: source.source for name, source in source_of.items()})


def _make(kind: type[Made], values: Mapping[str, Any], prefix: str, source_of: Mapping[str, SourcedValues]) -> Made:
    """An instance of a dataclass. values: field → value. prefix: what its fields' flat names begin with, such as
    `mask.`. source_of: flat name → the source with the value. Raises UserError as `resolve` does."""
    try:
        return kind(**values)
    except UserError as error:
        if not error.problem:
            raise
        name, problem = f"{prefix}{error.subject}", error.problem
        source = source_of.get(name, NOTHING)
        place = source.where or source.source
        if place not in ("", GIVEN):
            problem += f" ({place})"
        raise UserError(name, problem, error.fix) from None


def recommend(
    kind: type[Config], values: Mapping[str, Any], model: ModelInfo | None = None
) -> tuple[Config, ModelInfo | None]:
    """(configuration, model) for Python code, as `configure_run` makes them for the command line.

    kind: the configuration. values: field → value. The value of a table, such as `mask`, is a mapping or a whole
    MaskConfig. A table's field may also be a key of `values`: `beta=0.4` means `mask={"beta": 0.4}`. model: the model,
    if the caller has it. Raises UserError.
    """
    parts, table = tables_of(kind), {**values}
    direct: dict[str, dict[str, Any]] = {name: {} for name in parts}  # table → fields given without it, such as beta
    for key in values.keys() - field_types(kind).keys():
        for name, part in parts.items():
            if key in field_types(part):
                direct[name][key] = table.pop(key)
    check_names(kind, table, kind.__name__)
    for name, part in parts.items():
        given = values.get(name, {})
        if isinstance(given, part):
            given = asdict(given)
        if not isinstance(given, Mapping):
            raise UserError(name, f"must be a {part.__name__} or a table of its fields, not {given!r}")
        check_names(part, given, name)
        table[name] = {**given, **direct[name]}
    return configure_run(kind, table, model=model)


def own_constants(pipe: Any, method: str) -> tuple[MaskConfig, dict[str, Any]]:
    """(mask, capture) for a pipeline: a mask method's constants, and the fields of CaptureConfig with which they were
    tuned. If nothing was tuned for the pipeline's model, `mask` has the constants of the method's paper, and `capture`
    is empty.

    pipe: a diffusers pipeline. method: the mask method. Raises UserError.
    """
    config = MaskConfig(method=method)
    folder = getattr(pipe, "name_or_path", None)  # None if the pipeline was built from its parts
    if folder and Path(folder, "seediff.json").exists():
        model = describe(locate_model(str(folder)))
        if model.settings.preset:
            chosen = [SourcedValues(GIVEN, {"mask.method": method})]
            own = resolve(MethodConstants, ranked_sources(MethodConstants, chosen, model.name, model))
            return own.mask, {name: getattr(own.capture, name) for name in ("normalize", "layers", "mean")}
    return replace(config, **config.facts.defaults.get("mask", {})), {}


def load_config(path: Path, kind: type[AnySettings]) -> AnySettings:
    """The configuration in a TOML file, such as an output's seediff.toml. kind: its class. Raises UserError."""
    return resolve(kind, read_file(path, kind))
