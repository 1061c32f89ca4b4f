"""Makes the configuration of a run, for the command line (`configure_run`) and for Python (`recommend`): finds the
model among what people chose, and adds the model's layers below (layers.py lists all of them)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.messages import show_bytes
from ..files.outputs import CONFIG
from ..models.describe import ModelInfo, ModelSettings, describe
from ..models.locate import BY_NAME, EMBEDDED, REAL, locate
from ..models.sampling import values_of_file
from .class_names import reading_key
from .fields import check_names, field_types, tables_of
from .layers import NOTHING, Layer, build, chosen_layers, file_layers, known_layer, merge
from .method_constants import MaskConfig, SegmentConfig
from .methods import METHOD_FACTS, MethodFacts
from .presets import Preset, read_preset, read_tuned
from .settings import GIVEN, Config, model_label

ALL_LEVELS = (8, 4, 2, 1)
"""The paper's "all resolutions" (supplement S2.5), which CA, CAA, CRE and DAAM read. The default leaves out 8, which
small models lack."""


def configure_run(
    kind: type[Config],
    line: Mapping[str, Any],
    file: Path | None = None,
    *,
    table: Layer = NOTHING,
    preset: str = "model",
    model: ModelInfo | None = None,
    planned: bool = False,
    out: Path | None = None,
) -> tuple[Config, ModelInfo | None]:
    """(configuration, model) of a command that runs a model. The model is None if its files cannot be fetched.

    kind: the command's configuration.
    line: flat name → value, or tables, from the command line or Python; the class `all` stands for all classes of a
        small model.
    file: a TOML file with further values.
    table: the classes in a table of photographs.
    preset: "model" for the constants tuned for this model, "paper" for the papers', or a file of `seediff tune`.
    model: the model, if the caller has it; otherwise the values name it.
    planned: whether this is a dry run, which asks the hub only about models without a short name.
    out: the folder of a command for photographs. If a run has begun there, and nobody names a model, the run's model is
        used.
    Raises UserError.
    """
    # 1. What people chose
    layers = chosen_layers(kind, line, file, table, people_only=preset != "model")
    chosen = merge(layers)
    if preset not in kind.presets:
        layers.append(read_tuned(preset, *kind.presets).layer(chosen))
    elif out is not None and "model" not in chosen:
        with suppress(UserError):  # no run has begun
            layers.append(Layer(GIVEN, merge(file_layers(out / CONFIG, kind))).only(("model", "base")))
    chosen = merge(layers)

    # 2. The model, and the classes that it knows
    name = str(chosen.get("model", kind.model))
    if not name:
        raise no_model()
    model = model or find_described(name, chosen.get("base"), planned)
    settings = ModelSettings() if model is None else model.settings
    if chosen.get("classes") == ("all",):
        if not settings.classes:
            problem = f"all: model '{name}' is not limited to a list of classes"
            raise UserError("classes", problem, "name those that you want")
        layers.insert(0, Layer(GIVEN, {"classes": settings.classes}))

    # 3. The other values
    config = build(kind, [*layers, *model_layers(kind, chosen, name, model, paper=preset == "paper")])
    return _spelled(config, settings), model


def model_layers(
    kind: type[Config], chosen: Mapping[str, Any], name: str, model: ModelInfo | None, *, paper: bool = False
) -> list[Layer]:
    """The layers below what people chose, the strongest first.

    kind: the configuration.
    chosen: flat name → value, from people.
    name: the model's name, as the user gave it.
    model: None if its files are unknown.
    paper: whether to use the papers' constants instead of those tuned for this model.
    Raises UserError for a broken preset.
    """
    # An embedded model may be named by its folder.
    short_name = next((short for short, folder in EMBEDDED.items() if str(folder) == name), name)
    preset, distilled, authors = Preset(), NOTHING, NOTHING
    if model is not None:
        preset = read_preset(model.settings.preset, model.settings.path)
        # A LoRA counts more than the single file that it is on top of.
        single = None if model.files.is_whole else name
        for source in filter(None, (single, chosen.get("lora"))):
            values = values_of_file(model.family, source)
            if values:
                distilled = Layer(f"what {Path(source).name} was distilled for", values)
        authors = known_layer(f"the authors of {model.family.title}", model.defaults())
    if paper:
        preset = Preset(presence=preset.presence, name_threshold=preset.name_threshold)  # the papers have none

    method = chosen.get("mask.method") or preset.method or MaskConfig.method
    facts = METHOD_FACTS.get(method, MethodFacts())  # MaskConfig refuses an unknown name
    for_model, levels, captured = facts.models.get(short_name, {}), {}, {}
    if paper:
        for_model = {}
        if facts.all_levels or chosen.get("mask.expansion") in ("parallel", "none"):
            levels = {"mask.expand_levels": ALL_LEVELS}
    if "steps" in field_types(kind):  # photographs are not drawn in steps
        captured = {"capture.steps": preset.capture_steps}
    of_preset = f"{model_label(short_name)}'s preset"
    return [
        distilled,
        known_layer(of_preset, preset.values(method, chosen.get("segment.method", SegmentConfig.method))),
        known_layer(f"method {method} for {short_name}", for_model),
        authors,
        Layer("the paper", levels),
        known_layer(f"method {method}", facts.defaults),
        known_layer(of_preset, captured),  # a method's own steps count more
    ]


def find_described(name: str, base: str | None, planned: bool) -> ModelInfo | None:
    """The description of a model. None if its small files cannot be fetched, which loading reports later. base: the
    model that supplies what a single file lacks. planned: as in `configure_run`. Raises UserError for a name without a
    model."""
    files = locate(name, base)
    try:
        files.fetch_configurations(planned=planned)
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
            config = config.changed(config.source(field), **{field: spelled})
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
