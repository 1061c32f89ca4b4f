"""Constants tuned for a model: the `preset` in the seediff.json of its folder, or a file that `seediff tune` wrote.

The paper's constants are for Stable Diffusion at 512². A small model needs other constants for each method. They were
tuned on scenes that no study measures on (docs/truth.md). For other models `seediff tune` finds the thresholds, and the
option `--preset` takes its file:

command = "tune"
model = "sd1.5"
presence = 0.81
name_threshold = 0.522
beta = 0.36
method = "ca_sa"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import tomli_w

from .. import __version__
from ..errors import UserError
from ..files.reading import read_toml
from .fields import Share, check_table
from .layers import Layer, known_layer
from .method_constants import CaptureConfig, CaptureSteps, MaskConfig, SegmentConfig
from .methods import Method
from .settings import TUNED

THRESHOLDS = {"mask": "presence", "segment": "name_threshold"}
"""Command → its threshold whose best value differs from model to model."""
Tables = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class MethodConstants:
    """A mask method's constants, and the capture with which they were tuned."""

    mask: MaskConfig = field(default_factory=MaskConfig)
    capture: CaptureConfig = field(default_factory=CaptureConfig)


@dataclass(frozen=True)
class Preset:
    """The `preset` in a model's seediff.json."""

    steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    capture_steps: CaptureSteps | None = None
    """Which denoising steps are captured, for any method; photographs have none."""
    method: Method | None = None
    presence: Share | None = None
    name_threshold: Share | None = None
    note: str = ""
    methods: Tables = field(default_factory=dict)
    """Mask method → its constants in two tables: {"mask": {"beta": 0.4}, "capture": …}."""
    segments: Tables = field(default_factory=dict)
    """Segment method → its constants."""

    def values(self, mask_method: str, segment_method: str) -> dict[str, Any]:
        """Field → value, or None, with tables for a configuration's parts. mask_method, segment_method: the methods
        whose constants are included."""
        constants = self.methods.get(mask_method, {})
        mask = {"method": self.method, **constants.get("mask", {})}
        table = {**constants, "mask": mask, "segment": self.segments.get(segment_method, {})}
        of_run = ("steps", "guidance_scale", "scheduler", *THRESHOLDS.values())
        return table | {name: getattr(self, name) for name in of_run}


def read_preset(preset: Mapping[str, Any], path: str) -> Preset:
    """The preset of a model. preset: the table `preset` of the model's seediff.json. path: the path of this file.
    Raises UserError."""
    values = check_table(Preset, preset, f"{path} [preset]")
    for name, kind in (("methods", MethodConstants), ("segments", SegmentConfig)):
        tables = values.get(name, {}).items()
        values[name] = {key: check_table(kind, table, f"{path} [preset.{name}.{key}]") for key, table in tables}
    return Preset(**values)


@dataclass(frozen=True)
class Tuned:
    """The contents of a file that `seediff tune` wrote. A threshold that the photographs could not determine is
    None."""

    command: ClassVar[str] = "tune"

    model: str
    """The model's name."""
    weights: str = ""
    """The fingerprint of the model's weights; "": not known."""
    presence: Share | None = None
    name_threshold: Share | None = None
    beta: Share | None = None
    method: str = ""
    """The mask method for which beta was tuned."""
    note: str = ""
    """The photographs used, and the result."""

    def to_toml(self) -> str:
        """The text of the file, which `read_tuned` reads."""
        values = {name: value for name, value in vars(self).items() if value not in (None, "")}
        return tomli_w.dumps({"command": self.command, "version": __version__, **values})

    def layer(self, chosen: Mapping[str, Any]) -> Layer:
        """The file's values: its thresholds, its model, and the method with its beta, unless the user named another
        method. chosen: flat name → value, from the user."""
        values = {name: getattr(self, name) for name in ("model", *THRESHOLDS.values())}
        if self.beta is not None and chosen.get("mask.method", self.method) == self.method:
            values |= {"mask.method": self.method, "mask.beta": self.beta}
        return known_layer(f"{TUNED}{self.model}", values)


def read_tuned(path: Path | str, *others: str) -> Tuned:
    """The contents of a file that `seediff tune` wrote. others: what --preset may be instead, for the message. Raises
    UserError, with the file's path, for any other file."""
    if others and not Path(path).is_file():
        raise UserError("preset", f"{path} must be {', '.join(others)} or a file of `seediff tune`; no such file")
    table = read_toml(path)
    if table.pop("command", None) != Tuned.command or "model" not in table:
        raise UserError(path, "is not a file of `seediff tune`: it should say command = 'tune', and model")
    table.pop("version", None)
    return Tuned(**check_table(Tuned, table, str(path)))
