"""Constants that were tuned for a model, from the `seediff.json` in its folder; "paper" is what the dataclasses' defaults are.

The paper's constants are for Stable Diffusion at 512². A small model has other best ones, found on scenes that no study measures on
(`seediff study truth` names them), and it carries them with it, for each method its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import UserError


def model_preset(model: str, method: str | None = None) -> dict[str, Any]:
    """The model's own constants as a table for `build_config`, for `method` or, when None, for the one that it recommends.

    Empty for a model without any, or without any for this method: then the paper's apply; and for one that is not there, which
    loading it will say better. Raises UserError when the file is broken.
    """
    from .models.registry import resolve_name  # light: loads no model

    try:
        source = resolve_name(model)
    except UserError:
        return {}
    path = Path(source) / "seediff.json"
    if isinstance(source, str) or not path.is_file():
        return {}
    try:
        preset = json.loads(path.read_text(encoding="utf-8")).get("preset", {})
        chosen = method or preset.get("method")
        constants = preset.get("methods", {}).get(chosen, {})
        table = {key: preset[key] for key in ("steps", "guidance_scale") if key in preset}
        mask = {key: tuple(value) if isinstance(value, list) else value for key, value in constants.get("mask", {}).items()}
        return {**table, "mask": {**({"method": chosen} if chosen else {}), **mask}, "capture": dict(constants.get("capture", {}))}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
