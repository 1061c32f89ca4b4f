"""The configuration of a run from values of several sources. `ranked_sources` lists the sources, the strongest first: a
value comes from the first source that has it. `resolve` merges them by flat names (`fields.flatten`).

A person's values are those of the command line, a file, or Python. If an output's seediff.toml is combined with another
model or method, these stay, and the other values are resolved again.

The model's constants are needed for this, so `configure_run` also finds the model, and returns it.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..errors import UserError
from ..files.documents import fit, read_toml
from ..files.messages import show_bytes
from ..files.outputs import CONFIG
from ..models.describe import ModelInfo, ModelSettings, describe
from ..models.distilled import values_of_file
from ..models.model_files import fetch_configurations, locate_model
from ..models.short_names import BY_NAME, EMBEDDED, REAL
from .class_names import reading_key
from .fields import check_names, check_table, field_types, flatten, tables_of
from .method_constants import MaskConfig, SegmentConfig
from .methods import METHOD_FACTS, MethodFacts
from .presets import MethodConstants, Preset, Tuned, read_preset, read_tuned
from .settings import DEFAULT, GIVEN, TUNED, AnySettings, Config, Settings, SourcedValues, defaults, model_label

Made = TypeVar("Made")
ABOUT = ("command", "version", "weights")
"""Keys of an output's seediff.toml that are not part of the configuration. `weights` is the fingerprint of the model's
weights."""
DECIDING = ("model", "base", "lora", "mask.method", "segment.method", "architecture", "backbone", "weights")
"""Fields that decide the defaults of other fields."""
ALL_LEVELS = (8, 4, 2, 1)
"""The paper's "all resolutions" (supplement S2.5), which CA, CAA, CRE and DAAM read. The default leaves out 8, which
small models lack."""
NOTHING = SourcedValues("", {})


class Choices(NamedTuple):
    """The values that people chose, by source."""

    line: SourcedValues
    """The command line, or Python."""
    file: Sequence[SourcedValues] = ()
    """The values of a configuration file: one entry, or for an output's seediff.toml one entry per source in it."""
    tuned: SourcedValues = NOTHING
    """The values of a file of `seediff tune`."""

    def values(self) -> dict[str, Any]:
        """Flat name → the strongest value."""
        return strongest([self.line, *self.file, self.tuned])


def ranked_sources(
    kind: type[Settings], chosen: Choices, name: str, model: ModelInfo | None, constants: str = "model"
) -> list[SourcedValues]:
    """All sources of a configuration's values, the strongest first. The dataclasses' defaults, which are the papers',
    fill in what no source has.

    name: the model's, as it was given. model: None if nothing is known of it. constants: "model" for the model's own
    constants, "paper" for the papers'. Raises UserError for a broken preset.
    """
    known_as = next((short for short, folder in EMBEDDED.items() if str(folder) == name), name)
    given, paper = chosen.values(), constants == "paper"
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
    for_model, all_levels, captured_steps = dict[str, Any](), dict[str, Any](), dict[str, Any]()
    if not paper:
        for_model = flatten(facts.models.get(known_as, {}))
    elif facts.all_levels or given.get("mask.expansion") in ("parallel", "none"):
        all_levels = {"mask.expand_levels": ALL_LEVELS}
    if preset.capture_steps is not None and "steps" in field_types(kind):  # photographs are not drawn in steps
        captured_steps = {"capture.steps": preset.capture_steps}
    of_preset, of_method = f"{model_label(known_as)}'s preset", f"method {method}"
    return [
        chosen.line,  # 1. The command line, or Python
        *chosen.file,  # 2. A file (--config)
        chosen.tuned,  # 3. A file of `seediff tune` (--preset FILE)
        distilled,  # 4. What the model, or its LoRA, was distilled for
        SourcedValues(of_preset, in_preset),  # 5. The model's preset, with its constants for the method
        SourcedValues(f"{of_method} for {known_as}", for_model),  # 6. The method's constants for the model
        authors,  # 7. The authors of the model's family
        SourcedValues("the paper", all_levels),  # 8. With --preset paper, for some methods: all levels
        SourcedValues(of_method, flatten(facts.defaults)),  # 9. The method
        SourcedValues(of_preset, captured_steps),  # 10. The model's preset: the steps to capture
    ]  # 11. The dataclasses' defaults


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
    """(configuration, model) of a command that runs a model. model: None if nothing is known of it yet.

    line, file: as in `given_values`; the class `all` stands for all of a small model's. constants: as in
    `ranked_sources`. tuned: thresholds that take precedence over these. model: if it was found already; otherwise its
    name finds it. planned: as in `fetch_configurations`. out: the output's folder; an output that was begun there names
    the model of a command that has no default. Raises UserError.
    """
    # 1. What people chose, which names the model
    typed, *in_file = given_values(kind, line, file, people_only=constants != "model" or tuned is not None)
    chosen = Choices(typed, in_file)
    if tuned is not None:
        chosen = chosen._replace(tuned=tuned.sourced(kind.command, chosen.values()))
    elif out is not None and not kind.model and "model" not in chosen.values():
        chosen = chosen._replace(file=[*in_file, _begun_model(kind, out)])
    given = chosen.values()

    # 2. The model, with its words and constants
    name = str(given.get("model", kind.model))
    if not name:
        raise no_model()
    if model is None:
        model = _find_model(name, given.get("base"), planned)
    settings = ModelSettings() if model is None else model.settings
    if given.get("classes") == ("all",):
        if not settings.classes:
            problem = f"all: model '{name}' is not limited to a list of classes"
            raise UserError("classes", problem, "name those that you want")
        chosen = chosen._replace(line=SourcedValues(GIVEN, {**typed.values, "classes": settings.classes}))

    # 3. The values
    config = resolve(kind, ranked_sources(kind, chosen, name, model, constants))
    return _spelled(config, settings), model


