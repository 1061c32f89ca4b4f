"""Results of the studies of segments for readers: Markdown and CSV tables, JSON, and a grid of pictures."""

from __future__ import annotations

import io
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
from ...files.outputs import write_atomic
from ...report.pictures import contact_sheet, fit_side, overlay
from ..results import csv_bytes, write_tables
from .pairs import Pairs

TITLES = {
    "paper": "At the papers' constants",
    "best": "Each at its own best on the tuning set",
    "aggregation": "Which resolutions are aggregated, at one threshold",
    "aggregation_best": "Which resolutions are aggregated, each at its own best threshold",
    "kl_threshold": "Threshold of the symmetric KL divergence",
    "num_points": "Anchors a side",
    "timestep": "Noise level that the UNet is told",
    "floors": "Floors: divisions that never look at the picture",
}
SCORES = {"acc": "ACC", "miou": "mIoU"}
NOTE = (
    "Method less floor, with the paired 95 % bootstrap interval over images: above 0 throughout, the method is worth more than the floor. "
    "`grid` has as many tiles as the method made segments in that image, `grid-truth` as many as the label map shows classes; `colour-…` "
    "is K-Means on colour and position, which looks at the picture without a model."
)
SIDE = 160
"""Pixels of a picture in the grid."""


def write_segments(
    out: Path, result: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], sheet: np.ndarray, json_path: Path | None
) -> None:
    """Write results.md, results.csv, floors.csv, results.json (and `json_path`), tuning.csv when there are trials, and segments.jpg,
    atomically."""
    rows = [{"section": section, "name": name, **_cells(row)} for section, name, row in _rows(result)]
    write_tables(out, result, markdown(result), rows, json_path)
    write_atomic(out / "floors.csv", csv_bytes(list(_floor_rows(result))))
    if trials:
        write_atomic(out / "tuning.csv", csv_bytes(trials))
    picture = io.BytesIO()
    Image.fromarray(sheet).save(picture, "JPEG", quality=88, subsampling=0)
    write_atomic(out / "segments.jpg", picture.getvalue())


def markdown(result: Mapping[str, Any]) -> str:
    """Every section of the result as a Markdown table, and each section's methods against each floor."""
    about = ", ".join(f"{key}: {result[key]}" for key in ("model", "pairs", "images", "protocol", "tune") if key in result)
    lines = [about]
    before = None
    for section, name, row in _rows(result):
        if section != before:
            lines += ["", f"### {TITLES.get(section, section)}", ""]
            lines += ["| | ACC | 95 % | mIoU | 95 % | segments | constants |", "|---|---|---|---|---|---|---|"]
            before = section
        cells = _cells(row)
        lines.append(
            f"| {name} | "
            + " | ".join(str(cells[key]) for key in ("acc", "acc 95 %", "miou", "miou 95 %", "segments"))
            + f" | {cells['constants']} |"
        )
    if "ahead" in result:
        lines += ["", "## Against the floors", "", NOTE]
    for section, methods in result.get("ahead", {}).items():
        for score, title in SCORES.items():
            lines += ["", f"### {TITLES[section]}: {title} above each floor's", "", *_floor_lines(methods, score)]
    return "\n".join(lines) + "\n"


def show(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print every section as a table."""
    console = console or make_console()
    tables: dict[str, Table] = {}
    for section, name, row in _rows(result):
        if section not in tables:
            tables[section] = Table("", "ACC", "mIoU", "95 %", "segments", "constants", title_justify="left")
            tables[section].title = TITLES.get(section, section)
        cells = _cells(row)
        tables[section].add_row(Text(name), *(Text(str(cells[key])) for key in ("acc", "miou", "miou 95 %", "segments", "constants")))
    for table in tables.values():
        console.print(table)
    for section, methods in result.get("ahead", {}).items():
        console.print(_strongest(methods, f"{TITLES[section]}: against the strongest floor"))


def _strongest(methods: Mapping[str, Any], title: str) -> Table:
    """A row per method: by each score the floor that has the highest, and how far the method is above it."""
    table = Table("", *(head for name in SCORES.values() for head in (f"{name}: floor", "ahead, 95 %")), title=title, title_justify="left")
    for method, floors in methods.items():
        cells = []
        for score in SCORES:
            floor = max(floors, key=lambda name: floors[name][score])
            cells += [f"{floor} {floors[floor][score]}", _ahead(floors[floor], score)]
        table.add_row(Text(method), *map(Text, cells))
    return table


def _floor_lines(methods: Mapping[str, Any], score: str) -> Iterator[str]:
    """A Markdown table: a row a floor with its own score, a column a method with how far it is above."""
    yield "| | floor | " + " | ".join(methods) + " |"
    yield "|---|---|" + "---|" * len(methods)
    for floor in next(iter(methods.values()), {}):
        rows = [floors[floor] for floors in methods.values()]
        scores = {row[score] for row in rows}  # several where it has as many segments as the method
        yield (
            f"| {floor} | "
            + (f"{scores.pop()}" if len(scores) == 1 else "its own")
            + " | "
            + " | ".join(_ahead(r, score) for r in rows)
            + " |"
        )


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
    """A row per image: the image, its exact label map, then each way's segments; names beneath."""
    ways = [name for name in shown if shown[name]]
    count = len(shown[ways[0]]) if ways else 0
    tiles, labels = [], []
    for number in range(count):
        image, exact = pairs.load[number]()
        for name, label_map in [("image", None), ("labels", exact), *((way, shown[way][number]) for way in ways)]:
            tiles.append(fit_side(_drawn(image, label_map), SIDE, Image.Resampling.BILINEAR))
            labels.append(name)
    return contact_sheet(tiles, columns=len(ways) + 2, labels=labels)


def _drawn(image: np.ndarray, label_map: np.ndarray | None) -> np.ndarray:
    """The image with every segment in a colour of its own, also segment 0; unlabelled pixels as they are."""
    if label_map is None:
        return image
    return overlay(image, np.where(label_map < 0, 0, label_map % 254 + 1).astype(np.uint8), voc_palette(), alpha=0.6)


def _rows(result: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for section in TITLES:
        for name, row in result.get(section, {}).items():
            yield section, name, row


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    constants = ", ".join(f"{key} {value}" for key, value in row.get("constants", {}).items())
    return {
        "acc": row["acc"],
        "acc 95 %": "{}–{}".format(*row["acc_ci95"]),
        "miou": row["miou"],
        "miou 95 %": "{}–{}".format(*row["miou_ci95"]),
        "segments": row["segments"],
        "constants": constants,
    }
