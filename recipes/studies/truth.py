"""Masks of held-out scenes, made from attention alone, against the exact masks: every method at its paper's constants
and at its own best.

A scene is encoded, noised at several timesteps and captured with its caption; every method then makes its mask from the
same attention.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from recipes.mini.sets import load_set
from seediff.attention.maps import AttentionMaps
from seediff.config.methods import METHOD_FACTS, CaptureConfig
from seediff.drawing.overlays import contact_sheet, overlay
from seediff.errors import UserError
from seediff.files.image_files import compress_image
from seediff.files.outputs import check_writable, write_atomic
from seediff.mini import CLASS_IDS, Scene
from seediff.models.registry import load_model

from .capture import Captured, captured
from .markdown import sections
from .pairs import SceneSet
from .score import Scores, exact_masks, label_map, score, soft_masks, winners
from .settings import CONTEST, METHOD_NAMES
from .tuning import KINDS, Chosen, best, choose, constants, preset, read_chosen, tune

SHEET_SCENES = 8
SHEET_METHODS = ("ca", "daam", "ca_sa", "seediff")
"""What the picture shows beside each scene and its exact masks, wide enough to be seen."""
RIVAL = "seediff"
"""The method that every other method is compared with."""
TITLES = {name: entry.title for name, entry in CONTEST.items()}
SECTIONS: dict[str, str] = dict(
    zip(
        KINDS,
        (
            "Every method at its own best, with PAMR",
            "Every method at its paper's constants, with PAMR",
            "Without PAMR, each at its own best",
            "The CA baseline at one level",
            "SeeDiff by the level of its seeds, the rest at its best",
            "SeeDiff with one choice fixed and the rest at its best",
        ),
        strict=True,
    )
)
COLUMNS = {"IoU": ("iou", "ci95", ""), f"− {TITLES[RIVAL]}": ("iou", "ci95", f"ahead_of_{RIVAL}")}


def run_truth(
    out: Path,
    *,
    scenes: int = 500,
    scene_set: SceneSet = "truth",
    tune_scenes: int = 200,
    constants: Path | None = None,
    model: str = "mini",
    device: str | None = None,
) -> dict[str, Any]:
    """Compare every method's masks with exact masks on held-out scenes, at its paper's and at its own best constants.

    Returns what is in results.json; its `preset` is what a model's `seediff.json` takes. Raises UserError: more scenes
    asked for than there are, an unknown model, unusable `constants`, or no place to write to.

    Example: python -m recipes.studies truth --scenes 500 --out truth

    Parameters
    ----------
    out
        Folder for results.json, results.md and scenes.png.
    scenes
        Number of held-out scenes to measure on.
    scene_set
        truth: held-out scenes. shift: scenes with another vendor's art.
    tune_scenes
        Number of scenes to tune each method's constants on.
    constants
        results.json of an earlier study: use its constants instead of tuning.
    """
    chosen = read_chosen(constants) if constants else {}
    held, tuning = load_set(scene_set, scenes), [] if chosen else load_set("tune", tune_scenes)
    check_writable(out)
    loaded = load_model(model, device=device)
    result: dict[str, Any] = {"model": loaded.info.name, "scene_set": scene_set, "scenes": scenes}
    if not chosen:
        trials = tune(loaded, tuning)
        chosen = choose(trials, loaded)
        result |= {"tune_scenes": tune_scenes, "preset": preset(trials)}
    items = captured(loaded, held, sources(chosen), seed=1)
    figures, scores, sheet = measure(track(items, scene_set, len(held)), chosen)
    result |= {"pairs": len(scores.classes), **figures}
    write_atomic(out / "results.json", (json.dumps(result, indent=1) + "\n").encode())
    write_atomic(out / "results.md", sections(result, SECTIONS, COLUMNS).encode())
    write_atomic(out / "scenes.png", compress_image(sheet))
    return result


def run_tune(
    method: str, *, out: Path, scenes: int = 100, model: str = "mini", device: str | None = None
) -> dict[str, Any]:
    """Find one method's constants. Returns them; raises UserError as `run_truth`, and for an unknown method.

    Example: python -m recipes.studies tune daam --out daam, then python recipes/new_weights.py constants
    daam/results.json

    Parameters
    ----------
    method
        One of CONTEST in recipes/studies/settings.py, which says what is tried of it.
    out
        Folder for results.json.
    scenes
        Number of scenes to tune on.
    """
    if method not in METHOD_NAMES or method not in METHOD_FACTS:
        known = [name for name in METHOD_NAMES if name in METHOD_FACTS]
        problem = f"{method!r} is none of {', '.join(known)}"
        raise UserError("method", problem, "a new one gets a row in CONTEST of recipes/studies/settings.py")
    chosen = load_set("tune", scenes)
    check_writable(out)
    trials = tune(load_model(model, device=device), chosen, (method,))
    result = {"model": model, "tune_scenes": scenes, "iou": round(best(trials, method).iou, 4)}
    result["preset"] = {"methods": constants(trials)}
    write_atomic(out / "results.json", (json.dumps(result, indent=1) + "\n").encode())
    print(f"{method}: mean IoU {result['iou']}: {result['preset']['methods'][method]}")
    return result


def sources(chosen: Chosen) -> list[CaptureConfig]:
    """The captures that the settings need, each once."""
    return list(dict.fromkeys(setting.capture for setting in chosen.values()))


def measure(items: Iterable[Captured], chosen: Chosen) -> tuple[dict[str, Any], Scores, np.ndarray]:
    """Measure every chosen setting on every captured scene. Returns the figures by kind and name, the scores behind
    them, and a picture with a row per scene for the first SHEET_SCENES: the exact masks, and every method's at its own
    best."""
    settings = list(dict.fromkeys(chosen.values()))
    items = iter(items)
    first = list(islice(items, SHEET_SCENES))
    scores = score(chain(first, items), settings)
    sheet = image_grid([scene for _, scene, _ in first], [sheet_masks(scene, maps, chosen) for _, scene, maps in first])
    figures: dict[str, Any] = {kind: {} for kind in KINDS}
    for (kind, name), setting in chosen.items():
        row = scores.summary(settings.index(setting))
        if kind in KINDS[:2] and name != RIVAL:
            row[f"ahead_of_{RIVAL}"] = scores.ahead(settings.index(setting), settings.index(chosen[kind, RIVAL]))
        figures[kind][name] = row | {"setting": setting.table()}
    return figures, scores, sheet


def sheet_masks(scene: Scene, maps: Mapping[CaptureConfig, AttentionMaps], chosen: Chosen) -> dict[str, np.ndarray]:
    """A scene's label maps by title: the exact map, then those of SHEET_METHODS, each method at its own best."""
    own = {name: setting for (kind, name), setting in chosen.items() if kind == "own_best" and name in SHEET_METHODS}
    soft = winners(soft_masks(scene.image, scene.classes, maps, [*own.values()])).cpu()
    cut = {
        TITLES.get(m, m): label_map(masks >= float(setting.config.beta))
        for (m, setting), masks in zip(own.items(), soft, strict=True)
    }
    return {"exact": label_map(exact_masks(scene)), **cut}


def image_grid(scenes: Sequence[Scene], label_maps: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """One row per scene: the image, then each label map (i + 1 = the scene's class i) over it, titled; (H, W, 3) uint8.
    A class has the same colour in all rows.
    """
    tiles, labels = [], []
    for scene, row in zip(scenes, label_maps, strict=True):
        shown = np.array([0, *(CLASS_IDS[name] for name in scene.classes)], np.uint8)
        tiles += [scene.image, *(overlay(scene.image, shown[mask]) for mask in row.values())]
        labels += [", ".join(scene.classes), *row]
    return contact_sheet(tiles, len(tiles) // len(scenes), labels)
