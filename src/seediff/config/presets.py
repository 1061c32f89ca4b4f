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

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import tomli_w

from .. import __version__
from ..errors import UserError
from ..files.reading import fit, read_toml
from .fields import Share, check_table, flatten
from .layers import Layer
from .method_constants import CaptureConfig, CaptureSteps, MaskConfig, SegmentConfig
from .methods import Method
from .settings import TUNED, Settings

THRESHOLDS = {"mask": "presence", "segment": "name_threshold"}
"""Command → its threshold whose best value differs from model to model."""


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
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Mask method → its constants in two tables: {"mask": {"beta": 0.4}, "capture": …}."""
    segments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Segment method → its constants."""
    path: str = field(default="", compare=False)
    """The path of the seediff.json, for messages."""

    def values(self, tables: Collection[str], mask_method: str, segment_method: str) -> dict[str, Any]:
        """Flat name → value, for a configuration. tables: the names of the configuration's tables, such as `mask`.
        mask_method, segment_method: the methods whose constants are included. Raises UserError."""
        table = {name: getattr(self, name) for name in ("steps", "guidance_scale", "scheduler", *THRESHOLDS.values())}
        if "mask" in tables:
            constants = self.mask_constants(mask_method)
            mask = {"method": self.method, **constants.get("mask", {})}
            table |= {"capture": constants.get("capture", {}), "mask": mask}
        if "segment" in tables:
            table["segment"] = self.segment_constants(segment_method)
        return {name: value for name, value in flatten(table).items() if value is not None}

    def mask_constants(self, method: str) -> dict[str, Any]:
        """The checked tables `mask` and `capture` of a mask method; empty without constants for it. Raises
        UserError."""
        return check_table(MethodConstants, self.methods.get(method, {}), f"{self.path} [preset.methods.{method}]")

    def segment_constants(self, method: str) -> dict[str, Any]:
        """The checked constants of a segment method; empty without constants for it. Raises UserError."""
        return check_table(SegmentConfig, self.segments.get(method, {}), f"{self.path} [preset.segments.{method}]")


@dataclass(frozen=True, kw_only=True)
class MethodConstants(Settings):
    """A mask method's constants, and the capture with which they were tuned."""

    mask: MaskConfig = field(default_factory=MaskConfig)
    capture: CaptureConfig = field(default_factory=CaptureConfig)


def read_preset(preset: Mapping[str, Any], path: str) -> Preset:
    """The preset of a model. The constants of a method are checked only when they are used.

    preset: the table `preset` of the model's seediff.json. path: the path of this file. Raises UserError."""
    table = dict(preset)
    methods, segments = (
        fit(table.pop(name, {}), dict[str, dict[str, Any]], f"{path} [preset.{name}]")
        for name in ("methods", "segments")
    )
    return Preset(**check_table(Preset, table, f"{path} [preset]"), methods=methods, segments=segments, path=path)


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

    def layer(self, command: str, chosen: Mapping[str, Any]) -> Layer:
        """The file's values for a command: the command's threshold, the model, and for `mask` the method with its beta.
        The model is left out if the user named a model, and method and beta if the user named another method.

        command: `mask` or `segment`. chosen: flat name → value, from the user."""
        name = THRESHOLDS[command]
        values: dict[str, Any] = {name: getattr(self, name)}
        if "model" not in chosen:
            values["model"] = self.model
        if name == "presence" and self.beta is not None and chosen.get("mask.method", self.method) == self.method:
            values |= {"mask.method": self.method, "mask.beta": self.beta}
        return Layer(f"{TUNED}{self.model}", {name: value for name, value in values.items() if value is not None})


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
