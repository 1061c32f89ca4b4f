"""Results of studies of masks, for readers: Markdown and CSV tables, JSON, and a grid of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from ...files.label_maps import voc_palette
from ...files.messages import make_console
from ...mini.scenes import Scene
from ...report.pictures import contact_sheet, encoded, overlay
from ..results import json_bytes, markdown_table, plain, write_study
from .constants import Trial
from .contest import CONTEST, RIVALS

TITLES = {name: entry.title for name, entry in CONTEST.items()}
SECTIONS = {
    "methods": "Every method at its own best, with PAMR",
    "paper_constants": "Every method at its paper's constants, with PAMR",
    "pamr.without": "Without PAMR, each at its own best",
    "pamr_paper_constants.without": "Without PAMR, at the paper's constants",
    "ca_side": "The CA baseline at one level",
    "seed_side": "SeeDiff by the level of its seeds, the rest at its best",
    "seed_side_paper_constants": "SeeDiff by the level of its seeds, the rest at the paper's constants",
    "variants": "SeeDiff with one choice fixed and the rest at its best",
}
COLUMNS = {"iou": "IoU", "ci95": "95 % CI", "single": "single", "several": "several", "miou": "mIoU", "boundary_f": "F"}
COLUMNS |= {f"ahead_of_{rival}": f"− {TITLES[rival]}" for rival in RIVALS} | {"milliseconds": "ms", "constants": "constants"}
ABOUT = ("model", "scene_set", "scenes", "images", "steps", "guidance_scale", "capture_steps", "scheduler", "tune_scenes")
"""The entries of a result that results.md gives before its tables."""


def write_results(
    out: Path, result: Mapping[str, Any], trials: Sequence[Trial] | None, sheet: np.ndarray, json_path: Path | None = None
) -> None:
    """Write `results.md`, `results.csv`, `results.json` (and `json_path`), `preset.json`, `tuning.csv` and `scenes.png` to `out`,
    each atomically; no `tuning.csv` when the constants come from another study (`trials` is None)."""
    rows = [{"section": section, "name": name, **_cells(figures)} for section, name, figures in _rows(result)]
    tried = [{"method": t.method, "iou": round(t.iou, 4), **t.setting.constants()} for t in trials or ()]
    files = {"preset.json": json_bytes(result["preset"]), "scenes.png": encoded(sheet)}
    write_study(out, result, markdown(result), json_path, tables={"results.csv": rows, "tuning.csv": tried}, files=files)


def markdown(result: Mapping[str, Any]) -> str:
    """Every section of the result as a Markdown table."""
    lines = [
        "# Masks against the truth" if "scene_set" in result else "# Masks of generated images against the yardstick",
        "",
        ", ".join(f"{k} {result[k]}" for k in ABOUT if result.get(k) is not None),
        "",
        "IoU: mean over (image, class) pairs, with its 95 % bootstrap interval over images; single, several: the same by number of"
        " objects in the image; mIoU: mean over classes of intersections over unions summed over the data set; F: boundary F-score;"
        " −: mean IoU of the method less the other's, with the paired 95 % interval; ms: median time of one soft mask on one thread.",
    ]
    for section, title in SECTIONS.items():
        if figures := _section(result, section):
            there = [column for column in COLUMNS if any(_cells(row)[column] != "" for row in figures.values())]
            rows = ([TITLES.get(name, name), *_shown(row, there)] for name, row in figures.items())
            lines += ["", f"## {title}", "", *markdown_table(["", *(COLUMNS[column] for column in there)], rows)]
    return "\n".join(lines) + "\n"


def show(result: Mapping[str, Any], out: Path) -> None:
    """Print the two headline sections, and where the files are."""
    table = Table("method", "own best", "95 % CI", "single", "several", "paper's constants", title="mean IoU, with PAMR")
    for name, figures in result["methods"].items():
        cells = _shown(figures, ("iou", "ci95", "single", "several"))
        paper = result["paper_constants"].get(name)
        table.add_row(TITLES.get(name, name), *cells, f"{paper['iou']:.3f}" if paper else "")
    console = make_console()
    console.print(table)
    if "yardstick_iou" in result:
        yardstick = f"Yardstick on held-out scenes: IoU {result['yardstick_iou']:.3f}"
        console.print(f"{yardstick}; images without their class: {result['not_drawn']}", markup=False)
    console.print(f"Recommended: {result['preset']['method']} ({result['preset']['note']})", markup=False, soft_wrap=True)
    names = {"Tables": "results.md", "Pictures": "scenes.png", "JSON": "results.json", "Preset": "preset.json"}
    console.print("   ".join(f"{what}: {out / name}" for what, name in names.items()), markup=False, soft_wrap=True)


def picture_grid(scenes: Sequence[Scene], label_maps: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """One row per scene: the image, then each label map (i + 1 = the scene's class i) over it, titled; (H, W, 3) uint8."""
    palette = voc_palette()
    tiles, labels = [], []
    for scene, row in zip(scenes, label_maps, strict=True):
        tiles += [scene.image, *(overlay(scene.image, mask, palette) for mask in row.values())]
        labels += [scene.caption, *(TITLES.get(title, title) for title in row)]
    return contact_sheet(tiles, len(tiles) // len(scenes), labels)


def _section(result: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    table: Any = result
    for key in section.split("."):
        table = table.get(key, {})
    times = result.get("milliseconds", {}).get(section, {})  # apart from the figures, which are the same on every machine
    return {name: {**row, "milliseconds": times[name]} if name in times else row for name, row in table.items()}


def _rows(result: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    return ((section, name, figures) for section in SECTIONS for name, figures in _section(result, section).items())


def _cells(figures: Mapping[str, Any]) -> dict[str, Any]:
    low, high = figures["ci95"]
    cells: dict[str, Any] = {"iou": figures["iou"], "ci95": f"{low:.3f}–{high:.3f}"}
    cells |= {group: figures[group]["iou"] if group in figures else "" for group in ("single", "several")}
    cells |= {"miou": figures["miou"], "boundary_f": figures.get("boundary_f", "")}
    cells |= {name: _signed(figures[name]) if name in figures else "" for name in (f"ahead_of_{rival}" for rival in RIVALS)}
    cells["milliseconds"] = f"{figures['milliseconds']:.1f}" if "milliseconds" in figures else ""
    return cells | {"constants": ", ".join(f"{k} {plain(v)}" for k, v in figures["constants"].items())}


def _shown(figures: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    cells = _cells(figures)
    return [f"{cells[c]:.3f}" if isinstance(cells[c], float) else str(cells[c]) for c in columns]


def _signed(figures: Mapping[str, Any]) -> str:
    """A difference and its interval."""
    low, high = figures["ci95"]
    return f"{figures['iou']:+.3f} ({low:+.3f} to {high:+.3f})"
