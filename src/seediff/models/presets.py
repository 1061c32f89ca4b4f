"""`Preset`: the constants that were tuned for a model. The `preset` in the seediff.json of the model's folder has them,
or a file that `seediff tune` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from ..errors import UserError
from ..files.reading import fit, read_toml
from ..version import __version__

Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Constants that were tuned for a model. None: not tuned. Wrong constants are refused where a configuration is made
    of them."""

    model: str = ""
    """In a file of `seediff tune`, the model's name."""
    weights: str = ""
    """In a file of `seediff tune`, the fingerprint of the model's weights."""
    note: str = ""
    steps: int | None = None
    guidance_scale: float | None = None
    guidance_of_several: float | None = None
    """The guidance scale with several classes in an image."""
    scheduler: str | None = None
    capture_steps: int | str | None = None
    """Which denoising steps are captured, for any method; photographs have none."""
    method: str | None = None
    presence: float | None = None
    name_threshold: float | None = None
    methods: Mapping[str, Tables] = field(default_factory=dict)
    """Mask method → its constants in two tables: {"mask": {"beta": 0.4}, "capture": …}."""
    segments: Tables = field(default_factory=dict)
    """Segment method → its constants."""

    def values(self, method: str, segmenter: str, *, several: bool = False) -> dict[str, Any]:
        """Flat name (`mask.beta`) → value, of what was tuned for a mask method and a segment method. several: whether
        images have several classes."""
        plain = {name: getattr(self, name) for name in ("steps", "guidance_scale", "scheduler", *THRESHOLDS)}
        if several and self.guidance_of_several is not None:
            plain["guidance_scale"] = self.guidance_of_several
        tables = {**self.methods.get(method, {}), "segment": self.segments.get(segmenter, {})}
        own = {f"{table}.{name}": value for table, values in tables.items() for name, value in values.items()}
        known = {"mask.method": self.method, **plain, **own}
        return {name: value for name, value in known.items() if value is not None}


THRESHOLDS = "presence", "name_threshold"
"""What the papers do not have, because it differs from model to model."""


def read_preset(path: Path | str, *others: str) -> Preset:
    """The constants in a file that `seediff tune` wrote. others: what --preset may be instead. Raises UserError."""
    if not Path(path).is_file():
        raise UserError("preset", f"{path} must be {', '.join(others)} or a file of `seediff tune`; no such file")
    preset = fit(read_toml(path), Preset, str(path))
    if not preset.model:
        raise UserError(path, "is not a file of `seediff tune`: it names no model")
    return preset


def preset_toml(preset: Preset) -> str:
    """The text of a file that `read_preset` reads."""
    values = {name: value for name, value in vars(preset).items() if value not in (None, "", {})}
    return tomli_w.dumps({"command": "tune", "version": __version__, **values})
