"""What a method of masks expects of the capture: constants of its own where none are given, and what it cannot work with.

The paper's constants are the defaults of the dataclasses; a method that was described with others brings them along, so that naming it is
enough (docs/methods.md). A model's own constants for the method (presets.py) go before them.
"""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from .constants import MaskConfig

METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "seediff": {},
    "ca": {},
    "ca_sa": {},
    "reference": {"guidance_scale": 7.0, "capture": {"normalize": False, "layers": "up"}},
}
"""Tables as `build_config` takes them, by `MaskConfig.method`."""

PLAIN_MEANS = frozenset({"reference"})
"""Methods that are defined on plain means of attention."""


def with_method_defaults(preset: dict[str, Any], method: str | None) -> dict[str, Any]:
    """A model's constants, those of `method` behind them; when None, of the method that the preset recommends, or the paper's."""
    defaults = METHOD_DEFAULTS.get(method or preset.get("mask", {}).get("method", MaskConfig.method), {})
    return {**defaults, **preset, "capture": {**defaults.get("capture", {}), **preset.get("capture", {})}}


def check_capture(method: str, normalized: bool) -> None:
    """Raise UserError when a method cannot work with maps that were divided by their maxima (`CaptureConfig.normalize`)."""
    if normalized and method in PLAIN_MEANS:
        raise UserError(
            f"capture.normalize = true: method {method} works on plain means of attention; use --no-capture-normalize, "
            "or leave it out for the method's own"
        )
