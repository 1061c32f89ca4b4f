"""Each method's own best setting, sought on the `tune` scenes, which nothing is reported on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.progress import Progress

from ..models.mini.world import Scene
from ..models.registry import Model
from .contest import BETAS, LAYERS, METHOD_NAMES, Setting, grid, refinements
from .score import captured, exact_masks, soft_masks, sweep, winners


@dataclass(frozen=True)
class Trial:
    """One setting at its own best threshold: mean IoU over (image, class) pairs of the tuning scenes."""

    method: str
    setting: Setting
    iou: float


def tune(model: Model, scenes: Sequence[Scene], *, seed: int, progress: Progress) -> list[Trial]:
    """Every setting of every method's grid, without PAMR and with each of its widths, each at its best threshold."""
    entries = [(method, refined) for method in METHOD_NAMES for setting in grid(method) for refined in refinements(setting)]
    settings = [setting for _, setting in entries]
    total = np.zeros((len(settings), len(BETAS)))
    pairs = 0
    for _, scene, maps in captured(model, scenes, LAYERS, seed=seed, progress=progress, label="tuning"):
        exact = exact_masks(scene)
        soft = soft_masks(scene.image, scene.classes, maps, settings)
        for start in range(0, len(settings), 64):  # a sweep needs several times its input's memory
            part = slice(start, start + 64)
            intersections, unions = sweep(winners(soft[part]), exact, BETAS)
            total[part] += (intersections / np.maximum(unions, 1)).sum(1)
        pairs += len(scene.classes)
    mean = total / pairs
    return [
        Trial(method, setting.with_config(beta=float(BETAS[row.argmax()])), float(row.max()))
        for (method, setting), row in zip(entries, mean, strict=True)
    ]


def best(trials: Sequence[Trial], method: str, where: Callable[[Setting], bool] = lambda setting: True) -> Trial:
    """The method's best trial among those whose setting passes `where`; the first of equals."""
    return max((t for t in trials if t.method == method and where(t.setting)), key=lambda t: t.iou)
