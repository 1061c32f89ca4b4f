"""Constants tuned for a model: those in its `seediff.json`, and the thresholds that `seediff tune` finds.

The paper's constants are for Stable Diffusion at 512². A small model needs other constants, tuned on scenes that no
study measures on (docs/truth.md). They are in the `preset` of its seediff.json, separately for each method. Thresholds
for other models come from a file of `seediff tune`, given as `--preset` or `--config`:

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
from ..models.families.unet import SD
from ..models.hub import resolve_name
from ..models.info import ModelInfo, Settings, model_info, read_settings
from ..models.schedulers import distilled_defaults
from .base import BEST_SOURCE, TUNED, Layer, model_label
from .constants import CaptureConfig, CaptureSteps, MaskConfig, SegmentConfig
from .fields import Share, check_table
from .levels import check_kinds, fit_levels
from .methods import BEST, BEST_FACTS, BEST_MODELS, METHOD_FACTS, Method

THRESHOLDS = {"mask": "presence", "segment": "name_threshold"}
"""For each command, the threshold whose best value differs from model to model."""
SEGMENTS: dict[str, dict[str, Any]] = {"coco": {"kl_threshold": 1.1}, "cityscapes": {"kl_threshold": 0.9}}
"""DiffSeg's thresholds for its two benchmarks."""


@dataclass(frozen=True)
class Preset:
    """The `preset` in a model's seediff.json. methods: mask method → {"mask": …, "capture": …}; for `best`, "mask" also
    names the method. segments: segment method → its constants."""

    steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    """Name of a scheduler that draws better than the one in the model's folder."""
    capture_steps: CaptureSteps | None = None
    """Captured steps when drawing, for all methods; photographs have noise levels instead."""
    method: Method | None = None
    presence: Share | None = None
    """For `mask`: scores from this value up mean "the class is in the picture"."""
    name_threshold: Share | None = None
    """For `segment --names`: segments whose best word scores lower stay unnamed."""
    note: str = ""
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    segments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class MethodConstants:
    """Tables of a method's constants: those in a preset, and those of a method of one's own."""

    mask: MaskConfig = field(default_factory=MaskConfig)
    capture: CaptureConfig = field(default_factory=CaptureConfig)


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Values by flat names, such as `mask.beta`."""
    return {
        f"{name}.{key}" if key else name: inner
        for name, value in table.items()
        for key, inner in (value.items() if isinstance(value, Mapping) else [("", value)])
    }


def read_preset(model: str) -> Preset:
    """The constants of a local model. Empty for a model without constants, and for a missing model, which loading will
    report. Raises UserError if the file is broken or has unknown keys."""
    try:
        folder = resolve_name(model)
    except UserError:
        return Preset()
    return preset_of(read_settings(folder))


def preset_of(settings: Settings) -> Preset:
    """The constants in the settings from a model's seediff.json. Raises UserError like `read_preset`."""
    table, where = dict(settings.preset), f"{settings.path} [preset"
    tables: dict[str, dict[str, Any]] = {}
    for name, kind in (("methods", MethodConstants), ("segments", SegmentConfig)):
        methods = fit(table.pop(name, {}), dict[str, dict[str, Any]], f"{where}.{name}]")
        tables[name] = {
            key: check_table(kind, constants, f"{where}.{name}.{key}]") for key, constants in methods.items()
        }
    best = tables["methods"].get(BEST)
    if best is not None and best.get("mask", {}).get("method", BEST) == BEST:
        raise UserError(
            f"{where}.methods.{BEST}]", "does not say which method is best", '[mask] with for example method = "ca_sa"'
        )
    return Preset(**check_table(Preset, table, f"{where}]"), methods=tables["methods"], segments=tables["segments"])


