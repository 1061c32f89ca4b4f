"""Measured truth: masks of held-out scenes, made from attention alone, against the exact ones.

A scene is encoded, noised at several timesteps and captured with its caption; every method then makes its mask from the
same attention. Each method is measured at its paper's constants and at its own best, found on other scenes (`tune`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...attention.maps import AttentionMaps
from ...attention.photograph import check_schedule
from ...files.places import check_writable
from ...mini.scenes import Scene, load_scenes
from ...models.registry import load_model
from ..bars import study_progress
from ..results import picture_grid, write_results
from .constants import read_constants, seek_constants
from .contest import METHOD_NAMES, Setting, Source
from .score import TIMESTEPS, Scores, captured, exact_masks, label_map, score, soft_masks, threshold, winners

SHEET_SCENES = 12


def run_truth(
    scenes: int = 500,
    out: Path = Path("truth"),
    *,
    model: str = "mini",
    scene_set: Literal["truth", "shift"] = "truth",
    tune_scenes: int = 200,
    constants: Path | None = None,
    timesteps: Sequence[int] = TIMESTEPS,
    json_path: Path | None = None,
    seed: int = 0,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure every method on the first `scenes` of `scene_set`; write tables and a picture grid to `out`; return the result.

    timesteps: noise levels of the model's schedule, at which a scene's attention is captured and averaged.

    Each method's own best constants are sought on the first `tune_scenes` of the tuning set, or read from `constants`, the
    results.json of an earlier study. `preset.json` holds them as a model's `seediff.json` takes them.

    The result's `methods` are at each one's own best with PAMR, `paper_constants` at the paper's; `Scores.summary` says
    what each figure is. `ahead_of_seediff` has the differences from SeeDiff in both, with paired intervals.

    Raises:
        UserError: more scenes asked for than there are, an unknown model, timesteps that it does not have, unusable `constants`, or no
            place to write to.
    """
    started = time.monotonic()
    held = load_scenes(scene_set, scenes)
    earlier = read_constants(constants) if constants else None
    tuning = [] if earlier else load_scenes("tune", tune_scenes)
    check_writable(out, json_path)
    loaded = load_model(model, device=device)
    order = sorted(set(check_schedule(loaded, timesteps)))
    with study_progress() as progress:
        found = earlier or seek_constants(loaded, tuning, timesteps=order, seed=seed, progress=progress)
        chosen = found.chosen
        settings = list(dict.fromkeys(chosen.values()))
        sources = list(dict.fromkeys(setting.source for setting in settings))
        headline = [chosen[kind, m] for kind in ("own_best", "paper") for m in METHOD_NAMES]
        items = captured(loaded, held, sources, timesteps=order, seed=seed + 1, progress=progress, label=scene_set)
        first = list(islice(items, SHEET_SCENES))
        scores = score(chain(first, items), settings, boundary_of=headline)
    result = assemble(chosen, settings, scores) | found.about()
    result |= {
        "scenes": scenes,
        "scene_set": scene_set,
        "model": loaded.name,
        "pairs": len(scores.classes),
        "timesteps": order,
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
    }
    sheet = picture_grid([scene for _, scene, _ in first], sheet_masks(first, chosen))
    write_results(out, result, found.trials, sheet, json_path)
    return result


def assemble(chosen: dict[tuple[str, str], Setting], settings: list[Setting], scores: Scores) -> dict[str, Any]:
    """The figures of every chosen setting, grouped as the report shows them, each with its constants."""

    def figures(kind: str) -> dict[str, Any]:
        return {
            name: scores.summary(settings.index(setting)) | {"constants": setting.constants()}
            for (k, name), setting in chosen.items()
            if k == kind
        }

    def brief(kind: str) -> dict[str, Any]:
        kept = ("iou", "ci95", "miou", "single", "several", "constants")
        return {name: {k: row[k] for k in kept if k in row} for name, row in figures(kind).items()}

    def ahead(kind: str) -> dict[str, Any]:
        at = {name: settings.index(setting) for (k, name), setting in chosen.items() if k == kind}
        return {name: scores.ahead(at[name], at["seediff"]) for name in at if name != "seediff"}

    return {
        "methods": figures("own_best"),
        "paper_constants": figures("paper"),
        "ahead_of_seediff": {"own_best": ahead("own_best"), "paper": ahead("paper")},
        "pamr": {"without": brief("own_best_without"), "with": brief("own_best")},
        "pamr_paper_constants": {"without": brief("paper_without"), "with": brief("paper")},
        "ca_side": brief("ca_side"),
        "seed_side": brief("seed_side"),
        "seed_side_paper_constants": brief("seed_side_paper"),
        "variants": brief("variant"),
    }


def sheet_masks(
    items: Iterable[tuple[int, Scene, Mapping[Source, AttentionMaps]]], chosen: Mapping[tuple[str, str], Setting]
) -> list[dict[str, np.ndarray]]:
    """For each captured scene its label maps by title: the exact one, then every method's at its own best."""
    settings = [chosen["own_best", m] for m in METHOD_NAMES]
    rows = []
    for _, scene, maps in items:
        row = {"exact": label_map(exact_masks(scene))}
        soft = winners(soft_masks(scene.image, scene.classes, maps, settings)).cpu()
        for method, setting, one in zip(METHOD_NAMES, settings, soft, strict=True):
            row[method] = label_map(one >= threshold(setting))
        rows.append(row)
    return rows
