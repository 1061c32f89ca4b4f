"""`seediff study truth`: masks of held-out scenes, made from attention alone, against the exact masks.

A scene is encoded, noised at several timesteps and captured with its caption; every method then makes its mask from the same attention.
Each method is measured at its paper's constants and at its own best, tuned on other scenes (`tune`).
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
from ...config.constants import CaptureConfig
from ...mini.scenes import Scene
from ...report.progress import tracked
from .capture import TIMESTEPS, Captured, captured, prepare
from .constants import read_constants, seek_constants
from .contest import RIVALS, Setting
from .results import picture_grid, write_results
from .score import Scores, exact_masks, label_map, milliseconds, score, soft_masks, threshold, winners

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
    """Measure every method on the first `scenes` of `scene_set`. Write tables and a picture grid to `out`, and return the result.

    timesteps: noise levels of the model's schedule, at which a scene's attention is captured and averaged.

    Each method's own best constants are tuned on the first `tune_scenes` of the tuning set, or read from `constants`, the
    results.json of an earlier study. `preset.json` holds them in the form of a model's `seediff.json`.

    The result's `methods` are the methods at their own best with PAMR, `paper_constants` at the papers'. `Scores.summary` describes the
    figures. `ahead_of_ca_sa` and `ahead_of_seediff` are paired differences; `milliseconds` are from `score.milliseconds`.

    Raises:
        UserError: more scenes asked for than there are, an unknown model, timesteps that the model does not have, unusable `constants`, or
            no place to write to.
    """
    started = time.monotonic()
    earlier = read_constants(constants) if constants else None
    loaded, (held, *tuning) = prepare(model, device, out, json_path, (scene_set, scenes), *[("tune", tune_scenes)] * (earlier is None))
    order = sorted(set(check_schedule(loaded, timesteps)))
    best = earlier or seek_constants(loaded, tuning[0], timesteps=order, seed=seed)
    items = captured(loaded, held, sources(best.chosen), timesteps=order, seed=seed + 1)
    result, scores, sheet = measure(tracked(items, scene_set, len(held)), best.chosen)
    result |= best.about() | {
        "scenes": scenes,
        "scene_set": scene_set,
        "model": loaded.name,
        "pairs": len(scores.classes),
        "timesteps": order,
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_results(out, result, best.trials, sheet, json_path)
    return result


def sources(chosen: Mapping[tuple[str, str], Setting]) -> list[CaptureConfig]:
    """The captures that the settings need, each once."""
    return list(dict.fromkeys(setting.capture for setting in chosen.values()))


def measure(items: Iterable[Captured], chosen: Mapping[tuple[str, str], Setting]) -> tuple[dict[str, Any], Scores, np.ndarray]:
    """Measure every chosen setting on every captured scene. Returns the figures, the scores behind them, and a picture with a row per scene
    for the first SHEET_SCENES: the exact masks, and every method's at its own best."""
    settings = list(dict.fromkeys(chosen.values()))
    headline = [setting for (kind, _), setting in chosen.items() if kind in ("own_best", "paper")]
    items = iter(items)
    first = list(islice(items, SHEET_SCENES))
    scores = score(chain(first, items), settings, boundary_of=headline)
    sheet = picture_grid([scene for _, scene, _ in first], [sheet_masks(scene, maps, chosen) for _, scene, maps in first])
    result = assemble(chosen, settings, scores)
    result["milliseconds"] = {
        section: {method: milliseconds(first, setting) for (of, method), setting in chosen.items() if of == kind}
        for kind, section in (("own_best", "methods"), ("paper", "paper_constants"))
    }
    return result, scores, sheet


def assemble(chosen: Mapping[tuple[str, str], Setting], settings: list[Setting], scores: Scores) -> dict[str, Any]:
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

    def compared(kind: str) -> dict[str, Any]:
        at = {name: settings.index(setting) for (k, name), setting in chosen.items() if k == kind}
        return {
            name: row | {f"ahead_of_{rival}": scores.ahead(at[name], at[rival]) for rival in RIVALS if rival != name}
            for name, row in figures(kind).items()
        }

    return {
        "methods": compared("own_best"),
        "paper_constants": compared("paper"),
        "pamr": {"without": brief("own_best_without"), "with": brief("own_best")},
        "pamr_paper_constants": {"without": brief("paper_without"), "with": brief("paper")},
        "ca_side": brief("ca_side"),
        "seed_side": brief("seed_side"),
        "seed_side_paper_constants": brief("seed_side_paper"),
        "variants": brief("variant"),
    }


def sheet_masks(
    scene: Scene, maps: Mapping[CaptureConfig, AttentionMaps], chosen: Mapping[tuple[str, str], Setting]
) -> dict[str, np.ndarray]:
    """A scene's label maps by title: the exact map, then every method's at its own best."""
    own = {method: setting for (kind, method), setting in chosen.items() if kind == "own_best"}
    soft = winners(soft_masks(scene.image, scene.classes, maps, [*own.values()])).cpu()
    cut = {m: label_map(masks >= threshold(setting)) for (m, setting), masks in zip(own.items(), soft, strict=True)}
    return {"exact": label_map(exact_masks(scene)), **cut}
