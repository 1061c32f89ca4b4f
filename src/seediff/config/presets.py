"""Constants that were tuned for a model, from the `seediff.json` in its folder; "paper" is what the dataclasses' defaults are.

The paper's constants are for Stable Diffusion at 512². A small model has other best ones, found on scenes that no study measures on
(`seediff study truth` names them), and it carries them with it, for each method its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.documents import read_json
from ..files.reading import SETTINGS
from ..files.schema import checked, fit
from .constants import CaptureConfig, CaptureSteps, MaskConfig, SegmentConfig
from .methods import METHOD_FACTS, Method


@dataclass(frozen=True)
class _Preset:
    """What `preset` in seediff.json may hold, next to `methods` and `segments`: the constants of each method, by its name."""

    steps: int
    guidance_scale: float
    capture_steps: CaptureSteps
    """Of drawing, whatever the method; photographs have noise levels instead."""
    method: Method
    presence: float
    """Of `mask`: scores from here on count as "the class is in the picture"."""
    name_threshold: float
    """Of `segment --names`: segments whose best word scores lower stay unnamed."""
    note: str


THRESHOLDS = ("presence", "name_threshold")


@dataclass(frozen=True)
class _Constants:
    """What each of `methods` may hold."""

    mask: MaskConfig = field(default_factory=MaskConfig)
    capture: CaptureConfig = field(default_factory=CaptureConfig)


def model_preset(model: str, method: str | None = None) -> dict[str, Any]:
    """The model's own constants as a table for `build_config`, for `method` or, when None, for the one that it recommends.

    Empty for a model without any, or without any for this method: then the paper's apply; and for one that is not there, which
    loading it will say better. Raises UserError when the file is broken or holds what is no constant.
    """
    path, preset = _read_preset(model)
    if path is None:
        return {}
    preset.pop("segments", None)
    methods = _table(preset.pop("methods", {}), f"{path} [preset.methods]")
    preset = checked(_Preset, preset, f"{path} [preset]")
    constants = {name: _check_constants(table, f"{path} [preset.methods.{name}]") for name, table in methods.items()}
    chosen = method or preset.get("method")
    for name in THRESHOLDS:
        check_threshold(name, preset.get(name), f"{path} [preset]")
    if "capture_steps" in preset:
        check_capture_steps(preset["capture_steps"], f"{path} [preset]: ")
    table = {key: preset[key] for key in ("steps", "guidance_scale", "capture_steps", *THRESHOLDS) if key in preset}
    method_constants = constants.get(chosen or "", {})
    return {
        **table,
        "mask": {**({"method": chosen} if chosen else {}), **method_constants.get("mask", {})},
        "capture": method_constants.get("capture", {}),
    }


def with_method_defaults(preset: dict[str, Any], method: str | None) -> dict[str, Any]:
    """A model's constants, those of `method` behind them; when None, of the method that the preset recommends, or the paper's."""
    facts = METHOD_FACTS.get(method or preset.get("mask", {}).get("method", MaskConfig.method))
    defaults = facts.defaults if facts else {}
    return {**defaults, **preset, "capture": {**defaults.get("capture", {}), **preset.get("capture", {})}}


def for_drawing(constants: Mapping[str, Any]) -> dict[str, Any]:
    """A model's constants with its `capture_steps`, if any, where drawing has them: `steps` of capture."""
    steps = {"steps": constants["capture_steps"]} if "capture_steps" in constants else {}
    return {**constants, "capture": {**steps, **constants.get("capture", {})}}


def segment_preset(model: str, method: str | None = None) -> dict[str, Any]:
    """The model's own constants for dividing photographs and naming segments, by `preset.segments` and `preset.name_threshold` of its
    seediff.json: {"segment": {…}, "name_threshold": …} for `method`, when None for DiffSeg. Empty and raising as `model_preset`."""
    path, preset = _read_preset(model)
    if path is None:
        return {}
    methods = _table(preset.get("segments", {}), f"{path} [preset.segments]")
    where = f"{path} [preset.segments.{method or SegmentConfig.method}]"
    named = {name: value for name, value in model_thresholds(model).items() if name == "name_threshold"}
    return {"segment": checked(SegmentConfig, _table(methods.get(method or SegmentConfig.method, {}), where), where), **named}


def model_thresholds(model: str) -> dict[str, float]:
    """Those of THRESHOLDS that were tuned for the model, by `preset` of its seediff.json. Raises as `model_preset`."""
    path, preset = _read_preset(model)
    for name in THRESHOLDS:
        check_threshold(name, preset.get(name), f"{path} [preset]")
    return {name: float(preset[name]) for name in THRESHOLDS if preset.get(name) is not None}


def check_capture_steps(value: Any, where: str = "") -> None:
    """Raise UserError, beginning with `where`, when `capture_steps` is none that `CaptureConfig` takes as `steps`."""
    try:
        CaptureConfig(steps=value)
    except UserError as error:
        raise UserError(f"{where}capture_{error}") from error


def check_threshold(name: str, value: Any, where: str) -> None:
    """Raise UserError naming where it stands when a threshold is no number in [0, 1]; None is not set."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1):
        raise UserError(f"{where}: {name} = {value!r} must be a number in [0, 1]")


def _read_preset(model: str) -> tuple[Path | None, dict[str, Any]]:
    """`preset` of the model's seediff.json and where that is; None and nothing where there is no such file."""
    path = _preset_file(model)
    if path is None:
        return None, {}
    return path, fit(read_json(path, dict[str, Any], limit=SETTINGS).get("preset", {}), dict[str, Any], f"{path}, 'preset'")


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: must be an object")
    return value


def _check_constants(table: Any, where: str) -> dict[str, Any]:
    """One method's constants, with names, types and values that `MaskConfig` and `CaptureConfig` take."""
    if not isinstance(table, dict):
        raise UserError(f"{where}: must be an object with 'mask' and 'capture'")
    constants = checked(_Constants, table, where)
    try:
        MaskConfig(**constants.get("mask", {}))
        CaptureConfig(**constants.get("capture", {}))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return constants


def _preset_file(model: str) -> Path | None:
    """seediff.json of a local model, when it has one."""
    from ..models.registry import resolve_name  # light: loads no model

    try:
        source = resolve_name(model)
    except UserError:
        return None
    path = Path(source) / "seediff.json"
    return path if isinstance(source, Path) and path.is_file() else None
