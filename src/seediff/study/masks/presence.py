"""How well presence scores distinguish the classes in a scene from absent classes.

Questions about every held-out scene are asked in three ways: with one sentence that names the scene's classes and 0 to 3 others in random
order (`several`); with sentences of one class, one present and one absent (`one`); and about all classes of the embedded model's world, in
as many sentences as they need (`many`: one class in eleven is present).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.table import Table

from ...attention.photograph import encode_images
from ...config.photographs import MaskPhotosConfig
from ...files.messages import make_console
from ...masks.presence import find_classes
from ...masks.presence_questions import MOST_ABSENT, Answers, best_threshold, questions
from ...metrics.bootstrap import draw_images, figure_interval, mean_interval
from ...metrics.mask_scores import auc
from ...mini.scenes import CLASSES, Scene
from ...models.registry import Model
from ...report.progress import tracked
from ...segments.naming import split_prompts
from ..results import markdown_table, write_study
from .capture import prepare

BATCH = 16
DRAWS = 1000
COLUMNS = ("group", "pairs", "present", "auc", "auc_ci95", "precision", "precision_ci95", "recall", "recall_ci95")


def run_presence(
    scenes: int = 500,
    out: Path = Path("presence"),
    *,
    model: str = "mini",
    scene_set: Literal["truth", "shift"] = "truth",
    tune_scenes: int = 200,
    json_path: Path | None = None,
    seed: int = 0,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure presence scores on the first `scenes` of `scene_set`. Write results.md, .csv and .json to `out`, and return the result.

    `default` uses the threshold of `seediff mask`, `tuned` the best threshold on the first `tune_scenes` of the tuning set: the one with
    the highest balanced accuracy, averaged over the three ways to ask. AUC needs no threshold.

    Raises UserError: more scenes asked for than there are, an unknown model, or no place to write to.
    """
    started = time.monotonic()
    loaded, (held, tuning) = prepare(model, device, out, json_path, (scene_set, scenes), ("tune", tune_scenes))
    threshold = best_threshold(ask(loaded, tuning, seed=seed, label="tuning"))
    answers = ask(loaded, held, seed=seed + 1, label=scene_set)
    default = MaskPhotosConfig.recommended(classes=("object",), model=model).presence
    result = {
        "model": loaded.name,
        "scene_set": scene_set,
        "scenes": scenes,
        "tune_scenes": tune_scenes,
        "default": {"threshold": default, "groups": figures(answers, default)},
        "tuned": {"threshold": threshold, "groups": figures(answers, threshold)},
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
    }
    rows = [
        {"threshold": f"{result[name]['threshold']} ({name})", **{key: "" if value is None else value for key, value in row.items()}}
        for name in ("default", "tuned")
        for row in result[name]["groups"]
    ]
    write_study(out, result, markdown(result), json_path, tables={"results.csv": rows})
    return result


def ask(model: Model, scenes: Sequence[Scene], *, seed: int, label: str) -> Answers:
    """The questions about every scene, with the scores that `seediff mask` uses."""
    rows = [row for of_scene in tracked(_asked(model, scenes, seed), label, len(scenes)) for row in of_scene]
    return Answers(*(np.array(column) for column in zip(*rows, strict=True)))


def _asked(model: Model, scenes: Sequence[Scene], seed: int) -> Iterator[list[tuple[str, int, int, bool, float]]]:
    """The answers of one scene at a time, in the order of the fields of `Answers`."""
    for start in range(0, len(scenes), BATCH):
        batch = list(enumerate(scenes))[start : start + BATCH]
        asked = [
            (index, scene, group, classes) for index, scene in batch for group, classes in questions(scene.classes, CLASSES, index, seed)
        ]
        sentences = [split_prompts(model.readers, classes) for *_, classes in asked]
        latents = encode_images(model, [scene.image for _, scene in batch])
        scores_of = find_classes(model, latents[[index - start for index, *_ in asked]], sentences)
        rows: dict[int, list[tuple[str, int, int, bool, float]]] = {index: [] for index, _ in batch}
        for (index, scene, group, classes), scores in zip(asked, scores_of, strict=True):
            absent = sum(name not in scene.classes for name in classes)
            rows[index] += [(group, absent, index, name in scene.classes, scores[name]) for name in classes]
        yield from rows.values()


