"""Chooses a training's defaults: what an unfinished training in its folder has, or a backbone for this machine and
these pictures; and whether pictures are mirrored."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from ..config.settings import load_config
from ..config.sides import lone_sides
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
) -> tuple[TrainConfig, list[str]]:
    """(configuration, lines) of a training. lines: what was chosen for these data and this machine, and why: not to
    mirror images, and the backbone `tiny`.

    values, file: what the user gave, for `make_config`, which counts. data: to train on. out: the training's folder; a
    training that has begun there keeps its backbone. Raises UserError.
    """
    config = make_config(values, file)
    begun = find_begun(out)
    chosen = dict[str, Any]()
    lines = list[str]()
    alone = lone_sides(data.classes)
    if alone and config.flip and "flip" not in config.given:
        chosen["flip"] = False
        lines.append(f"images are not mirrored, because the other side of {alone} is no class; --flip mirrors them")
    if begun is not None and begun.architecture == config.architecture:
        chosen |= {name: getattr(begun, name) for name in AS_BEGUN}
    elif not {"backbone", "weights"} & {*config.given}:
        why = _why_tiny(config, data)
        if why:
            chosen["backbone"] = "tiny"
            lines.append(f"backbone tiny, because {why}; --backbone {config.backbone} is for large images and a GPU")
    return make_config(values, file, chosen), lines


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