def _begun_model(kind: type[Config], out: Path) -> SourcedValues:
    """The model that an unfinished or complete run in a folder has, as a given value. Empty without such a run."""
    with suppress(UserError):
        begun = strongest(read_file(out / CONFIG, kind))
        return SourcedValues(GIVEN, {name: begun[name] for name in ("model", "base") if name in begun})
    return NOTHING


def _distilled(model: ModelInfo, name: str, lora: str | None) -> SourcedValues:
    """The values for which the LoRA was distilled, or else the single file that replaces the model's network."""
    for source in filter(None, (lora, name if model.files.replacement else None)):
        values = values_of_file(model.family, source)
        if values:
            return SourcedValues(f"what {Path(source).name} was distilled for", values)
    return NOTHING


def _find_model(name: str, base: str | None, planned: bool) -> ModelInfo | None:
    """The model with this name. None if the hub does not deliver its small files; loading reports that later. planned:
    as in `fetch_configurations`. Raises UserError for a name without a model."""
    files = locate_model(name, base)
    try:
        fetch_configurations(files, planned=planned)
    except UserError:
        return None
    return describe(files)


def no_model() -> UserError:
    """The error for a command for photographs without a model."""
    real = BY_NAME[REAL]
    gpu, cpu = (show_bytes(real.weight_bytes(dtype)) for dtype in ("float16", "float32"))
    smallest = f"such as --model {REAL}, the smallest (a download of {gpu} for a GPU, {cpu} for a CPU)"
    return UserError(f"photographs need a real model, {smallest}; mini is for its own drawings")


def _spelled(config: Config, settings: ModelSettings) -> Config:
    """The configuration with its classes, or names of segments, spelled as in the model's list of words, if the model
    has a list: `Dog` → `dog`."""
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
    """The values of the command line or of Python, then those of a configuration file, by source.

    line: flat name → value, or tables. file: a TOML file; None: no file. people_only: keep only what a person chose in
    the file (`chosen_by_people`), as for a line that names another model or method. Raises UserError.
    """
    line, in_file = flatten(line, kind), list[SourcedValues]()
    if file is not None:
        in_file = read_file(file, kind)
        values = strongest(in_file)
        if people_only or any(line[name] != values.get(name) for name in DECIDING if name in line):
            in_file = chosen_by_people(in_file)
    return [SourcedValues(GIVEN, line), *in_file]


def read_file(path: Path, kind: type[Settings]) -> list[SourcedValues]:
    """The values of a configuration file by source. In a file that somebody wrote, all values count as given. The
    seediff.toml of an output names the sources of its values; the other values are defaults. Raises UserError for wrong
    values, and for the output of another command."""
    table = read_toml(path)
    command = table.get("command", kind.command)
    if command != kind.command:
        raise UserError(path, f"is the configuration of `seediff {command}`, not of `seediff {kind.command}`")
    for key in {*ABOUT} - {f.name for f in fields(kind)}:  # TrainConfig has a field named `weights`
        table.pop(key, None)
    named = table.pop("sources", None)
    values = flatten(check_table(kind, table, str(path)), kind)
    if named is None:
        return [SourcedValues(GIVEN, values, str(path))]
    ranked = list[SourcedValues]()
    for source, names in fit(named, dict[str, tuple[str, ...]], f"{path} [sources]").items():
        ranked.append(SourcedValues(source, {name: values.pop(name) for name in names if name in values}, str(path)))
    usual = {name: value for name, value in defaults(kind).items() if value is not MISSING}
    return [*ranked, SourcedValues(DEFAULT, {**usual, **values}, str(path))]