def figures(answers: Answers, threshold: float) -> list[dict[str, Any]]:
    """A row per group: number of pairs, how many are present, AUC, and precision and recall at the threshold, all with 95 % intervals over
    scenes.

    A figure is None if it is not defined: AUC if all or none are present, precision if no score reaches the threshold, recall if none are
    present.
    """
    several = answers.group == "several"
    groups = {name: answers.group == name for name in ("several", "one", "many")}
    groups |= {f"{n} absent": several & (answers.absent == n) for n in range(MOST_ABSENT + 1)}
    rows = []
    for name, chosen in groups.items():
        subset = answers.where(chosen)
        said = subset.score >= threshold
        row: dict[str, Any] = {"group": name, "pairs": len(said), "present": int(subset.present.sum())}
        row |= _auc(subset)
        row |= _share("precision", subset.present[said], subset.scene[said])
        row |= _share("recall", said[subset.present], subset.scene[subset.present])
        rows.append(row)
    return rows


def markdown(result: Mapping[str, Any]) -> str:
    """The result as Markdown, a table per threshold."""
    lines = [
        "# Presence scores",
        "",
        ", ".join(f"{key} {result[key]}" for key in ("model", "scene_set", "scenes", "tune_scenes")),
        "",
        "several: one sentence with the scene's classes and 0 to 3 others (n absent: those with n); one: sentences of one class, half of"
        " them there; many: all classes of the world, in several sentences. Intervals: bootstrap over scenes.",
    ]
    columns = ("", "pairs", "present", "AUC", "95 %", "precision", "95 %", "recall", "95 %")
    for name in ("default", "tuned"):
        rows = ([_cell(row[key]) for key in COLUMNS] for row in result[name]["groups"])
        lines += ["", f"## Threshold {result[name]['threshold']} ({name})", "", *markdown_table(columns, rows)]
    return "\n".join(lines) + "\n"


def show(result: Mapping[str, Any], out: Path) -> None:
    """Print the tables, and where the files are."""
    console = make_console()
    shares = ("auc", "precision", "recall")
    for name in ("default", "tuned"):
        table = Table("", "pairs", "AUC", "precision", "recall", title=f"{name} threshold {result[name]['threshold']}")
        for row in result[name]["groups"]:
            cells = ["–" if row[key] is None else "{:.2f} ({:.2f}–{:.2f})".format(row[key], *row[f"{key}_ci95"]) for key in shares]
            table.add_row(row["group"], str(row["pairs"]), *cells)
        console.print(table)
    console.print(f"Tables: {out / 'results.md'}   JSON: {out / 'results.json'}", soft_wrap=True)


def _auc(answers: Answers) -> dict[str, Any]:
    """AUC and its bootstrap interval, drawing whole scenes."""
    if answers.present.all() or not answers.present.any():
        return {"auc": None, "auc_ci95": None}
    drawn = draw_images(len(np.unique(answers.scene)), draws=DRAWS)
    bounds = figure_interval(lambda rows, _: auc(answers.score[rows], answers.present[rows]), answers.scene, drawn)
    return {"auc": round(auc(answers.score, answers.present), 4), "auc_ci95": [round(bound, 4) for bound in bounds]}


def _share(name: str, values: np.ndarray, scenes: np.ndarray) -> dict[str, Any]:
    """A mean of booleans and its bootstrap interval over scenes."""
    if not len(values):
        return {name: None, f"{name}_ci95": None}
    return {name: round(float(values.mean()), 4), f"{name}_ci95": [round(x, 4) for x in mean_interval(values, scenes)]}


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return f"{value[0]:.3f}–{value[1]:.3f}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
