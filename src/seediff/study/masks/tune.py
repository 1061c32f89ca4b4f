"""Each method's own best setting, sought on the `tune` scenes, which nothing is reported on.

Two rounds: every soft mask of every grid without PAMR at every threshold, then PAMR for the contenders. Attention is captured
once and dropped; the soft masks, at the side of the attention, are small enough to keep between the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...mini.scenes import Scene
from ...models.registry import Model
from ...report.progress import tracked
from .capture import TIMESTEPS, captured
from .contest import BETAS, METHOD_NAMES, Setting, contenders, fitted_grid, fitted_paper, refinements
from .score import exact_masks, refined_masks, small_masks, sweep, winners


@dataclass(frozen=True)
class Trial:
    """One setting at its own best threshold: mean IoU over (image, class) pairs of the tuning scenes."""

    method: str
    setting: Setting
    iou: float


def tune(model: Model, scenes: Sequence[Scene], *, timesteps: Sequence[int] = TIMESTEPS, seed: int) -> list[Trial]:
    """Every setting of every method's grid without PAMR, and its contenders with each width of PAMR, each at its best threshold."""
    first = [(method, setting.with_config(pamr=False)) for method in METHOD_NAMES for setting in fitted_grid(model, method)]
    sources = list(dict.fromkeys(setting.source for _, setting in first))
    papers = fitted_paper(model)
    board = _Board([setting for _, setting in first])
    kept: list[tuple[Scene, dict[Setting, torch.Tensor]]] = []
    items = captured(model, scenes, sources, timesteps=timesteps, seed=seed)
    for _, scene, maps in tracked(items, "tuning", len(scenes)):
        small = small_masks(scene.classes, maps, board.settings)
        board.add(scene, small)
        kept.append((scene, small))
    trials = board.trials([method for method, _ in first])

    second = [
        (method, refined)
        for method in METHOD_NAMES
        for setting in contenders([(t.setting, t.iou) for t in trials if t.method == method], papers)
        for refined in refinements(setting)
        if refined.config.pamr
    ]
    board = _Board([setting for _, setting in second])
    for scene, small in tracked(kept, "tuning PAMR", len(kept)):
        board.add(scene, small)
    return trials + board.trials([method for method, _ in second])


class _Board:
    """Running sums of IoU, settings by thresholds."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        self.settings = list(settings)
        self.total = np.zeros((len(self.settings), len(BETAS)))
        self.pairs = 0

    def add(self, scene: Scene, small: dict[Setting, torch.Tensor]) -> None:
        exact = exact_masks(scene)
        for start in range(0, len(self.settings), 64):  # a sweep needs several times its input's memory
            part = slice(start, start + 64)
            soft = refined_masks(scene.image, small, self.settings[part])
            intersections, unions = sweep(winners(soft), exact, BETAS)
            self.total[part] += (intersections / np.maximum(unions, 1)).sum(1)
        self.pairs += len(scene.classes)

    def trials(self, methods: Sequence[str]) -> list[Trial]:
        """Each setting at its best threshold, the lowest of equals."""
        mean = self.total / self.pairs
        return [
            Trial(method, setting.with_config(beta=float(BETAS[row.argmax()])), float(row.max()))
            for method, setting, row in zip(methods, self.settings, mean, strict=True)
        ]


def best(trials: Sequence[Trial], method: str, where: Callable[[Setting], bool] = lambda setting: True) -> Trial:
    """The method's best trial among those whose setting passes `where`; the first of equals."""
    return max((t for t in trials if t.method == method and where(t.setting)), key=lambda t: t.iou)
