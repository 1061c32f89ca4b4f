"""Constants tuned for a model, in the `preset` of its `seediff.json` or a file of `seediff tune`.

The paper's constants are for Stable Diffusion at 512². A small model needs other constants, separately for each method,
tuned on scenes that no study measures on (docs/truth.md). Thresholds for other models come from `seediff tune`, whose
file `--preset` takes:

command = "tune"
model = "sd1.5"
presence = 0.81
name_threshold = 0.522
beta = 0.36
method = "ca_sa"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import tomli_w

from .. import __version__
from ..errors import UserError
from ..files.documents import fit, read_toml
from .fields import Share, check_table, flatten
from .method_constants import CaptureConfig, CaptureSteps, MaskConfig, SegmentConfig
from .methods import METHOD_FACTS, Method
from .settings import TUNED, Settings, SourcedValues, model_label

THRESHOLDS = {"mask": "presence", "segment": "name_threshold"}
"""Command → the threshold whose best value differs from model to model."""

ALL_LEVELS = (8, 4, 2, 1)
"""The paper's "all resolutions" (supplement S2.5), which CA, CAA, CRE and DAAM read. The default leaves out 8, which
small models lack."""


@dataclass(frozen=True)
class Preset:
    """The `preset` in a model's seediff.json."""

    steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    capture_steps: CaptureSteps | None = None
    """The steps that are captured when the model draws, for all methods."""
    method: Method | None = None
    presence: Share | None = None
    name_threshold: Share | None = None
    note: str = ""
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Mask method → {"mask": …, "capture": …}."""
    segments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Segment method → its constants."""
    path: str = field(default="", compare=False)
    """The file, for messages; not one of its values."""

    def mask_constants(self, method: str) -> dict[str, Any]:
        """The checked tables `mask` and `capture` of a method, if there are any. Raises UserError."""
        return check_table(MethodConstants, self.methods.get(method, {}), f"{self.path} [preset.methods.{method}]")

    def segment_constants(self, method: str) -> dict[str, Any]:
        """The checked constants of a segment method. Raises UserError."""
        return check_table(SegmentConfig, self.segments.get(method, {}), f"{self.path} [preset.segments.{method}]")


@dataclass(frozen=True, kw_only=True)
class MethodConstants(Settings):
    """A mask method's constants."""

    mask: MaskConfig = field(default_factory=MaskConfig)
    capture: CaptureConfig = field(default_factory=CaptureConfig)


def read_preset(preset: Mapping[str, Any], path: str) -> Preset:
    """The constants in the `preset` of a model's seediff.json. path: that file's. A method's constants are checked when
    they are used. Raises UserError."""
    table = dict(preset)
    methods, segments = (
        fit(table.pop(name, {}), dict[str, dict[str, Any]], f"{path} [preset.{name}]")
        for name in ("methods", "segments")
    )
    return Preset(**check_table(Preset, table, f"{path} [preset]"), methods=methods, segments=segments, path=path)


@dataclass(frozen=True)
class ModelConstants:
    """A model's constants for a configuration. By default it has none."""

    name: str = ""
    """The model's name, also if it was given as an embedded model's folder."""
    preset: Preset = Preset()
    authors: Sequence[SourcedValues] = ()
    """The values of the authors of the model's family."""
    distilled: Sequence[SourcedValues] = ()
    """The values for the model, or for its LoRA, if that was distilled to a few steps."""

    def mask_values(
        self, method: str | None, constants: str = "model", expansion: str | None = None
    ) -> list[SourcedValues]:
        """The values for masks that count where none is given. method: the given method; None: the model's recommended
        one. constants: "paper" leaves out the model's. expansion: the given value of MaskConfig's field, if any."""
        # 1. The model's preset. Thresholds always come from the model, because the papers have none.
        mine = self.preset
        table: dict[str, Any] = {name: getattr(mine, name) for name in THRESHOLDS.values()}
        if constants == "model":
            method = method or mine.method
            own = mine.mask_constants(method or "")
            table |= {"steps": mine.steps, "guidance_scale": mine.guidance_scale, "scheduler": mine.scheduler}
            table |= {"capture": own.get("capture", {}), "mask": {"method": method, **own.get("mask", {})}}
        ranked = [self.from_preset(table)]

        # 2. What the method's file has for models, the model's authors, the method
        facts = METHOD_FACTS.get(method or MaskConfig.method)
        if facts and constants == "model" and self.name in facts.models:
            ranked.append(SourcedValues(f"method {method} for {self.name}", flatten(facts.models[self.name])))
        ranked += self.authors
        if constants == "paper" and (expansion in ("parallel", "none") or (facts and facts.all_levels)):
            ranked.append(SourcedValues("the paper", {"mask.expand_levels": ALL_LEVELS}))
        if facts:
            ranked.append(SourcedValues(f"method {method}", flatten(facts.defaults)))
        return ranked

    def from_preset(self, table: Mapping[str, Any]) -> SourcedValues:
        """Values of the model's preset, without those that are None."""
        values = {name: value for name, value in flatten(table).items() if value is not None}
        return SourcedValues(f"{model_label(self.name)}'s preset", values)


@dataclass(frozen=True)
class Tuned:
    """The contents of a file of `seediff tune`. A threshold is None if the set could not determine it."""

    command: ClassVar[str] = "tune"

    model: str
    """The model's name."""
    weights: str = ""
    """The fingerprint of its weights; "": not known."""
    presence: Share | None = None
    name_threshold: Share | None = None
    beta: Share | None = None
    method: str = ""
    """The mask method for which beta was tuned."""
    note: str = ""
    """The photographs used, and the result."""

    def to_toml(self) -> str:
        """The text of the file, for `read_tuned`."""
        values = {name: value for name, value in vars(self).items() if value not in (None, "")}
        return tomli_w.dumps({"command": self.command, "version": __version__, **values})

    def sourced(self, command: str, given: Mapping[str, Any]) -> SourcedValues:
        """The thresholds for a command, the model unless another is given, and the method with its beta unless another
        method is given. given: flat name → value."""
        name = THRESHOLDS[command]
        values: dict[str, Any] = {name: getattr(self, name)}
        if "model" not in given:
            values["model"] = self.model
        if name == "presence" and self.beta is not None and given.get("mask.method", self.method) == self.method:
            values |= {"mask.method": self.method, "mask.beta": self.beta}
        there = {name: value for name, value in values.items() if value is not None}
        return SourcedValues(f"{TUNED}{self.model}", there)


def read_tuned(path: Path) -> Tuned:
    """The contents of a file of `seediff tune`. Raises UserError naming the file and the problem."""
    table = read_toml(path)
    if table.get("command") != Tuned.command or "model" not in table:
        raise UserError(path, "is not a file of `seediff tune`: it should say command = 'tune', and model")
    return Tuned(**check_table(Tuned, {k: v for k, v in table.items() if k not in ("command", "version")}, str(path)))