def chosen_by_people(ranked: Sequence[SourcedValues]) -> list[SourcedValues]:
    """The values of a file that a person chose: the given values, those from a file of `tune` that decide about others,
    and the model."""
    chosen = list[SourcedValues]()
    for source, values, where in ranked:
        if source != GIVEN:
            names = DECIDING if source.startswith(TUNED) else ("model",)
            values = {name: values[name] for name in names if name in values}
        chosen.append(SourcedValues(source, values, where))
    return chosen


def split_preset(preset: str, *names: str) -> tuple[str, Tuned | None]:
    """(constants, tuned), the arguments of `configure_run`, from the value of --preset. names: the values that are not
    files, such as "paper". Raises UserError for a value that is neither a name nor a file."""
    if preset in names:
        return preset, None
    if not Path(preset).is_file():
        problem = f"{preset} must be {', '.join(names)} or a file of `seediff tune`; no such file"
        raise UserError("preset", problem)
    return "model", read_tuned(Path(preset))


def strongest(ranked: Sequence[SourcedValues]) -> dict[str, Any]:
    """Flat name → its value in the first source that has it."""
    return dict(ChainMap(*(dict(one.values) for one in ranked)))


def resolve(kind: type[AnySettings], ranked: Sequence[SourcedValues]) -> AnySettings:
    """The configuration from values by source, the strongest source first. Raises UserError for a wrong value, and
    names its source."""
    sources: dict[str, SourcedValues] = {}
    for one in reversed(ranked):
        sources |= dict.fromkeys(one.values, one)
    parts, names = tables_of(kind), {field.name for field in fields(kind)}
    table: dict[str, Any] = {name: {} for name in parts}
    for name, one in sources.items():
        part, _, inner = name.rpartition(".")
        if part in parts:
            table[part][inner] = one.values[name]
        elif name in names:  # presets serve several commands, and each command takes the fields that it has
            table[name] = one.values[name]
    if "classes" in names and "classes" not in table:
        example = "for example --classes dog,cat (or --classes voc, or a file with one per line)"
        raise UserError("classes", "name at least one", example)
    table |= {name: _made(part, table[name], f"{name}.", sources) for name, part in parts.items()}
    return _made(kind, table, "", sources).with_sources({name: one.source for name, one in sources.items()})


def _made(kind: type[Made], values: Mapping[str, Any], prefix: str, sources: Mapping[str, SourcedValues]) -> Made:
    """An instance of a dataclass. prefix: the table of its fields in flat names, such as `mask.`. sources: flat name →
    the source with the value. Raises UserError as `resolve` does."""
    try:
        return kind(**values)
    except UserError as error:
        if not error.problem:
            raise
        name, problem = f"{prefix}{error.subject}", error.problem
        source = sources[name].where or sources[name].source if name in sources else GIVEN
        if source != GIVEN:
            problem += f" ({source})"
        raise UserError(name, problem, error.fix) from None


def recommend(
    kind: type[Config], values: Mapping[str, Any], model: ModelInfo | None = None
) -> tuple[Config, ModelInfo | None]:
    """(configuration, model) for a program, as `configure_run` makes them for the command line.

    values: field → value. For `mask` and other tables, the value is a table of given values or a whole configuration;
    fields of tables may also be keys of `values` itself. model: if it was found already. Raises UserError.
    """
    parts, table = tables_of(kind), {**values}
    others = values.keys() - field_types(kind).keys()
    direct = {name: {key: table.pop(key) for key in others & field_types(part).keys()} for name, part in parts.items()}
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
    tuned.

    pipe: a diffusers pipeline. If the folder of its model has no constants, `mask` has the constants of the method's
    paper, and `capture` is empty. Raises UserError.
    """
    config = MaskConfig(method=method)
    folder = getattr(pipe, "name_or_path", None)  # None if the pipeline was built from its parts
    if folder and Path(folder, "seediff.json").exists():
        model = describe(locate_model(str(folder)))
        if model.settings.preset:
            chosen = Choices(SourcedValues(GIVEN, {"mask.method": method}))
            own = resolve(MethodConstants, ranked_sources(MethodConstants, chosen, model.name, model))
            return own.mask, {name: getattr(own.capture, name) for name in ("normalize", "layers", "mean")}
    return replace(config, **config.facts.defaults.get("mask", {})), {}


def load_config(path: Path, kind: type[AnySettings]) -> AnySettings:
    """The configuration in a TOML file, such as an output's seediff.toml."""
    return resolve(kind, read_file(path, kind))
