"""The constants that a study measures with: tuned on the `tune` scenes, on which nothing is reported, or taken from an
earlier study.

Tuning has two rounds: every soft mask of every grid without PAMR at every threshold, then the contenders with PAMR.
Attention is captured once and dropped; the soft masks, at the attention's size, are small enough to keep between the
rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from seediff.config.methods import METHOD_FACTS, CaptureConfig, MaskConfig, level_name
from seediff.errors import UserError
from seediff.files.reading import read_json
from seediff.mini import Scene
from seediff.models.registry import Model

from .capture import captured
from .score import exact_masks, refined_masks, small_masks, sweep, winners
from .settings import (
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
)

CLEAR = 0.01
"""The lead in mean IoU over the whole of SeeDiff, on the tuning scenes, that another method needs to be recommended.

A quarter of the width of a 95 % interval over 500 scenes, and less of an interval over fewer: a smaller lead is noise,
which must not decide the recommendation. The default method in a model's preset is for people to choose."""
KINDS = ("own_best", "paper", "own_best_without", "ca_side", "seed_side", "variant")
"""What a setting is chosen for: see `choose`."""

Chosen = dict[tuple[str, str], Setting]
"""(kind, name) → setting."""


@dataclass(frozen=True)
class Trial:
    """One setting at its best threshold. iou: mean over (image, class) pairs of the tuning scenes."""

    method: str
    setting: Setting
    iou: float


def read_chosen(path: Path) -> Chosen:
    """The settings in the results.json of an earlier study of truth."""
    result = read_json(path, dict[str, Any])
    if not {"own_best", "paper"} <= set(result):
        raise UserError(path, "has no settings", "a study of truth writes a file that has")
    if lacks := [name for name in METHOD_NAMES if name not in result["own_best"]]:
        fix = "python recipes/renew.py finds them and measures again; --dry-run says what it costs"
        raise UserError(path, f"has no constants of {', '.join(lacks)}", fix)
    return {
        (kind, name): Setting.from_table(row["setting"], f"{path}: {kind}.{name}")
        for kind in KINDS
        for name, row in result.get(kind, {}).items()
    }


def choose(trials: Sequence[Trial], model: Model) -> Chosen:
    """The settings to measure on the held-out scenes.

    Kinds: own_best (with PAMR) and own_best_without, and paper, by method; ca_side, by level of the CA baseline;
    seed_side, by level of SeeDiff's seeds; variant, SeeDiff with one choice fixed and the rest at its best. Only levels
    and shares that were tried are included. Next to every method's own best, `best`: the row of this name in the
    model's preset.
    """
    chosen: Chosen = {}
    papers = fitted_paper(model)
    for method in METHOD_NAMES:
        chosen["own_best", method] = best(trials, method, lambda s: s.config.pamr).setting
        chosen["own_best_without", method] = best(trials, method, lambda s: not s.config.pamr).setting
        chosen["paper", method] = papers[method]

    def fix(kind: str, name: str, has: Callable[[Setting], bool], method: str = "seediff") -> None:
        """Choose the method's best setting with PAMR among those for which `has` is true, if there are any."""
        if any(t.method == method and t.setting.config.pamr and has(t.setting) for t in trials):
            chosen[kind, name] = best(trials, method, lambda s: s.config.pamr and has(s)).setting

    for side in ONE_LEVEL:
        fix("ca_side", level_name(side), lambda s, side=side: s.config.expand_levels == (side,), "ca")
        fix("seed_side", level_name(side), lambda s, side=side: s.config.seed_level == side)
    if any(t.setting.capture.text_share for t in trials):
        for share in SHARES:
            fix("variant", f"share {share or 'row'}", lambda s, share=share: s.capture.text_share == share)
    for levels in LEVELS:
        shown = "expand " + " ".join(level_name(side) for side in levels)
        fix("variant", shown, lambda s, levels=levels: s.config.expand_levels == levels)
    for compete in (False, True):
        fix(
            "variant",
            f"classes {'compete' if compete else 'by themselves'}",
            lambda s, compete=compete: s.config.compete == compete,
        )
    preset = model.info.settings.preset
    shipped = preset and preset.methods.get("best")
    if shipped:
        chosen["own_best", "best"] = Setting(MaskConfig(**shipped["mask"]), CaptureConfig(**shipped["capture"]))
    return chosen


