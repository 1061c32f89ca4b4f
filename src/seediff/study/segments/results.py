"""Results of studies of segments, for readers: Markdown and CSV tables, JSON, and a grid of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...files.label_maps import voc_palette
from ...files.messages import make_console
from ...report.pictures import contact_sheet, encoded, fit_side, overlay
from ..results import markdown_table, write_study
from .scores import Pairs

TITLES = {
    "paper": "At the papers' constants",
    "best": "Each at its own best on the tuning set",
    "floors": "Floors: divisions that never look at the picture",
}
SCORES = {"acc": "ACC", "miou": "mIoU"}
NOTE = (
    "Method less floor, with the paired 95 % bootstrap interval over images: above 0 throughout, the method is worth more than the floor. "
    "`grid` has as many tiles as the method made segments in that image, `grid-truth` as many as the label map shows classes; `colour-…` "
    "is K-Means on colour and position, which looks at the picture without a model."
)
SIDE = 160
"""Pixels of the longer side of a picture in the grid."""


def write_segments(
    out: Path, result: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], sheet: np.ndarray, json_path: Path | None
) -> None:
    """Write results.md, results.csv, results.json (and `json_path`), segments.jpg and, if they have rows, floors.csv and tuning.csv, each
    atomically."""
    rows = [{"section": section, "name": name, **_cells(row)} for section, table in _sections(result) for name, row in table.items()]
    tables = {"results.csv": rows, "floors.csv": list(_floor_rows(result)), "tuning.csv": trials}
    picture = encoded(sheet, "JPEG", quality=88, subsampling=0)
    write_study(out, result, markdown(result), json_path, tables=tables, files={"segments.jpg": picture})


def markdown(result: Mapping[str, Any]) -> str:
    """Every section of the result as a Markdown table, and each section's methods against each floor."""
    lines = [", ".join(f"{key}: {result[key]}" for key in ("model", "pairs", "images", "protocol", "tune") if key in result)]
    for section, table in _sections(result):
        rows = ([name, *map(str, _cells(row).values())] for name, row in table.items())
        columns = ["", "ACC", "95 %", "mIoU", "95 %", "segments", "DiffCut's mIoU", "95 %", "ms", "constants"]
        lines += ["", f"### {TITLES[section]}", "", *markdown_table(columns, rows)]
    if "ahead" in result:
        lines += ["", "## Against the floors", "", NOTE]
    for section, methods in result.get("ahead", {}).items():
        for score, title in SCORES.items():
            lines += ["", f"### {TITLES[section]}: {title} above each floor's", "", *_floor_table(methods, score)]
    return "\n".join(lines) + "\n"


def show(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print every section as a table."""
    console = console or make_console()
    for section, rows in _sections(result):
        table = Table("", "ACC", "mIoU", "95 %", "segments", "ms", "constants", title=TITLES[section], title_justify="left")
        for name, row in rows.items():
            cells = _cells(row)
            table.add_row(Text(name), *(Text(str(cells[key])) for key in ("acc", "miou", "miou 95 %", "segments", "ms", "constants")))
        console.print(table)
    for section, methods in result.get("ahead", {}).items():
        console.print(_strongest(methods, f"{TITLES[section]}: against the strongest floor"))


def _strongest(methods: Mapping[str, Any], title: str) -> Table:
    """A row per method: for each score, the floor with the highest score, and how far the method is above it."""
    table = Table("", *(head for name in SCORES.values() for head in (f"{name}: floor", "ahead, 95 %")), title=title, title_justify="left")
    for method, floors in methods.items():
        cells = []
        for score in SCORES:
            floor = max(floors, key=lambda name: floors[name][score])
            cells += [f"{floor} {floors[floor][score]}", _ahead(floors[floor], score)]
        table.add_row(Text(method), *map(Text, cells))
    return table


def _floor_table(methods: Mapping[str, Any], score: str) -> list[str]:
    """A row per floor: the floor's score, then for each method how far it is above the floor."""
    table = []
    for floor in next(iter(methods.values()), {}):
        rows = [floors[floor] for floors in methods.values()]
        scores = {row[score] for row in rows}  # several if the floor has as many segments as each method
        table.append([floor, f"{scores.pop()}" if len(scores) == 1 else "its own", *(_ahead(row, score) for row in rows)])
    return markdown_table(["", "floor", *methods], table)


def _floor_rows(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for section, methods in result.get("ahead", {}).items():
        for method, floors in methods.items():
            for floor, row in floors.items():
                scores = {f"floor {score}": row[score] for score in SCORES} | {f"{score} ahead": _ahead(row, score) for score in SCORES}
                yield {"section": section, "name": method, "floor": floor, "floor segments": row["segments"], **scores}


def _ahead(row: Mapping[str, Any], score: str) -> str:
    low, high = row["ahead"][f"{score}_ci95"]
    return f"{row['ahead'][score]:+.3f} [{low:+.3f}, {high:+.3f}]"


def segment_sheet(pairs: Pairs, shown: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
    """A row per image: the image, its label map, then each way's segments, with names beneath."""
    ways = [name for name in shown if shown[name]]
    tiles, labels = [], []
    for number in range(len(shown[ways[0]]) if ways else 0):
        image, exact = pairs.load[number]()
        for name, label_map in [("image", None), ("labels", exact), *((way, shown[way][number]) for way in ways)]:
            tiles.append(fit_side(_drawn(image, label_map), SIDE, Image.Resampling.BILINEAR))
            labels.append(name)
    return contact_sheet(tiles, columns=len(ways) + 2, labels=labels)


def _drawn(image: np.ndarray, label_map: np.ndarray | None) -> np.ndarray:
    """The image with segments in different colours, segment 0 included; unlabelled pixels are unchanged."""
    if label_map is None:
        return image
    return overlay(image, np.where(label_map < 0, 0, label_map % 254 + 1).astype(np.uint8), voc_palette(), alpha=0.6)


def _sections(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The tables of figures, with each way's time. The result keeps the times apart, because figures are the same on every machine."""
    times = result.get("milliseconds", {})
    return [
        (section, {name: {**row, "ms": times.get(section, {}).get(name, "")} for name, row in result[section].items()})
        for section in TITLES
        if result.get(section)
    ]


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "acc": row["acc"],
        "acc 95 %": "{}–{}".format(*row["acc_ci95"]),
        "miou": row["miou"],
        "miou 95 %": "{}–{}".format(*row["miou_ci95"]),
        "segments": row["segments"],
        "DiffCut's mIoU": row.get("miou_diffcut", ""),
        "DiffCut's mIoU 95 %": "{}–{}".format(*row["miou_diffcut_ci95"]) if "miou_diffcut" in row else "",
        "ms": row["ms"],
        "constants": ", ".join(f"{key} {value}" for key, value in row.get("constants", {}).items()),
    }
