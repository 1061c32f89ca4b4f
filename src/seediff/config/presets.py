"""Constants tuned for a model, in the `preset` of its `seediff.json`.

The paper's constants are for Stable Diffusion at 512². A small model needs other constants, separately for each method,
tuned on scenes that no study measures on (docs/truth.md). Thresholds for other models come from `seediff tune`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files.documents import fit
from ..models.describe import ModelInfo, ModelSettings
from ..models.families.unet import SD
from ..models.schedulers import distilled_defaults
from ..models.short_names import EMBEDDED
from .constants import CaptureConfig, CaptureSteps, MaskConfig, SegmentConfig
from .fields import Share, check_table, flatten
from .methods import METHOD_FACTS, Method
from .settings import SourcedValues, model_label
from .tuned import THRESHOLDS


@dataclass(frozen=True)
class Preset:
    """The `preset` in a model's seediff.json. capture_steps: captured steps when drawing, for all methods. methods:
    mask method → {"mask": …, "capture": …}. segments: segment method → its constants."""

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
    where: str = ""
    """The file, for messages."""

    def mask_constants(self, method: str) -> dict[str, Any]:
        """The checked tables `mask` and `capture` of a method, if there are any. Raises UserError."""
        return check_table(MethodConstants, self.methods.get(method, {}), f"{self.where}.methods.{method}]")

    def segment_constants(self, method: str) -> dict[str, Any]:
        """The checked constants of a segment method. Raises UserError."""
        return check_table(SegmentConfig, self.segments.get(method, {}), f"{self.where}.segments.{method}]")


@dataclass(frozen=True)
class MethodConstants:
    """A method's constants."""

    mask: MaskConfig = field(default_factory=MaskConfig)
    capture: CaptureConfig = field(default_factory=CaptureConfig)


def preset_of(settings: ModelSettings) -> Preset:
    """The constants in the settings from a model's seediff.json. Those of a method are checked when they are used.
    Raises UserError."""
    table, where = dict(settings.preset), f"{settings.path} [preset"
    methods, segments = (
        fit(table.pop(name, {}), dict[str, dict[str, Any]], f"{where}.{name}]") for name in ("methods", "segments")
    )
    return Preset(**check_table(Preset, table, f"{where}]"), methods=methods, segments=segments, where=where)


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
        # 1. The model's preset. Thresholds always come from the model, because the papers have none.
        mine = self.preset
        table: dict[str, Any] = {name: getattr(mine, name) for name in THRESHOLDS.values()}
        if preset == "model":
            method = method or mine.method
            constants = mine.mask_constants(method or "")
            table |= {"steps": mine.steps, "guidance_scale": mine.guidance_scale, "scheduler": mine.scheduler}
            table |= {"capture": constants.get("capture", {}), "mask": {"method": method, **constants.get("mask", {})}}
        ranked = [self.own(table)]

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

    def own(self, table: Mapping[str, Any]) -> SourcedValues:
        """Values of the model's preset, without those of None."""
        values = {name: value for name, value in flatten(table).items() if value is not None}
        return SourcedValues(f"{model_label(self.name)}'s preset", values)

    def distilled_values(self, lora: str | None) -> list[SourcedValues]:
        """Steps, scheduler and guidance for a LoRA that was distilled to a few steps, or for such a single file or
        separate network; else none."""
        if self.info is None:
            return []
        names = [lora] if self.info.files.replacement is None else [lora, self.name]
        for name in filter(None, names):
            values = distilled_defaults(self.info.family, name)
            if values:
                return [SourcedValues(f"what {Path(name).name} was distilled for", values)]
        return []


def foreign_constants(info: ModelInfo, method: str) -> str:
    """Whose constants a mask method has for a model, if they were never tuned for it; otherwise ""."""
    own = METHOD_FACTS[method].user_function is not None
    if own or info.family.title == SD.title or preset_of(info.settings).methods.get(method, {}).get("mask"):
        return ""
    return f"the papers', of {SD.title}"