@dataclass(frozen=True)
class ModelConstants:
    """A model's constants for a configuration. info: None if nothing is known about the model."""

    name: str
    preset: Preset
    info: ModelInfo | None = None

    def mask_layers(self, method: str | None, preset: str = "model", *, drawing: bool = False) -> list[Layer]:
        """The layers below the given values, for masks. method: None: the model's recommended method. preset: "paper"
        leaves out the model's constants. drawing: whether images are generated, for which the model's preset may
        capture only some steps."""
        if (method or (self.preset.method if preset == "model" else None)) == BEST:
            best = self._best(preset)
            return [best, *self.mask_layers(best.values["mask.method"], preset, drawing=drawing)]
        mine, source = self.preset, f"{model_label(self.name)}'s preset"
        # Thresholds always come from the model, because the papers have none.
        table: dict[str, Any] = {name: getattr(mine, name) for name in THRESHOLDS.values()}
        steps = {}
        if preset == "model":
            method = method or mine.method
            constants = mine.methods.get(method or "", {})
            table |= {"steps": mine.steps, "guidance_scale": mine.guidance_scale, "scheduler": mine.scheduler}
            table["capture"] = constants.get("capture", {})
            table["mask"] = {"method": method, **constants.get("mask", {})} if method else {}
            steps = {"capture.steps": mine.capture_steps} if drawing and mine.capture_steps is not None else {}
        facts = METHOD_FACTS.get(method or MaskConfig.method)
        return [
            Layer(source, {name: value for name, value in _flat(table).items() if value is not None}),
            *([Layer(f"the authors of {self.info.family.title}", _flat(self.info.defaults()))] if self.info else []),
            *([Layer(f"method {method}", _flat(facts.defaults))] if facts else []),
            Layer(source, steps),
        ]

    def _best(self, preset: str) -> Layer:
        """The method and constants that `best` stands for: those in the model's preset, else those for its kind of
        network.
        """
        if preset == "model" and BEST in self.preset.methods:
            return Layer(f"{BEST_SOURCE}{model_label(self.name)}", _flat(self.preset.methods[BEST]))
        family = self.info.family if self.info else SD
        if family.no_self_attention:
            return Layer("a model without maps of self-attention", {"mask.method": "ca"})
        return Layer(f"{BEST_SOURCE}a small {family.network}", _flat(BEST_FACTS[family.network]))

    def distilled_layers(self, lora: str | None) -> list[Layer]:
        """Steps, scheduler and guidance for a LoRA that was distilled to a few steps, or else for such a single file or
        separate network; else no layer."""
        if self.info is None:
            return []
        for named in filter(None, (lora, None if self.info.source.is_whole else self.name)):
            if values := distilled_defaults(self.info.family, named):
                return [Layer(f"what {Path(named).name} was distilled for", values)]
        return []

    def segment_layers(self, method: str | None, preset: str = "model") -> list[Layer]:
        """The layers below the given values, for segments. preset: "model", or a name in SEGMENTS."""
        source, threshold = f"{model_label(self.name)}'s preset", self.preset.name_threshold
        layer = Layer(source, _flat({"segment": self.preset.segments.get(method or SegmentConfig.method, {})}))
        named = Layer(source, {} if threshold is None else {"name_threshold": threshold})
        return [Layer(f"preset {preset}", _flat({"segment": SEGMENTS[preset]})) if preset in SEGMENTS else layer, named]


def find_constants(model: str, base: str | None = None, *, fetch: bool = True) -> ModelConstants:
    """The constants of a model, from its files. base: as in `RunConfig`. fetch: download these files for a hub id, so
    that the first run equals later runs. Raises UserError like `read_preset`."""
    info = model_info(model, base, fetch=fetch)
    return ModelConstants(model, preset_of(info.settings) if info else read_preset(model), info)


