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
from .settings import TUNED, SourcedValues

THRESHOLDS = {"mask": "presence", "segment": "name_threshold"}
"""For each command, the threshold whose best value differs from model to model."""

ALL_LEVELS = (8, 4, 2, 1)
"""The paper's "all resolutions" (supplement S2.5), which CA, CAA, CRE and DAAM read. The default leaves out 8, which
small models lack."""


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


def read_preset(preset: Mapping[str, Any], path: str) -> Preset:
    """The constants in the `preset` of a model's seediff.json, at this path. Those of a method are checked when they
    are used. Raises UserError."""
    table, where = dict(preset), f"{path} [preset"
    methods, segments = (
        fit(table.pop(name, {}), dict[str, dict[str, Any]], f"{where}.{name}]") for name in ("methods", "segments")
    )
    return Preset(**check_table(Preset, table, f"{where}]"), methods=methods, segments=segments, where=where)


@dataclass(frozen=True)
class ModelConstants:
    """A model's constants for a configuration. name: the model's, also for an embedded one's folder. label: its name
    for messages. authors: those of its family's authors. distilled: those for its LoRA or itself, if that was distilled
    to a few steps."""

    name: str
    label: str
    preset: Preset = Preset()
    authors: Sequence[SourcedValues] = ()
    distilled: Sequence[SourcedValues] = ()

    def mask_values(
        self, method: str | None, preset: str = "model", expansion: str | None = None
    ) -> list[SourcedValues]:
        """The values below the given ones, for masks. method: None: the model's recommended method. preset: "paper"
        leaves out the model's constants. expansion: as in MaskConfig, if it was given."""
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
        if facts and preset == "model" and self.name in facts.models:
            ranked.append(SourcedValues(f"method {method} for {self.name}", flatten(facts.models[self.name])))
        ranked += self.authors
        if preset == "paper" and (method in ("ca", "daam") or expansion in ("parallel", "none")):
            ranked.append(SourcedValues("the paper", {"mask.expand_levels": ALL_LEVELS}))
        if facts:
            ranked.append(SourcedValues(f"method {method}", flatten(facts.defaults)))
        return ranked

    def own(self, table: Mapping[str, Any]) -> SourcedValues:
        """Values of the model's preset, without those of None."""
        values = {name: value for name, value in flatten(table).items() if value is not None}
        return SourcedValues(f"{self.label}'s preset", values)


@dataclass(frozen=True)
class Tuned:
    """A file of `seediff tune`. model: the model's name. weights: its fingerprint, "" if unknown.
    presence, name_threshold, beta: None if the set could not determine it. method: of masks, for which beta is. note:
    the photographs used, and the result."""

    command: ClassVar[str] = "tune"

    model: str
    weights: str = ""
    presence: Share | None = None
    name_threshold: Share | None = None
    beta: Share | None = None
    method: str = ""
    note: str = ""

    def to_toml(self) -> str:
        """The text of the file, for `read_tuned`."""
        values = {name: value for name, value in vars(self).items() if value not in (None, "")}
        return tomli_w.dumps({"command": self.command, "version": __version__, **values})

    def sourced(self, command: str, chosen: Mapping[str, Any]) -> SourcedValues:
        """The thresholds for a command, and the model and the method unless others were chosen: then without beta,
        which is the method's. chosen: flat name → value."""
        name = THRESHOLDS[command]
        values: dict[str, Any] = {name: getattr(self, name)}
        if "model" not in chosen:
            values["model"] = self.model
        if name == "presence" and self.beta is not None and chosen.get("mask.method", self.method) == self.method:
            values |= {"mask.method": self.method, "mask.beta": self.beta}
        there = {name: value for name, value in values.items() if value is not None}
        return SourcedValues(f"{TUNED}{self.model}", there)


def read_tuned(path: Path) -> Tuned:
    """The contents of a file of `seediff tune`. Raises UserError naming the file and the problem."""
    table = read_toml(path)
    if table.get("command") != Tuned.command or "model" not in table:
        raise UserError(path, "is not a file of `seediff tune`: it should say command = 'tune', and model")
    return Tuned(**check_table(Tuned, {k: v for k, v in table.items() if k not in ("command", "version")}, str(path)))
