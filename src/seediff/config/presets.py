"""Constants that were sought for a model: those of its `seediff.json`, and the thresholds that `seediff tune` finds.

The paper's constants are for Stable Diffusion at 512². A small model has other best ones, found on scenes that no study measures on
(`seediff study truth` names them), and it carries them with it in `preset`, for each method its own. Thresholds of a model without any
are in the file of `seediff tune`, given to `--preset` or `--config`:

    command = "tune"
    model = "sd2-base"
    presence = 0.81
    name_threshold = 0.522
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import tomli_w

from .. import __version__
from ..errors import UserError
from ..files.documents import fit, read_toml
from ..models.hub import resolve_name
from ..models.info import ModelInfo, Settings, model_info, read_settings
from ..models.schedulers import distilled_defaults
from .base import Layer, model_label
from .constants import CaptureConfig, CaptureSteps, MaskConfig, SegmentConfig
from .fields import Share, checked
from .levels import check_kinds, fit_levels
from .methods import METHOD_FACTS, Method

THRESHOLDS = {"mask": "presence", "segment": "name_threshold"}
"""Of each command the threshold whose best value is another one for every model."""
SEGMENTS: dict[str, dict[str, Any]] = {"coco": {"kl_threshold": 1.1}, "cityscapes": {"kl_threshold": 0.9}}
"""DiffSeg's thresholds for its two benchmarks."""


@dataclass(frozen=True)
class Preset:
    """`preset` of a model's seediff.json. methods: method of masks → {"mask": …, "capture": …}. segments: method of segments → its
    constants."""

    steps: int | None = None
    guidance_scale: float | None = None
    capture_steps: CaptureSteps | None = None
    """Of drawing, whatever the method; photographs have noise levels instead."""
    method: Method | None = None
    presence: Share | None = None
    """Of `mask`: scores from here on count as "the class is in the picture"."""
    name_threshold: Share | None = None
    """Of `segment --names`: segments whose best word scores lower stay unnamed."""
    note: str = ""
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    segments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Method:
    """What each of `methods` may hold."""

    mask: MaskConfig = field(default_factory=MaskConfig)
    capture: CaptureConfig = field(default_factory=CaptureConfig)


def read_preset(model: str) -> Preset:
    """The constants that a local model brings along. Empty for a model without any, and for one that is not there, which loading it will
    say better. Raises UserError when the file is broken or holds what is no constant."""
    try:
        folder = resolve_name(model)
    except UserError:
        return Preset()
    return preset_of(read_settings(folder))


def preset_of(settings: Settings) -> Preset:
    """The constants in a model's settings. Raises UserError as `read_preset`."""
    table, where = dict(settings.preset), f"{settings.path} [preset"
    tables: dict[str, dict[str, Any]] = {}
    for name, kind in (("methods", _Method), ("segments", SegmentConfig)):
        methods = fit(table.pop(name, {}), dict[str, dict[str, Any]], f"{where}.{name}]")
        tables[name] = {key: checked(kind, constants, f"{where}.{name}.{key}]") for key, constants in methods.items()}
    return Preset(**checked(Preset, table, f"{where}]"), methods=tables["methods"], segments=tables["segments"])


@dataclass(frozen=True)
class ModelConstants:
    """What a model brings along for a configuration. info: None where nothing is known of it."""

    name: str
    preset: Preset
    info: ModelInfo | None = None

    def mask_layers(self, method: str | None, preset: str = "model", *, drawing: bool = False) -> list[Layer]:
        """The layers behind what was given for masks. method: None: the one that the model recommends. preset: "paper": not the model's.
        drawing: whether images are drawn, of which the model's preset may capture some steps alone."""
        mine, source = self.preset, f"{model_label(self.name)}'s preset"
        # Thresholds are no choice between the paper's constants and the model's: no paper has any.
        table: dict[str, Any] = {name: getattr(mine, name) for name in THRESHOLDS.values()}
        steps = {}
        if preset == "model":
            method = method or mine.method
            constants = mine.methods.get(method or "", {})
            table |= {"steps": mine.steps, "guidance_scale": mine.guidance_scale, "capture": constants.get("capture", {})}
            table["mask"] = {"method": method, **constants.get("mask", {})} if method else {}
            steps = {"capture": {"steps": mine.capture_steps}} if drawing and mine.capture_steps is not None else {}
        facts = METHOD_FACTS.get(method or MaskConfig.method)
        return [
            Layer(source, {name: value for name, value in table.items() if value is not None}),
            *([Layer(f"the authors of {self.info.family.title}", self.info.defaults())] if self.info else []),
            *([Layer(f"method {method}", facts.defaults)] if facts else []),
            Layer(source, steps),
        ]

    def distilled_layers(self, lora: str | None) -> list[Layer]:
        """What a LoRA, or a single file, that was distilled to a few steps is drawn with."""
        if self.info is None:
            return []
        named = lora or (None if self.info.source.is_whole else self.name)
        values = distilled_defaults(self.info.family, named) if named else {}
        return [Layer(f"what {Path(named).name} was distilled for", values)] if named and values else []

    def segment_layers(self, method: str | None, preset: str = "model") -> list[Layer]:
        """The layers behind what was given for segments. preset: "model", or one of SEGMENTS."""
        source, threshold = f"{model_label(self.name)}'s preset", self.preset.name_threshold
        layer = Layer(source, {"segment": self.preset.segments.get(method or SegmentConfig.method, {})})
        named = Layer(source, {} if threshold is None else {"name_threshold": threshold})
        return [Layer(f"preset {preset}", {"segment": SEGMENTS[preset]}) if preset in SEGMENTS else layer, named]


