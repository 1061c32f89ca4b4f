"""Does the confidence that `filter` uses rank masks by their quality? Masks of held-out scenes against the exact masks.

Every method makes masks from attention of the same scenes, with the model's constants for the method. For each mask, the study has the
confidence, as `filter` computes it from the files (uint8 soft masks), and the IoU with the exact mask. A picture's confidence is that of
its least certain class. Intervals are percentile bootstraps over pictures; every draw repeats the ranking and dropping.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.stats import rankdata

from ...config.constants import CaptureConfig, MaskConfig
from ...config.presets import read_preset
from ...dataset.quality.select import confidence
from ...masks.make import make_masks
from ...metrics.bootstrap import figure_interval
from ...metrics.scores import iou
from ...report.progress import tracked
from ..results import markdown_table, write_study
from .capture import captured, prepare
from .score import exact_masks

METHODS = ("seediff", "ca", "ca_sa")
DROPPED = (0.0, 0.1, 0.2, 0.3)
"""Shares of the pictures to drop, the least certain first."""
DRAWS = 1000


@dataclass(frozen=True)
class Masks:
    """The masks of one method: values (P,) of (picture, class) pairs. pictures: the number of each pair's picture, from 0, rising."""

    pictures: np.ndarray
    confidence: np.ndarray
    iou: np.ndarray


def run_confidence(
    scenes: int = 500,
    out: Path = Path("confidence-study"),
    *,
    model: str = "mini",
    scene_set: Literal["truth", "shift"] = "truth",
    json_path: Path | None = None,
    seed: int = 0,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure on the first `scenes` of `scene_set`. Write results.md and results.json to `out`, and return the result.

    Raises UserError: more scenes asked for than there are, an unknown model, or no place to write to.
    """
    started = time.monotonic()
    loaded, (held,) = prepare(model, device, out, json_path, (scene_set, scenes))
    configs = {method: constants(model, method) for method in METHODS}
    measured: dict[str, list[tuple[int, float, float]]] = {method: [] for method in METHODS}
    sources = list(dict.fromkeys(capture for _, capture in configs.values()))
    for index, scene, maps in tracked(captured(loaded, held, sources, seed=seed + 1), scene_set, len(held)):
        exact = exact_masks(scene).numpy()
        for method, (mask, capture) in configs.items():
            made = make_masks(scene.image, maps[capture], scene.classes, mask, trace=False)
            soft = (np.clip(made.soft.numpy(), 0, 1) * 255).round().astype(np.uint8)
            for i, truth in enumerate(exact):
                sure = confidence(made.label_map, soft[i], i + 1)
                measured[method].append((index, sure, iou(made.label_map == i + 1, truth)))
    result = {
        "model": loaded.name,
        "scene_set": scene_set,
        "scenes": scenes,
        "seed": seed,
        "recommended": read_preset(model).method or MaskConfig.method,
        "methods": {method: figures(as_masks(rows), seed=seed) for method, rows in measured.items()},
        "seconds": round(time.monotonic() - started, 1),
    }
    write_study(out, result, markdown(result), json_path)
    return result


def constants(model: str, method: str) -> tuple[MaskConfig, CaptureConfig]:
    """The model's constants for a method, or the paper's if the model has none."""
    preset = read_preset(model).methods.get(method, {})
    return MaskConfig(**{**preset.get("mask", {}), "method": method}), CaptureConfig(**preset.get("capture", {}))


def as_masks(rows: Sequence[tuple[int, float, float]]) -> Masks:
    pictures, sure, ious = (np.array(column) for column in zip(*rows, strict=True))
    return Masks(pictures, sure, ious)


def figures(masks: Masks, *, seed: int = 0) -> dict[str, Any]:
    """Spearman's correlation over the masks; and, for each share of pictures dropped, the mean IoU of the remaining masks and its gain, and
    the mean IoU if the pictures with the lowest mean IoU were dropped. All but the last as [value, low, high]."""
    mean = np.bincount(masks.pictures, masks.iou) / np.maximum(np.bincount(masks.pictures), 1)
    worst = Masks(masks.pictures, mean[masks.pictures], masks.iou)

    return {
        "pairs": len(masks.iou),
        "pictures": len(np.unique(masks.pictures)),
        "spearman": interval(masks, spearman, seed),
        "dropped": {
            f"{share:.0%}": {
                "iou": interval(masks, lambda chosen, share=share: kept_iou(chosen, share), seed),
                "gain": interval(masks, lambda chosen, share=share: kept_iou(chosen, share) - kept_iou(chosen, 0), seed),
                "best_possible": round(kept_iou(worst, share), 4),
            }
            for share in DROPPED
        },
    }


def spearman(masks: Masks) -> float:
    """Rank correlation of confidence and IoU, in [-1, 1]; ties get their mean rank. 0 if either is the same for all masks."""
    ranks = np.stack([rankdata(masks.confidence), rankdata(masks.iou)])
    centred = ranks - ranks.mean(1, keepdims=True)
    scale = np.sqrt((centred**2).sum(1).prod())
    return float((centred[0] * centred[1]).sum() / scale) if scale else 0.0


def kept_iou(masks: Masks, share: float) -> float:
    """Mean IoU of the remaining masks if the `share` of least certain pictures is dropped; of equal pictures, the later first."""
    starts = np.flatnonzero(np.diff(masks.pictures, prepend=-1))
    lowest = np.minimum.reduceat(masks.confidence, starts)
    counts = np.diff(np.append(starts, len(masks.iou)))
    sums = np.add.reduceat(masks.iou, starts)
    stays = np.argsort(-lowest, kind="stable")[: len(lowest) - round(share * len(lowest))]
    return float(sums[stays].sum() / counts[stays].sum())


def interval(masks: Masks, figure: Callable[[Masks], float], seed: int) -> list[float]:
    """[value, low, high] of a figure, with a percentile bootstrap over pictures."""
    rng, pictures = np.random.default_rng(seed), len(np.unique(masks.pictures))
    drawn = (rng.integers(0, pictures, pictures) for _ in range(DRAWS))
    bounds = figure_interval(lambda rows, of: figure(Masks(of, masks.confidence[rows], masks.iou[rows])), masks.pictures, drawn)
    return [round(value, 4) for value in (figure(masks), *bounds)]


def markdown(result: Mapping[str, Any]) -> str:
    """results.md: a table of correlations, and of mean IoU by the share dropped."""
    lines = [
        "# Confidence against the truth",
        "",
        f"{result['model']}, {result['scenes']} scenes of '{result['scene_set']}'; recommended method: {result['recommended']}. "
        "Mean IoU of the masks that stay when the least certain pictures are dropped, its 95 % bootstrap interval over pictures, and in "
        "brackets what dropping the truly worst ones would give.",
        "",
    ]
    rows = []
    for name, row in result["methods"].items():
        kept = [f"{_shown(dropped['iou'])} [{dropped['best_possible']:.3f}]" for dropped in row["dropped"].values()]
        last = list(row["dropped"].values())[-1]["gain"]
        rows.append([name, str(row["pairs"]), _shown(row["spearman"]), *kept, _shown(last)])
    lines += markdown_table(["method", "masks", "Spearman", *(f"drop {share:.0%}" for share in DROPPED), "gain at 30 %"], rows)
    return "\n".join(lines) + "\n"


def _shown(value: Sequence[float]) -> str:
    return f"{value[0]:.3f} ({value[1]:.3f}–{value[2]:.3f})"
