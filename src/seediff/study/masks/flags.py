"""Which flags and measures detect bad masks? SeeDiff's masks of held-out scenes against the exact masks.

A mask is bad if its IoU with the exact mask is below BAD. For each mask, the study has its flags and several measures that need no exact
mask. A measure's threshold is the one with the highest F1 score on other scenes (`tune`).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...dataset.quality.select import confidence
from ...dataset.shapes.objects import find_objects
from ...masks.dispute import agreement
from ...masks.make import make_masks
from ...metrics.scores import iou
from ...mini.scenes import Scene
from ...models.registry import Model
from ...report.progress import tracked
from ..results import markdown_table, write_study
from .capture import captured, prepare
from .confidence import constants
from .score import exact_masks

BAD = 0.5
MEASURES = {
    "agreement": "agreement with CA·SA (`--dispute`)",
    "piece": "largest piece ÷ mask",
    "confidence": "confidence",
    "area": "area ÷ the class's median, or its inverse",
}
"""Measures that are low for bad masks, and their titles."""
Masks = dict[str, np.ndarray]
"""Values (P,) of all masks, by name: "iou", "flagged" and each of MEASURES."""


def run_flags(
    scenes: int = 200,
    out: Path = Path("flags-study"),
    *,
    model: str = "mini",
    scene_set: Literal["truth", "shift"] = "truth",
    tune_scenes: int = 200,
    json_path: Path | None = None,
    seed: int = 0,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure on the first `scenes` of `scene_set`. Write results.md and results.json to `out`, and return the result.

    Raises UserError: more scenes asked for than there are, an unknown model, or no place to write to.
    """
    started = time.monotonic()
    loaded, (tuning, scenes_held) = prepare(model, device, out, json_path, ("tune", tune_scenes), (scene_set, scenes))
    tune, held = measured(loaded, model, "tune", tuning, seed), measured(loaded, model, scene_set, scenes_held, seed + 1)
    rows = {"flags": found(held, held["flagged"])}
    for name in MEASURES:
        threshold = best_threshold(tune[name], tune["iou"] < BAD)
        rows[name] = {"threshold": round(threshold, 4), **found(held, held[name] <= threshold)}
    result = {
        "model": loaded.name,
        "scene_set": scene_set,
        "scenes": scenes,
        "tune_scenes": tune_scenes,
        "seed": seed,
        "masks": len(held["iou"]),
        "bad": int((held["iou"] < BAD).sum()),
        "found": rows,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_study(out, result, markdown(result), json_path)
    return result


def measured(loaded: Model, model: str, label: str, scenes: Sequence[Scene], seed: int) -> Masks:
    """The values of every mask in the scenes, made with the model's constants for SeeDiff. label: of the progress."""
    mask, capture = constants(model, "seediff")
    values: dict[str, list[float]] = defaultdict(list)
    names: list[str] = []
    for _, scene, maps in tracked(captured(loaded, scenes, [capture], seed=seed), label, len(scenes)):
        made = make_masks(scene.image, maps[capture], scene.classes, mask, trace=False)
        soft = (np.clip(made.soft.numpy(), 0, 1) * 255).round().astype(np.uint8)
        agreed = agreement(made.label_map, maps[capture], scene.classes, mask)
        for i, (name, truth) in enumerate(zip(scene.classes, exact_masks(scene).numpy(), strict=True)):
            inside = made.label_map == i + 1
            pieces = find_objects(inside.astype(np.uint8)).areas
            names.append(name)
            values["iou"].append(iou(inside, truth))
            values["flagged"].append(any(flag.endswith(f":{name}") for flag in made.flags))
            values["agreement"].append(agreed[name])
            values["piece"].append(max(pieces) / sum(pieces) if pieces else 0)
            values["confidence"].append(confidence(made.label_map, soft[i], i + 1))
            values["area"].append(inside.mean())
    arrays = {key: np.array(column) for key, column in values.items()}
    return {**arrays, "area": typical(arrays["area"], names)}


def typical(areas: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """How near each area is to the median of its class, in [0, 1]: the smaller divided by the larger."""
    medians = {name: np.median(areas[np.array(names) == name]) for name in set(names)}
    other = np.array([medians[name] for name in names])
    return np.minimum(areas, other) / np.maximum(np.maximum(areas, other), np.finfo(float).tiny)


def best_threshold(values: np.ndarray, bad: np.ndarray) -> float:
    """The value with the highest F1 score for "bad if at most this value"; the lowest if several are equal."""
    return float(max(np.unique(values), key=lambda value: 2 * (bad & (values <= value)).sum() / ((values <= value).sum() + bad.sum())))


def found(masks: Masks, marked: np.ndarray) -> dict[str, Any]:
    """The number of marked masks, the number of bad masks among them, their share of the marked masks (precision), and their share of all
    bad masks (recall). None for a share of nothing."""
    marked, bad = marked.astype(bool), masks["iou"] < BAD
    hits = int((marked & bad).sum())
    precision, recall = (round(hits / total, 3) if total else None for total in (int(marked.sum()), int(bad.sum())))
    return {"marked": int(marked.sum()), "bad": hits, "precision": precision, "recall": recall}


def markdown(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "# Flags against the truth",
        "",
        f"{result['model']}, {result['scenes']} scenes of '{result['scene_set']}': {result['bad']} of {result['masks']} masks have an IoU "
        f"below {BAD}. Thresholds from {result['tune_scenes']} scenes of 'tune'.",
        "",
    ]
    rows = []
    for name, row in result["found"].items():
        threshold = f"≤ {row['threshold']:.2f}" if "threshold" in row else "–"
        shares = ["–" if row[key] is None else f"{row[key]:.2f}" for key in ("precision", "recall")]
        rows.append([MEASURES.get(name, name), threshold, str(row["marked"]), str(row["bad"]), *shares])
    lines += markdown_table(["what marks a mask", "threshold", "marked", "of them bad", "precision", "recall"], rows)
    return "\n".join(lines) + "\n"
