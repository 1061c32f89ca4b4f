"""Constants tuned for a model, in the `preset` of its `seediff.json`.

The paper's constants are for Stable Diffusion at 512². A small model needs other constants, separately for each method,
tuned on scenes that no study measures on (docs/truth.md). Thresholds for other models come from `seediff tune`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.documents import fit
from ..models.families.unet import SD
from ..models.info import ModelInfo, ModelSettings, model_info, read_settings
from ..models.schedulers import distilled_defaults
from ..models.short_names import EMBEDDED
from .constants import CaptureConfig, CaptureSteps, MaskConfig, SegmentConfig
from .fields import Share, check_table, flatten
from .levels import check_kinds, fit_mask
from .methods import BEST, BEST_CONSTANTS, BEST_MODELS, METHOD_FACTS, Method
from .settings import BEST_SOURCE, SourcedValues, model_label
from .tuned import THRESHOLDS

SEGMENTS: dict[str, dict[str, Any]] = {"coco": {"kl_threshold": 1.1}, "cityscapes": {"kl_threshold": 0.9}}
"""DiffSeg's thresholds for its two benchmarks."""


@dataclass(frozen=True)
class Preset:
    """The `preset` in a model's seediff.json. capture_steps: captured steps when drawing, for all methods. methods:
    mask method → {"mask": …, "capture": …}; for `best`, "mask" also names the method. segments: segment method → its
    constants."""

    steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    capture_steps: CaptureSteps | None = None
    method: Method | None = None
    presence: Share | None = None
    name_threshold: Share | None = None
    note: str = ""
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    segments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class MethodConstants:
    """A method's constants."""

    mask: MaskConfig = field(default_factory=MaskConfig)
    capture: CaptureConfig = field(default_factory=CaptureConfig)


def preset_of(settings: ModelSettings) -> Preset:
    """The constants in the settings from a model's seediff.json. Raises UserError."""
    table, where = dict(settings.preset), f"{settings.path} [preset"
    tables: dict[str, dict[str, Any]] = {}
    for name, kind in (("methods", MethodConstants), ("segments", SegmentConfig)):
        methods = fit(table.pop(name, {}), dict[str, dict[str, Any]], f"{where}.{name}]")
        tables[name] = {
            key: check_table(kind, constants, f"{where}.{name}.{key}]") for key, constants in methods.items()
        }
    if tables["methods"].get(BEST, {"mask": {"method": ""}}).get("mask", {}).get("method", BEST) == BEST:
        where += f".methods.{BEST}]"
        raise UserError(where, "does not say which method is best", '[mask] with for example method = "ca_sa"')
    return Preset(**check_table(Preset, table, f"{where}]"), methods=tables["methods"], segments=tables["segments"])


@dataclass(frozen=True)
class ModelConstants:
    """A model's constants for a configuration. info: None if nothing is known about the model."""

    name: str
    preset: Preset
    info: ModelInfo | None = None

    @classmethod
    def of(cls, name: str, info: ModelInfo | None) -> ModelConstants:
        """Those of a model that was found by its name. Raises UserError for a broken preset."""
        return cls(name, Preset() if info is None else preset_of(info.settings), info)

    def mask_values(self, method: str | None, preset: str = "model") -> list[SourcedValues]:
        """The values below the given ones, for masks. method: None: the model's recommended method. preset: "paper"
        leaves out the model's constants."""
        mine, label = self.preset, model_label(self.name)
        if method is None and preset == "model":
            method = mine.method
        if method == BEST:
            best = self._best(preset)
            return [best, *self.mask_values(best.values["mask.method"], preset)]

        # 1. The model's preset. Thresholds always come from the model, because the papers have none.
        table: dict[str, Any] = {name: getattr(mine, name) for name in THRESHOLDS.values()}
        if preset == "model":
            constants = mine.methods.get(method or "", {})
            table |= {"steps": mine.steps, "guidance_scale": mine.guidance_scale, "scheduler": mine.scheduler}
            table["capture"] = constants.get("capture", {})
            table["mask"] = {"method": method, **constants.get("mask", {})} if method else {}
        values = {name: value for name, value in flatten(table).items() if value is not None}
        ranked = [SourcedValues(f"{label}'s preset", values)]

        # 2. What the method's file has for models, the model's authors, the method
        facts = METHOD_FACTS.get(method or MaskConfig.method)
        named = next((name for name, folder in EMBEDDED.items() if str(folder) == self.name), self.name)
        if facts and preset == "model" and named in facts.models:
            ranked.append(SourcedValues(f"method {method} for {named}", flatten(facts.models[named])))
        if self.info:
            ranked.append(SourcedValues(f"the authors of {self.info.family.title}", flatten(self.info.defaults())))
        if facts:
            ranked.append(SourcedValues(f"method {method}", flatten(facts.defaults)))
        return ranked

    def drawing_values(self, preset: str) -> list[SourcedValues]:
        """Below those of masks where images are drawn: the steps at which the model's preset captures."""
        if preset != "model" or self.preset.capture_steps is None:
            return []
        return [SourcedValues(f"{model_label(self.name)}'s preset", {"capture.steps": self.preset.capture_steps})]

    def _best(self, preset: str) -> SourcedValues:
        """The method and constants that `best` stands for, of the model or of its kind of network."""
        if preset == "model" and BEST in self.preset.methods:
            return SourcedValues(f"{BEST_SOURCE}{model_label(self.name)}", flatten(self.preset.methods[BEST]))
        family = self.info.family if self.info else SD
        if family.no_self_attention:
            return SourcedValues("a model without maps of self-attention", {"mask.method": "ca"})
        return SourcedValues(f"{BEST_SOURCE}a small {family.network}", flatten(BEST_CONSTANTS[family.network]))

    def distilled_values(self, lora: str | None) -> list[SourcedValues]:
        """Steps, scheduler and guidance for a LoRA that was distilled to a few steps, or for such a single file or
        separate network; else none."""
        if self.info is None:
            return []
        names = [lora] if self.info.source.is_whole else [lora, self.name]
        for name in filter(None, names):
            values = distilled_defaults(self.info.family, name)
            if values:
                return [SourcedValues(f"what {Path(name).name} was distilled for", values)]
        return []

    def segment_values(self, method: str | None, preset: str = "model") -> list[SourcedValues]:
        """The values below the given ones, for segments. preset: "model", or a name in SEGMENTS."""
        source, threshold = f"{model_label(self.name)}'s preset", self.preset.name_threshold
        constants = self.preset.segments.get(method or SegmentConfig.method, {})
        named = f"preset {preset}" if preset in SEGMENTS else source
        return [
            SourcedValues(named, flatten({"segment": SEGMENTS.get(preset, constants)})),
            SourcedValues(source, {} if threshold is None else {"name_threshold": threshold}),
        ]


