"""Makes the configuration of a run, for the command line (`configure_run`) and for Python (`recommend`): finds the
model among what people gave, and puts what they gave over what the model and the method decide."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.names import CONFIG
from ..models.describe import THRESHOLDS, UNTUNED, ModelInfo, ModelSettings, Preset, describe_model, read_preset
from ..models.short_names import EMBEDDED, REAL
from .class_names import other_word, reading_key
from .fields import field_types
from .methods import METHOD_FACTS, MaskConfig, MethodFacts, SegmentConfig
from .settings import ModelConfig, build, check_names, flatten, read_config, read_given, tables_of

ALL_LEVELS = (8, 4, 2, 1)
"""The paper's "all resolutions" (supplement S2.5), which CA, CAA, CRE and DAAM read. The default leaves out 8, which
small models lack."""


def configure_run(
    kind: type[ModelConfig],
    typed: Mapping[str, Any],
    file: Path | None = None,
    *,
    preset: str = "model",
    model: ModelInfo | None = None,
    planned: bool = False,
    out: Path | None = None,
) -> tuple[ModelConfig, ModelInfo]:
    """(configuration, model) of a command that runs a model. This is the only place where a value given by somebody
    meets the defaults.

    kind: the command's configuration.
    typed: flat name → value, from the command line or Python; the class `all` stands for all classes of a small model.
    file: a TOML file with further values.
    preset: "model" for the constants tuned for this model, "paper" for the papers', or a file of `seediff tune`.
    model: the model, if the caller has it; otherwise the values name it.
    planned: whether this is a dry run, which asks the hub only about models without a short name.
    out: the folder of a command for photographs. If a run has begun there, and nobody names a model, the run's model is
        used.
    Raises UserError, also if the model's small files cannot be fetched.
    """
    values, given = read_given(kind, typed, file, people_only=preset != "model")
    tuned = UNTUNED if preset in kind.presets else read_preset(preset, *kind.presets)
    named = _named_elsewhere(kind, values, tuned, out)
    values = named | values

    name = str(values.get("model", kind.model))
    if not name:
        raise no_model()
    model = model or describe_model(name, values.get("base"), planned=planned)
    if values.get("classes") in (("all",), ["all"]):
        if not model.settings.classes:
            problem = f"all: model '{name}' is not limited to a list of classes"
            raise UserError("classes", problem, "name those that you want")
        values["classes"] = model.settings.classes

    defaults = default_sources(kind, values, name, model, tuned, paper=preset == "paper")
    config = build(kind, *defaults, values, given={*given, *named})
    return _spelled(config, model.settings), model


def _named_elsewhere(
    kind: type[ModelConfig], values: Mapping[str, Any], tuned: Preset, out: Path | None
) -> dict[str, Any]:
    """Flat name → value, for the model and the method that a file of `seediff tune` names, or else the run in `out`.
    They count as given, and are weaker than `values`."""
    named: dict[str, Any] = {"model": tuned.model, "mask.method": tuned.method}
    if not tuned.model and out is not None and "model" not in values:
        with suppress(UserError):  # no run has begun
            begun, _ = read_config(out / CONFIG, kind)
            named = {name: begun.get(name) for name in ("model", "base")}
    return {name: value for name, value in named.items() if value}


def default_sources(
    kind: type[ModelConfig],
    values: Mapping[str, Any],
    name: str,
    model: ModelInfo,
    tuned: Preset = UNTUNED,
    *,
    paper: bool = False,
) -> list[Mapping[str, Any]]:
    """All sources of defaults besides the configuration's class, each as flat name → value, the stronger later.

    kind: the command's configuration. values: what people gave. name: the model's name. tuned: a file of `seediff
    tune`. paper: whether the papers' constants count instead of those tuned for the model.
    """
    usual = model.settings.preset or UNTUNED
    if paper:
        usual = Preset(**{name: getattr(usual, name) for name in THRESHOLDS})
    method = values.get("mask.method") or usual.method or MaskConfig.method
    facts = METHOD_FACTS.get(method, MethodFacts())
    segmenter = values.get("segment.method", SegmentConfig.method)
    # An embedded model may be named by its folder
    short_name = next((short for short, folder in EMBEDDED.items() if str(folder) == name), name)
    several = values.get("classes_per_image", 1) != 1
    draws = "steps" in field_types(kind)
    all_levels = facts.all_levels or values.get("mask.expansion") in ("parallel", "none")
    return [
        {"capture.steps": usual.capture_steps} if usual.capture_steps is not None and draws else {},  # of any method
        facts.defaults,  # the method's
        {"mask.expand_levels": ALL_LEVELS} if paper and all_levels else {},  # the paper's
        authors_values(kind, values, model, usual),  # what the model's authors advise
        {} if paper else facts.models.get(short_name, {}),  # the method's for this model
        usual.values(method, segmenter, several=several),  # tuned for the model: its seediff.json
        tuned.values(method, segmenter),  # a file of `seediff tune`
        {"subclasses": model_words(values, model.settings)},  # the model's words for given classes
    ]


def model_words(values: Mapping[str, Any], settings: ModelSettings) -> tuple[str, ...]:
    """The model's words for classes that it knows by another name: `aeroplane` for `airplane`. They stand in prompts in
    the classes' place, as subclasses. values: flat name → value. Raises UserError if prompts name their classes
    themselves."""
    known = {reading_key(name) for name in settings.classes or ()}
    words = {name: other_word(name) for name in values.get("classes", ())}
    words = {name: word for name, word in words.items() if reading_key(name) not in known and word in known}
    if words and not all("{class}" in prompt for prompt in values.get("prompts", ())):
        named = ", ".join(f"{name}={word}" for name, word in words.items())
        raise UserError("classes", f"the model has other words ({named}), and prompts name classes", "use its words")
    return tuple(words.values())


def authors_values(
    kind: type[ModelConfig], values: Mapping[str, Any], model: ModelInfo, usual: Preset
) -> dict[str, Any]:
    """Flat name → value, for the steps and the guidance scale that a model's authors advise. What is usual for any
    model is left out, so that it does not outrank a method's own values. values: from people. usual: the constants
    tuned for the model."""
    known = None not in (usual.steps, usual.guidance_scale) or {"steps", "guidance_scale"} <= values.keys()
    if known or "steps" not in field_types(kind):
        return {}
    advised = model.defaults()  # imports diffusers
    return {name: value for name, value in advised.items() if value not in (None, getattr(kind, name))}


def no_model() -> UserError:
    """The error for a command for photographs that is given no model."""
    smallest = f"such as --model {REAL}, the smallest (a download of 2.1 GB for a GPU, 4.3 GB for a CPU)"
    return UserError(f"photographs need a real model, {smallest}; mini is for its own drawings")


def _spelled(config: ModelConfig, settings: ModelSettings) -> ModelConfig:
    """The configuration with its classes, or its names of segments, spelled as the model's list of words spells them:
    `Dog` → `dog`. Words that the list lacks stay as they are."""
    by_reading = {reading_key(word): word for word in settings.words or ()}
    for field in ("classes", "names"):
        words = getattr(config, field, ())
        spelled = tuple(by_reading.get(reading_key(word), word) for word in words)
        if spelled != words:
            config = replace(config, **{field: spelled})
    return config


def recommend(
    kind: type[ModelConfig], values: Mapping[str, Any], model: ModelInfo | None = None
) -> tuple[ModelConfig, ModelInfo]:
    """(configuration, model) for Python code, as `configure_run` makes them for the command line.

    kind: the configuration.
    values: field → value. The value of a table, such as `mask`, is a mapping or a whole MaskConfig. A field of `mask`
        or `segment` may also be a key of `values`: `beta=0.4` means `mask={"beta": 0.4}`.
    model: the model, if the caller has it.
    Raises UserError.
    """
    parts = tables_of(kind)
    homes: dict[str, str] = {}  # field → its flat name
    # Whole tables come first, so that a field beside them is stronger
    typed = flatten({table: values[table] for table in parts if table in values})
    for table, part in parts.items():
        if table != "capture":  # `steps` of capture are others than those of drawing
            homes |= {name: f"{table}.{name}" for name in field_types(part)}
        inner = values.get(table, {})
        if isinstance(inner, Mapping):
            check_names(part, inner, table)
        elif not isinstance(inner, part):
            raise UserError(table, f"must be a {part.__name__} or a table of its fields, not {inner!r}")
    homes |= {name: name for name in field_types(kind)}
    check_names(kind, [name for name in values if name not in homes], kind.__name__)
    typed |= {homes[name]: value for name, value in values.items() if name not in parts}
    return configure_run(kind, typed, model=model)