def find_constants(model: str, base: str | None = None, *, fetch: bool = True) -> ModelConstants:
    """Reads the model's files once. base: of a single file. fetch: ask the hub, once, for those of a hub id: the same on its first run as
    on later ones."""
    info = model_info(model, base, fetch=fetch)
    return ModelConstants(model, preset_of(info.settings) if info else read_preset(model), info)


@dataclass(frozen=True)
class Recommended:
    """mask, capture: configurations. tuned: whether anybody sought their constants for this model, on exact masks or, of Stable Diffusion 1
    and 2, for the papers; if not, they are the papers', at the levels that the model has. notes: what was changed, one line each.

    `capture` is that of photographs, whose noise levels all count; of drawing, some models capture the steps of their preset alone."""

    mask: MaskConfig
    capture: CaptureConfig
    tuned: bool
    notes: tuple[str, ...] = ()


def recommended_mask(model: str, method: str | None = None) -> Recommended:
    """The constants of masks and of capture that a model is best begun with, for those who call the methods themselves:

        soft = soft_mask(maps, "dog", recommended_mask("sdxl").mask)       # at levels that SDXL has

    model: a name from `seediff models`, a local folder or a hub id. method: None: the one that the model recommends. Of a hub id that is
    neither known by name nor in the cache, the papers', not tuned. Raises UserError for a method that the model has no maps for, and for a
    broken preset.
    """
    constants = find_constants(model, fetch=False)
    info = constants.info
    table: dict[str, dict[str, Any]] = {"mask": {"method": method} if method else {}, "capture": {}}
    for layer in constants.mask_layers(method):
        for part, values in table.items():
            table[part] = {**layer.values.get(part, {}), **values}
    mask, capture = MaskConfig(**table["mask"]), CaptureConfig(**table["capture"])
    if info is None:
        return Recommended(mask, capture, tuned=False)
    check_kinds(info.family, mask)
    notes: list[str] = []
    if info.network:
        mask, notes = fit_levels(info.network, mask, capture, info.family)
    return Recommended(mask, capture, is_tuned_for(info, mask.method), tuple(notes))


def is_tuned_for(info: ModelInfo, method: str) -> bool:
    """Whether the constants of a method of masks were sought for this model."""
    return not info.family.fitted or bool(preset_of(info.settings).methods.get(method, {}).get("mask"))


TUNED = "seediff tune for "
"""Begins the source of what is from a file of `seediff tune`; the model's name follows."""


@dataclass(frozen=True)
class Tuned:
    """A file of `seediff tune`. model: for which. weights: its fingerprint, "" when not known. presence, name_threshold: None where the set
    could not tell it. note: on how many photographs of what, and how well."""

    command: ClassVar[str] = "tune"

    model: str
    weights: str = ""
    presence: Share | None = None
    name_threshold: Share | None = None
    note: str = ""

    def to_toml(self) -> str:
        """The text of the file, which `read_tuned` reads back."""
        values = {name: value for name, value in vars(self).items() if value not in (None, "")}
        return tomli_w.dumps({"command": self.command, "version": __version__, **values})

    def layer(self, command: str, model: str | None) -> Layer:
        """The threshold of a command, and the model where no other was chosen."""
        values = {"model": self.model if model is None else None, THRESHOLDS[command]: getattr(self, THRESHOLDS[command])}
        return Layer(f"{TUNED}{self.model}", {name: value for name, value in values.items() if value is not None})


def is_tuned(path: Path | None) -> bool:
    """Whether a --config file is one that `seediff tune` wrote."""
    return path is not None and read_toml(path).get("command") == Tuned.command


def read_tuned(path: Path) -> Tuned:
    """Raises UserError naming the file and what is wrong in it."""
    table = read_toml(path)
    if table.get("command") != Tuned.command:
        raise UserError(f"{path}: is no file of `seediff tune`: it should say command = 'tune'")
    values = checked(Tuned, {key: value for key, value in table.items() if key not in ("command", "version")}, str(path))
    if "model" not in values:
        raise UserError(f"{path}: does not say which model it was found for (model = …)")
    return Tuned(**values)