def preset(trials: Sequence[Trial]) -> dict[str, Any]:
    """A model's preset, as `models/describe.py` reads it, and the constants for the files of recipes/methods.

    methods: constants by the name of the method or of its file; the row `best` is the best method's that needs no file,
    however small its lead. method: the recommended method, which is the same one, or SeeDiff if it is less than `CLEAR`
    behind. note: the reason. SeeDiff's ablations (CAA, CRE, IRE) are in the note alone, which says why.
    """
    top = {method: best(trials, method) for method in METHOD_NAMES}
    whole = constants(trials)
    named = [name for name in whole if METHOD_FACTS[name].user_function is None]
    winner = highest = max(named, key=lambda method: top[method].iou)
    lead = "the best on the tuning scenes of the methods that `--method` names"
    note = f"{winner} is {lead}"
    if winner != "seediff" and top[winner].iou - top["seediff"].iou < CLEAR:
        note = f"seediff is less than {CLEAR} behind {winner}, which is {lead}"
        winner = "seediff"
    note += "; its ablations caa, cre and ire are no candidates, because `--method` does not take them"
    note += "; mean IoU: " + ", ".join(f"{method} {trial.iou:.4f}" for method, trial in top.items())
    row = {**whole[highest], "mask": {"method": highest, **whole[highest]["mask"]}}
    return {"method": winner, "methods": whole | {"best": row}, "note": note}


def constants(trials: Sequence[Trial]) -> dict[str, Any]:
    """Method of METHOD_FACTS → its best constants, as a preset has them."""
    methods = dict.fromkeys(trial.method for trial in trials if trial.method in METHOD_FACTS)
    tables = {name: best(trials, name).setting.table() for name in methods}
    return {name: {"mask": table["mask"], "capture": table["capture"]} for name, table in tables.items()}


def tune(model: Model, scenes: Sequence[Scene], methods: Sequence[str] = METHOD_NAMES) -> list[Trial]:
    """Try every setting of the methods' grids without PAMR, and the contenders with each of PAMRS, each at its best
    threshold.
    """
    first = [(method, setting.with_config(pamr=False)) for method in methods for setting in fitted_grid(model, method)]
    papers, settings = fitted_paper(model), [setting for _, setting in first]
    kept: list[tuple[Scene, Mapping[Setting, torch.Tensor]]] = []
    items = captured(model, scenes, list(dict.fromkeys(setting.capture for setting in settings)), seed=0)
    for _, scene, maps in track(items, "tuning", len(scenes)):
        kept.append((scene, small_masks(scene.classes, maps, settings)))
    trials = _tried(first, kept)
    second = [
        (method, setting.with_config(pamr=True, **constants))
        for method in methods
        for setting in contenders(method, [(t.setting, t.iou) for t in trials if t.method == method], papers[method])
        for constants in PAMRS
    ]
    return trials + _tried(second, track(kept, "tuning PAMR", len(kept)))


def _tried(
    tried: Sequence[tuple[str, Setting]], scenes: Iterable[tuple[Scene, Mapping[Setting, torch.Tensor]]]
) -> list[Trial]:
    """Each method's setting at its best threshold, the lowest if several are equal."""
    total, pairs = np.zeros((len(tried), len(BETAS))), 0
    for scene, small in scenes:
        exact = exact_masks(scene)
        for start in range(0, len(tried), 64):  # a sweep needs several times its input's memory
            part = slice(start, start + 64)
            soft = refined_masks(scene.image, small, [setting for _, setting in tried[part]])
            intersections, unions = sweep(winners(soft), exact, BETAS)
            total[part] += (intersections / np.maximum(unions, 1)).sum(1)
        pairs += len(scene.classes)
    return [
        Trial(method, setting.with_config(beta=float(BETAS[row.argmax()])), float(row.max()))
        for (method, setting), row in zip(tried, total / pairs, strict=True)
    ]


def best(trials: Sequence[Trial], method: str, where: Callable[[Setting], bool] = lambda setting: True) -> Trial:
    """The method's best trial among those whose setting passes `where`; the first if several are equal."""
    return max((t for t in trials if t.method == method and where(t.setting)), key=lambda t: t.iou)
