"""The constants that a study measures with: tuned on the `tune` scenes, on which nothing is reported, or taken from an earlier study.

Tuning has two rounds: every soft mask of every grid without PAMR at every threshold, then the contenders with PAMR. Attention is captured
once and dropped; the soft masks, at the attention's size, are small enough to keep between the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta

from ...config.levels import level_name
from ...config.methods import BEST, METHOD_FACTS
from ...config.presets import recommended_mask
from ...errors import UserError
from ...files.documents import fit, read_json
from ...mini.scenes import Scene
from ...models.registry import Model
from ...report.progress import tracked
from .capture import TIMESTEPS, captured
from .contest import (
    BETAS,
    LEVELS,
    METHOD_NAMES,
    ONE_LEVEL,
    PAMRS,
    SHARES,
    Setting,
    contenders,
    fitted_grid,
    fitted_paper,
    pamr_name,
    refinements,
)
from .score import exact_masks, refined_masks, small_masks, sweep, winners

CLEAR = 0.01
"""The lead in mean IoU over the whole of SeeDiff, on the tuning scenes, that another method needs to be recommended.

A quarter of the width of a 95 % interval over 500 scenes, and less of an interval over fewer: a smaller lead is noise, which must not
decide the recommendation. The default method in a model's preset is for people to choose."""


@dataclass(frozen=True)
class Purpose:
    """The purpose of an entry of `settings` in results.json; its other fields are `Setting.table`."""

    kind: str
    name: str


@dataclass(frozen=True)
class ConstantsFile:
    """The part of results.json of `seediff study truth` that is read."""

    settings: list[dict[str, Any]]
    preset: dict[str, Any]
    tune_scenes: Annotated[int, Meta(ge=0)]


@dataclass(frozen=True)
class Constants:
    """chosen: settings by (kind, name), from `choose`. preset: the model's preset, from `preset`.

    tune_scenes: the number of scenes they were tuned on. trials: everything tried; None for constants of an earlier study.
    """

    chosen: dict[tuple[str, str], Setting]
    preset: dict[str, Any]
    tune_scenes: int
    trials: list[Trial] | None

    def about(self) -> dict[str, Any]:
        """The entries of a study's result that `read_constants` reads."""
        settings = [{"kind": kind, "name": name, **setting.table()} for (kind, name), setting in self.chosen.items()]
        return {"tune_scenes": self.tune_scenes, "preset": self.preset, "settings": settings}


def seek_constants(model: Model, scenes: Sequence[Scene], *, timesteps: Sequence[int] = TIMESTEPS, seed: int) -> Constants:
    """The best constants on these scenes; and, next to every method's own best, the shipped setting of the model's `--method best`."""
    trials = tune(model, scenes, timesteps=timesteps, seed=seed)
    shipped = recommended_mask(model.name, BEST)
    chosen = choose(trials, fitted_paper(model)) | {("own_best", BEST): Setting(shipped.mask, shipped.capture)}
    return Constants(chosen, preset(trials), len(scenes), trials)


def read_constants(path: Path) -> Constants:
    """The constants in the results.json of an earlier study. Raises UserError naming the file if any are missing."""
    result = read_json(path, ConstantsFile)
    chosen = {}
    for number, row in enumerate(result.settings):
        where = f"{path}: settings[{number}]"
        purpose = fit(row, Purpose, where)
        chosen[purpose.kind, purpose.name] = Setting.from_table(row, where)
    constants = Constants(chosen, result.preset, result.tune_scenes, None)
    missing = [f"{kind} of {name}" for kind in ("own_best", "paper") for name in METHOD_NAMES if (kind, name) not in chosen]
    if missing:
        named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise UserError(f"constants '{path}': has no settings for {named}; `seediff study truth` writes a file with all")
    return constants