@dataclass(frozen=True)
class Recommended:
    """Recommended constants for a model. capture: for photographs, where all noise levels count. tuned: whether they
    were tuned for this model, or for its family in the papers; if not, they are other models', at the levels that this
    model has. notes: changes to fit the model, one line each."""

    mask: MaskConfig
    capture: CaptureConfig
    tuned: bool
    notes: tuple[str, ...] = ()


def recommended_mask(model: str, method: str | None = None) -> Recommended:
    """Recommended constants for masks and capture, for direct calls of the methods:

        soft = soft_mask(maps, "dog", recommended_mask("sdxl").mask)       # at levels that SDXL has

    model: a name from `seediff models`, a local folder or a hub id; one that is not known or in the cache gets the
    papers' constants. method: None: the model's recommended method. Raises UserError for a method without maps in this
    model, and for a broken preset.
    """
    info = model_info(model)
    constants = ModelConstants.of(model, info)
    flat: dict[str, Any] = {"mask.method": method} if method and method != BEST else {}
    for one in constants.mask_values(method):
        flat = {**one.values, **flat}
    mask = MaskConfig(**{name[5:]: value for name, value in flat.items() if name.startswith("mask.")})
    capture = CaptureConfig(**{name[8:]: value for name, value in flat.items() if name.startswith("capture.")})
    if info is None:
        return Recommended(mask, capture, tuned=False)
    check_kinds(info.family, mask)
    notes, layers = list[str](), info.layers()
    if layers is not None:
        mask, notes = fit_mask(info.family, layers, mask, capture.layers)
    asked = BEST if (method or constants.preset.method) == BEST else mask.method
    return Recommended(mask, capture, not foreign_constants(info, asked), tuple(notes))


def foreign_constants(info: ModelInfo, method: str) -> str:
    """Whose constants a mask method has for a model, if they were never tuned for it; otherwise "". method: one of
    METHOD_FACTS, or `best` where the user asked for that."""
    own = method in METHOD_FACTS and METHOD_FACTS[method].user_function is not None
    if own or preset_of(info.settings).methods.get(method, {}).get("mask"):
        return ""
    if method == BEST and not info.family.no_self_attention:
        return f"{BEST_MODELS[info.family.network]}'s"
    return "" if info.family.title == SD.title else f"the papers', of {SD.title}"


def own_constants(pipe: Any, method: str) -> tuple[MaskConfig, dict[str, Any]]:
    """The constants of a method for a pipeline, and the fields of the capture for which they were chosen: those of its
    model's folder if that has some, otherwise those of the method's paper, and no fields.
    """
    folder = getattr(pipe, "name_or_path", None)  # None if the pipeline was built from its parts
    if folder and (Path(folder) / "seediff.json").is_file() and read_settings(Path(folder)).preset:
        own = recommended_mask(str(folder), method)
        return own.mask, {name: getattr(own.capture, name) for name in ("normalize", "layers", "mean")}
    config = MaskConfig(method=method)
    return replace(config, **config.facts.defaults.get("mask", {})), {}