@dataclass(frozen=True)
class Recommended:
    """Recommended constants for a model. tuned: whether they were tuned for this model, on exact masks or, for the
    family of the authors' models, in the papers; if not, they are for other models, at the levels that this model has.
    notes: changes to fit the model, one line each.

    `capture` is for photographs, where all noise levels count; for generated images, some models' presets capture only
    some steps."""

    mask: MaskConfig
    capture: CaptureConfig
    tuned: bool
    notes: tuple[str, ...] = ()


def recommended_mask(model: str, method: str | None = None) -> Recommended:
    """Recommended constants for masks and capture, for direct calls of the methods:

        soft = soft_mask(maps, "dog", recommended_mask("sdxl").mask)       # at levels that SDXL has

    model: a name from `seediff models`, a local folder or a hub id. method: None: the model's recommended method. A hub
    id that has no short name and is not in the cache gets the papers' constants, not tuned. Raises UserError for a
    method without maps in this model, and for a broken preset.
    """
    constants = find_constants(model, fetch=False)
    info = constants.info
    flat: dict[str, Any] = {"mask.method": method} if method and method != BEST else {}
    for layer in constants.mask_layers(method):
        flat = {**layer.values, **flat}
    mask = MaskConfig(**{name[5:]: value for name, value in flat.items() if name.startswith("mask.")})
    capture = CaptureConfig(**{name[8:]: value for name, value in flat.items() if name.startswith("capture.")})
    if info is None:
        return Recommended(mask, capture, tuned=False)
    check_kinds(info.family, mask)
    notes: list[str] = []
    if info.network:
        mask, notes = fit_levels(info.network, mask, capture, info.family)
    asked = BEST if (method or constants.preset.method) == BEST else mask.method
    return Recommended(mask, capture, not foreign_constants(info, asked), tuple(notes))


def foreign_constants(info: ModelInfo, method: str) -> str:
    """Whose constants a mask method has for a model, if they were never tuned for it; otherwise "". method: one of
    METHOD_FACTS, or `best` where the user asked for that."""
    own = method in METHOD_FACTS and METHOD_FACTS[method].own is not None
    if own or preset_of(info.settings).methods.get(method, {}).get("mask"):
        return ""
    if method == BEST and not info.family.no_self_attention:
        return f"{BEST_MODELS[info.family.network]}'s"
    return "" if info.family.title == SD.title else f"the papers', of {SD.title}"


@dataclass(frozen=True)
class Tuned:
    """A file of `seediff tune`. model: the model's name. weights: its fingerprint, "" if unknown. presence,
    name_threshold: None if the set could not determine it. note: the photographs used, and the result."""

    command: ClassVar[str] = "tune"

    model: str
    weights: str = ""
    presence: Share | None = None
    name_threshold: Share | None = None
    note: str = ""

    def to_toml(self) -> str:
        """The text of the file, for `read_tuned`."""
        values = {name: value for name, value in vars(self).items() if value not in (None, "")}
        return tomli_w.dumps({"command": self.command, "version": __version__, **values})

    def layer(self, command: str, model: str | None) -> Layer:
        """The threshold for a command, and the model unless another was chosen."""
        values = {
            "model": self.model if model is None else None,
            THRESHOLDS[command]: getattr(self, THRESHOLDS[command]),
        }
        return Layer(f"{TUNED}{self.model}", {name: value for name, value in values.items() if value is not None})


def is_tuned(path: Path | None) -> bool:
    """Whether a configuration file was written by `seediff tune`."""
    return path is not None and read_toml(path).get("command") == Tuned.command


def read_tuned(path: Path) -> Tuned:
    """The contents of a file of `seediff tune`. Raises UserError naming the file and the problem."""
    table = read_toml(path)
    if table.get("command") != Tuned.command:
        raise UserError(f"{path}: is not a file of `seediff tune`: it should say command = 'tune'")
    values = check_table(
        Tuned, {key: value for key, value in table.items() if key not in ("command", "version")}, str(path)
    )
    if "model" not in values:
        raise UserError(f"{path}: does not say which model it is for (model = …)")
    return Tuned(**values)
