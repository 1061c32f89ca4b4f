"""Makes the configuration of a run, for the command line (`configure_run`) and for Python (`recommend`): finds the
model among what people chose, and puts what they chose over what the model and the method decide (`usual_values`)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tomli_w

from .. import __version__
from ..errors import UserError
from ..files.outputs import CONFIG
from ..files.reading import fit, read_toml
from ..models.describe import ModelInfo, ModelSettings, Preset, describe
from ..models.locate import EMBEDDED, REAL, locate
from .class_names import other_word, reading_key
from .fields import check_names, field_types, flatten, tables_of
from .methods import METHOD_FACTS, MaskConfig, MethodFacts, SegmentConfig
from .settings import Config, build, choose, read_config

ALL_LEVELS = (8, 4, 2, 1)
"""The paper's "all resolutions" (supplement S2.5), which CA, CAA, CRE and DAAM read. The default leaves out 8, which
small models lack."""


def configure_run(
    kind: type[Config],
    typed: Mapping[str, Any],
    file: Path | None = None,
    *,
    preset: str = "model",
    model: ModelInfo | None = None,
    planned: bool = False,
    out: Path | None = None,
) -> tuple[Config, ModelInfo | None]:
    """(configuration, model) of a command that runs a model. The model is None if its files cannot be fetched.

    kind: the command's configuration.
    typed: flat name → value, or tables, from the command line or Python; the class `all` stands for all classes of a
        small model.
    file: a TOML file with further values.
    preset: "model" for the constants tuned for this model, "paper" for the papers', or a file of `seediff tune`.
    model: the model, if the caller has it; otherwise the values name it.
    planned: whether this is a dry run, which asks the hub only about models without a short name.
    out: the folder of a command for photographs. If a run has begun there, and nobody names a model, the run's model is
        used.
    Raises UserError.
    """
    # 1. What people chose: a file of `seediff tune` chooses its model and method
    chosen, given = choose(kind, typed, file, people_only=preset != "model")
    tuned, more = Preset(), dict[str, Any]()
    if preset not in kind.presets:
        tuned = read_preset(preset, *kind.presets)
        more = {"model": tuned.model, "mask.method": tuned.method}
    elif out is not None and "model" not in chosen:
        with suppress(UserError):  # no run has begun
            begun, _ = read_config(out / CONFIG, kind)
            more = {name: begun.get(name) for name in ("model", "base")}
    more = {name: value for name, value in more.items() if value}
    chosen = more | chosen

    # 2. The model, and the classes that it knows
    name = str(chosen.get("model", kind.model))
    if not name:
        raise no_model()
    if model is None:
        files = locate(name, chosen.get("base"))
        try:
            files.fetch_configurations(planned=planned)
        except UserError:
            pass  # loading reports later that its small files cannot be fetched
        else:
            model = describe(files)
    settings = ModelSettings() if model is None else model.settings
    if chosen.get("classes") == ("all",):
        if not settings.classes:
            problem = f"all: model '{name}' is not limited to a list of classes"
            raise UserError("classes", problem, "name those that you want")
        chosen["classes"] = settings.classes

    # 3. The other values
    usual = usual_values(kind, chosen, name, model, tuned, paper=preset == "paper")
    usual["subclasses"] = model_words(chosen, settings)
    config = build(kind, usual | chosen, {*given, *more})
    return _spelled(config, settings).changed(tuned_for=tuned.model), model


def model_words(chosen: Mapping[str, Any], settings: ModelSettings) -> tuple[str, ...]:
    """The model's words for classes that it knows by another name: `aeroplane` for `airplane`. They stand in prompts in
    the classes' place, as subclasses. chosen: flat name → value. Raises UserError if prompts name their classes
    themselves."""
    known = {reading_key(name) for name in settings.classes or ()}
    words = {name: other_word(name) for name in chosen.get("classes", ())}
    words = {name: word for name, word in words.items() if reading_key(name) not in known and word in known}
    if words and not all("{class}" in prompt for prompt in chosen.get("prompts", ())):
        named = ", ".join(f"{name}={word}" for name, word in words.items())
        raise UserError("classes", f"the model has other words ({named}), and prompts name classes", "use its words")
    return tuple(words.values())


def usual_values(
    kind: type[Config], chosen: Mapping[str, Any], name: str, model: ModelInfo | None, tuned: Preset, *, paper: bool
) -> dict[str, Any]:
    """Flat name → value, for what nobody chose: what the model and the method decide.

    kind: the configuration.
    chosen: flat name → value, from people.
    name: the model's name, as the user gave it.
    model: None if its files are unknown.
    tuned: from `seediff tune`.
    paper: whether to use the papers' constants instead of those tuned for this model.
    """
    own, authors = Preset(), dict[str, Any]()
    if model is not None:
        own = model.settings.preset or own
        is_known = not paper and None not in (own.steps, own.guidance_scale)
        if "steps" in field_types(kind) and not (is_known or {"steps", "guidance_scale"} <= chosen.keys()):
            # Imports diffusers. What is usual for any model does not outrank a method's own values
            authors = {name: value for name, value in model.defaults().items() if value != getattr(kind, name)}
    if paper:
        own = Preset(presence=own.presence, name_threshold=own.name_threshold)  # the papers have none
    method = chosen.get("mask.method") or own.method or MaskConfig.method
    facts, segmenter = METHOD_FACTS.get(method, MethodFacts()), chosen.get("segment.method", SegmentConfig.method)
    # An embedded model may be named by its folder.
    short_name = next((short for short, folder in EMBEDDED.items() if str(folder) == name), name)
    all_levels = facts.all_levels or chosen.get("mask.expansion") in ("parallel", "none")
    weakest_first: list[Mapping[str, Any]] = [
        {"capture.steps": own.capture_steps} if "steps" in field_types(kind) else {},  # photographs have no steps
        facts.defaults,
        {"mask.expand_levels": ALL_LEVELS} if paper and all_levels else {},
        authors,
        {} if paper else facts.models.get(short_name, {}),
        preset_values(own, method, segmenter),
        {"guidance_scale": None if chosen.get("classes_per_image", 1) == 1 else own.guidance_of_several},
        preset_values(tuned, method, segmenter),
    ]
    usual = dict[str, Any]()
    for values in weakest_first:
        usual |= {key: value for key, value in flatten(values).items() if value is not None}
    return usual


def preset_values(preset: Preset, method: str, segmenter: str) -> dict[str, Any]:
    """Field → value or None, with tables: the values of a preset for a mask method and a segment method."""
    table = {**vars(preset), **preset.methods.get(method, {}), "segment": preset.segments.get(segmenter, {})}
    return {**table, "model": None, "mask": {"method": preset.method, **table.get("mask", {})}}


def read_preset(path: Path | str, *others: str) -> Preset:
    """The constants in a file that `seediff tune` wrote. others: what --preset may be instead. Raises UserError."""
    if not Path(path).is_file():
        raise UserError("preset", f"{path} must be {', '.join(others)} or a file of `seediff tune`; no such file")
    preset = fit(read_toml(path), Preset, str(path))
    if not preset.model:
        raise UserError(path, "is not a file of `seediff tune`: it names no model")
    return preset


def preset_toml(preset: Preset) -> str:
    """The text of a file that `read_preset` reads."""
    values = {name: value for name, value in vars(preset).items() if value not in (None, "", {})}
    return tomli_w.dumps({"command": "tune", "version": __version__, **values})


def no_model() -> UserError:
    """The error for a command for photographs that is given no model."""
    smallest = f"such as --model {REAL}, the smallest (a download of 2.1 GB for a GPU, 4.3 GB for a CPU)"
    return UserError(f"photographs need a real model, {smallest}; mini is for its own drawings")


def _spelled(config: Config, settings: ModelSettings) -> Config:
    """The configuration with its classes, or its names of segments, spelled as the model's list of words spells them:
    `Dog` → `dog`. Words that the list lacks stay as they are."""
    by_reading = {reading_key(word): word for word in settings.words or ()}
    for field in ("classes", "names"):
        words = getattr(config, field, ())
        spelled = tuple(by_reading.get(reading_key(word), word) for word in words)
        if spelled != words:
            config = config.changed(**{field: spelled})
    return config


def recommend(
    kind: type[Config], values: Mapping[str, Any], model: ModelInfo | None = None
) -> tuple[Config, ModelInfo | None]:
    """(configuration, model) for Python code, as `configure_run` makes them for the command line.

    kind: the configuration.
    values: field → value. The value of a table, such as `mask`, is a mapping or a whole MaskConfig. A table's field may
        also be a key of `values`: `beta=0.4` means `mask={"beta": 0.4}`.
    model: the model, if the caller has it.
    Raises UserError.
    """
    table = {**values}
    for name, part in tables_of(kind).items():
        given = values.get(name, {})
        if isinstance(given, part):
            given = asdict(given)
        if not isinstance(given, Mapping):
            raise UserError(name, f"must be a {part.__name__} or a table of its fields, not {given!r}")
        check_names(part, given, name)
        direct = values.keys() & field_types(part).keys() - field_types(kind).keys()
        table[name] = {**given, **{key: table.pop(key) for key in direct}}
    check_names(kind, table, kind.__name__)
    return configure_run(kind, table, model=model)
