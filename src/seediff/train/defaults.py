"""Chooses a training's defaults: what an unfinished training in its folder has, or a backbone for this machine and
these pictures."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from ..config.settings import load_config
from ..config.train import TrainConfig, make_config
from ..errors import UserError
from ..files.outputs import CONFIG, check_outside
from .stages import TrainingData

SMALL = 256
"""The longest side in pixels of small pictures, for which the backbone `tiny` is made."""
DAMAGED = "holds a training that is damaged or of another version of seediff"
AS_BEGUN = ("backbone", "device", "dtype")
"""Fields that keep their values when a training continues, perhaps on another machine, unless the user names them."""


def choose_defaults(
    values: Mapping[str, Any], file: Path | None, data: TrainingData, out: Path
) -> tuple[TrainConfig, str]:
    """(configuration, line) of a training. line: says that the backbone `tiny` was chosen, and why; "" if it was not:
    the user named a backbone or weights, a training has begun in `out`, or the default suits this machine and data.

    values, file: what the user gave, for `make_config`. data: to train on. out: the training's folder. Raises
    UserError.
    """
    config, begun = make_config(values, file), find_begun(out)
    if begun is not None and begun.architecture == config.architecture:
        return make_config(values, file, {name: getattr(begun, name) for name in AS_BEGUN}), ""
    why = ""
    if not {"backbone", "weights"} & {*config.given}:
        why = _why_tiny(config, data)
    if not why:
        return config, ""
    line = f"backbone tiny, because {why}; --backbone {config.backbone} is for large images and a GPU"
    return make_config(values, file, {"backbone": "tiny"}), line


def _why_tiny(config: TrainConfig, data: TrainingData) -> str:
    from ..devices import default_device  # imports torch

    if (config.device or default_device()) == "cpu":
        return "the training runs on the cpu"
    items = chain.from_iterable(stage.items for stage in data.stages)
    if all(max(item.size()) <= SMALL for item in items):
        return f"no image has more than {SMALL} pixels a side"
    return ""


def find_begun(out: Path) -> TrainConfig | None:
    """The configuration of the training in a folder; None for an empty or missing folder. Raises UserError if the
    folder holds anything else."""
    entries = out.iterdir() if out.is_dir() else ()
    names = [entry.name for entry in entries if not entry.name.startswith(".")]
    if not names:
        check_outside(out)
        return None
    if CONFIG not in names:
        problem = f"not empty, and not a training of SeeDiff (it holds {min(names)})"
        raise UserError(out, problem, "choose another folder")
    try:
        return load_config(out / CONFIG, TrainConfig)
    except UserError as error:
        raise UserError(out, f"{DAMAGED} ({error})", "choose another folder") from error
