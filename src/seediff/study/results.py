"""A study's results for readers: Markdown and CSV tables, the whole as JSON, and a grid of pictures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.table import Table

from ..files.label_maps import voc_palette
from ..files.messages import make_console
from ..files.outputs import write_atomic
from ..mini.scenes import Scene
from ..report.pictures import contact_sheet, overlay
from .masks.tune import Trial

TITLES = {"ca": "CA", "ca_sa": "CA·SA", "caa": "CAA", "cre": "CRE", "ire": "IRE", "seediff": "SeeDiff"}
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
AHEAD = "Mean IoU of each method less SeeDiff's"
COLUMNS = ("iou", "ci95", "single", "several", "miou", "boundary_f")


def write_results(
    out: Path, result: Mapping[str, Any], trials: Sequence[Trial] | None, sheet: np.ndarray, json_path: Path | None = None
) -> None:
    """Write `results.md`, `results.csv`, `results.json` (and `json_path`), `preset.json`, `tuning.csv` and `scenes.png` to `out`,
    each atomically; no `tuning.csv` when the constants come from another study (`trials` is None)."""
    rows = [{"section": section, "name": name, **_cells(figures)} for section, name, figures in _rows(result)]
    write_tables(out, result, markdown(result), rows, json_path)
    write_atomic(out / "preset.json", json_bytes(result["preset"]))
    tried = [{"method": t.method, "iou": round(t.iou, 4), **t.setting.constants()} for t in trials or ()]
    if tried:
        write_atomic(out / "tuning.csv", csv_bytes(tried))
    picture = io.BytesIO()
    Image.fromarray(sheet).save(picture, "PNG")
    write_atomic(out / "scenes.png", picture.getvalue())


def write_tables(
    out: Path, result: Mapping[str, Any], text: str, rows: Sequence[Mapping[str, Any]] | None = None, json_path: Path | None = None
) -> None:
    """Write a study's `results.json` (and `json_path`), `results.md` of `text` and, of rows, `results.csv` to `out`, each atomically."""
    for path in (out / "results.json", *([json_path] if json_path else [])):
        write_atomic(path, json_bytes(result))
    write_atomic(out / "results.md", text.encode("utf-8"))
    if rows is not None:
        write_atomic(out / "results.csv", csv_bytes(rows))


ABOUT = ("model", "scene_set", "scenes", "images", "steps", "guidance_scale", "capture_steps", "tune_scenes")
"""What a page says of the study before its tables."""


def markdown(result: Mapping[str, Any]) -> str:
    """Every section of the result as a Markdown table."""
    about = ", ".join(f"{k} {result[k]}" for k in ABOUT if k in result)
    lines = [
        "# Masks against the truth" if "scene_set" in result else "# Masks of generated images against the yardstick",
        "",
        about,
        "",
        "IoU: mean over (image, class) pairs, with its 95 % bootstrap interval over images; single, several: the same by number of"
        " objects in the image; mIoU: mean over classes of intersections over unions summed over the data set; F: boundary F-score.",
    ]
    last = None
    for section, name, figures in _rows(result):
        if section != last:
            lines += ["", f"## {SECTIONS[section]}", "", "| | IoU | 95 % CI | single | several | mIoU | F | constants |", "|" + "---|" * 8]
            last = section
        cells = _cells(figures)
        shown = [f"{cells[c]:.3f}" if isinstance(cells[c], float) else str(cells[c]) for c in COLUMNS]
        lines.append("| " + " | ".join([TITLES.get(name, name), *shown, cells["constants"]]) + " |")
    if "ahead_of_seediff" in result:
        lines += ["", f"## {AHEAD}", "", "| | own best | paired 95 % CI | paper's constants | paired 95 % CI |", "|" + "---|" * 5]
        own, paper = result["ahead_of_seediff"]["own_best"], result["ahead_of_seediff"]["paper"]
        lines += [f"| {TITLES.get(name, name)} | {_signed(own[name])} | {_signed(paper[name])} |" for name in own]
    return "\n".join(lines) + "\n"


def _signed(figures: Mapping[str, Any]) -> str:
    """A difference and its interval, two cells."""
    low, high = figures["ci95"]
    return f"{figures['iou']:+.3f} | {low:+.3f} to {high:+.3f}"


def picture_grid(scenes: Sequence[Scene], label_maps: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """One row a scene: the image, then each label map (i + 1 = the scene's class i) over it, titled; (H, W, 3) uint8."""
    palette = voc_palette()
    tiles, labels = [], []
    for scene, row in zip(scenes, label_maps, strict=True):
        tiles += [scene.image, *(overlay(scene.image, mask, palette) for mask in row.values())]
        labels += [scene.caption, *(TITLES.get(title, title) for title in row)]
    return contact_sheet(tiles, len(tiles) // len(scenes), labels)


def _rows(result: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for section in SECTIONS:
        table: Any = result
        for key in section.split("."):
            table = table.get(key, {})
        for name, figures in table.items():
            yield section, name, figures


def _cells(figures: Mapping[str, Any]) -> dict[str, Any]:
    low, high = figures["ci95"]
    cells: dict[str, Any] = {"iou": figures["iou"], "ci95": f"{low:.3f}–{high:.3f}"}
    for group in ("single", "several"):
        cells[group] = figures[group]["iou"] if group in figures else ""
    cells |= {"miou": figures["miou"], "boundary_f": figures.get("boundary_f", "")}
    cells["constants"] = ", ".join(f"{k} {_plain(v)}" for k, v in figures["constants"].items())
    return cells


def _plain(value: Any) -> str:
    return " ".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)


def json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode("utf-8")


def csv_bytes(rows: Sequence[Mapping[str, Any]]) -> bytes:
    names = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows({k: _plain(v) for k, v in row.items()} for row in rows)
    return text.getvalue().encode("utf-8")


def summary_table(result: Mapping[str, Any], out: Path) -> None:
    """Print the two headline sections and where everything is."""
    table = Table("method", "own best", "95 % CI", "single", "several", "paper's constants", title="mean IoU, with PAMR")
    for name, figures in result["methods"].items():
        cells = _cells(figures)
        shown = [f"{cells[c]:.3f}" if isinstance(cells[c], float) else cells[c] for c in ("iou", "ci95", "single", "several")]
        table.add_row(TITLES[name], *shown, f"{result['paper_constants'][name]['iou']:.3f}")
    console = make_console()
    console.print(table)
    if "yardstick_iou" in result:
        yardstick = f"Yardstick on held-out scenes: IoU {result['yardstick_iou']:.3f}"
        console.print(f"{yardstick}; images without their class: {result['not_drawn']}", markup=False)
    console.print(f"Recommended: {result['preset']['method']} ({result['preset']['note']})", markup=False, soft_wrap=True)
    names = {"Tables": "results.md", "Pictures": "scenes.png", "JSON": "results.json", "Preset": "preset.json"}
    console.print("   ".join(f"{what}: {out / name}" for what, name in names.items()), markup=False, soft_wrap=True)