def choose(trials: Sequence[Trial], papers: Mapping[str, Setting]) -> dict[tuple[str, str], Setting]:
    """The settings to measure on the held-out scenes: (kind, name) → setting. papers: every method at its paper's constants.

    Kinds: own_best (with PAMR) and own_best_without, paper and paper_without, by method; ca_side, by level of the CA baseline; seed_side
    and seed_side_paper, by level of SeeDiff's seeds; variant, SeeDiff with one choice fixed and the rest at its best. Only levels, layers
    and shares that were tried are included.
    """
    chosen: dict[tuple[str, str], Setting] = {}
    for method in METHOD_NAMES:
        chosen["own_best", method] = best(trials, method, lambda s: s.config.pamr).setting
        chosen["own_best_without", method] = best(trials, method, lambda s: not s.config.pamr).setting
        chosen["paper", method] = papers[method]
        chosen["paper_without", method] = papers[method].with_config(pamr=False)

    def fix(kind: str, name: str, has: Callable[[Setting], bool], method: str = "seediff") -> None:
        """Choose the method's best setting with PAMR among those for which `has` is true, if there are any."""
        if any(t.method == method and t.setting.config.pamr and has(t.setting) for t in trials):
            chosen[kind, name] = best(trials, method, lambda s: s.config.pamr and has(s)).setting

    for side in ONE_LEVEL:
        fix("ca_side", level_name(side), lambda s, side=side: s.config.expand_levels == (side,), "ca")
    for side in ONE_LEVEL:
        fix("seed_side", level_name(side), lambda s, side=side: s.config.seed_level == side)
        if ("seed_side", level_name(side)) in chosen:
            chosen["seed_side_paper", level_name(side)] = papers["seediff"].with_config(seed_level=side)
    for group in dict.fromkeys(t.setting.capture.layers for t in trials):
        fix("variant", f"layers {group}", lambda s, group=group: s.capture.layers == group)
    if any(t.setting.capture.text_share for t in trials):
        for share in SHARES:
            fix("variant", f"share {share or 'row'}", lambda s, share=share: s.capture.text_share == share)
    for levels in LEVELS:
        shown = "expand " + " ".join(level_name(side) for side in levels)
        fix("variant", shown, lambda s, levels=levels: s.config.expand_levels == levels)
    for constants in PAMRS:
        name = pamr_name(papers["seediff"].with_config(pamr=True, **constants).config)
        fix("variant", f"pamr {name}", lambda s, name=name: pamr_name(s.config) == name)
    for compete in (False, True):
        fix("variant", f"classes {'compete' if compete else 'by themselves'}", lambda s, compete=compete: s.config.compete == compete)
    return chosen


def preset(trials: Sequence[Trial]) -> dict[str, Any]:
    """A model's preset, as `config/presets.py` reads it. methods: constants by the name that `--method` takes; the row `best` is the best
    method's, however small its lead. method: the recommended method, which is the best on the tuning scenes, or SeeDiff if it is less than
    `CLEAR` behind. note: the reason. SeeDiff's ablations (CAA, CRE, IRE) are in the note alone, because `--method` does not take them.
    """
    top = {method: best(trials, method) for method in METHOD_NAMES}
    tables = {name: top[name].setting.table() for name in METHOD_NAMES if name in METHOD_FACTS}
    winner = highest = max(tables, key=lambda method: top[method].iou)
    note = f"{winner} is the best on the tuning scenes"
    if winner != "seediff" and top[winner].iou - top["seediff"].iou < CLEAR:
        note = f"seediff is less than {CLEAR} behind {winner}, which is the best on the tuning scenes"
        winner = "seediff"
    note += "; mean IoU: " + ", ".join(f"{method} {top[method].iou:.4f}" for method in METHOD_NAMES)
    whole = {name: {"mask": table["mask"], "capture": table["capture"]} for name, table in tables.items()}
    row = {**whole[highest], "mask": {"method": highest, **whole[highest]["mask"]}}
    return {"method": winner, "methods": whole | {BEST: row}, "note": note}


@dataclass(frozen=True)
class Trial:
    """One setting at its best threshold. iou: mean over (image, class) pairs of the tuning scenes."""

    method: str
    setting: Setting
    iou: float


def tune(model: Model, scenes: Sequence[Scene], *, timesteps: Sequence[int] = TIMESTEPS, seed: int) -> list[Trial]:
    """Try every setting of every method's grid without PAMR, and the contenders with each of PAMRS, each at its best threshold."""
    first = [(method, setting.with_config(pamr=False)) for method in METHOD_NAMES for setting in fitted_grid(model, method)]
    sources = list(dict.fromkeys(setting.capture for _, setting in first))
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
    """Running sums of IoU for every setting and threshold."""

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
        """Each setting at its best threshold, the lowest if several are equal."""
        mean = self.total / self.pairs
        return [
            Trial(method, setting.with_config(beta=float(BETAS[row.argmax()])), float(row.max()))
            for method, setting, row in zip(methods, self.settings, mean, strict=True)
        ]


def best(trials: Sequence[Trial], method: str, where: Callable[[Setting], bool] = lambda setting: True) -> Trial:
    """The method's best trial among those whose setting passes `where`; the first if several are equal."""
    return max((t for t in trials if t.method == method and where(t.setting)), key=lambda t: t.iou)
