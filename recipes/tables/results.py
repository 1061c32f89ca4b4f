"""Writes a table of trained segmenters for readers: Markdown that includes the paper's figures, JSON, and a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from recipes.studies.markdown import table as markdown_table
from seediff.files.outputs import write_atomic

WIDTH, ROW, LEFT, RIGHT = 760, 26, 300, 90  # of the plot, in pixels


def write_table(out: Path, result: Mapping[str, Any]) -> None:
    """Write results.json, .md and .svg to `out`, each atomically."""
    rows = summarised(result)
    fit = fitted(rows, result["metrics"][0])
    whole = {**result, "summary": rows, **({"fit": fit} if fit else {})}
    texts = {"json": json.dumps(whole) + "\n", "md": markdown(result, rows, fit), "svg": plot(result, rows)}
    for kind, text in texts.items():
        write_atomic(out / f"results.{kind}", text.encode("utf-8"))


def summarised(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry per row, test and metric, in percent: the mean, lowest and highest figure over seeds, the bootstrap
    interval over images averaged over seeds, and the paper's figure (None if the paper has none). `ratio` and
    `paper_ratio` divide by the figures of the reference row; None without one. There is no entry where a figure is
    undefined, as the IoU of a class that is neither in the truth nor predicted."""
    entries = []
    for row in result["rows"]:
        for test, scores in row["tests"].items():
            for metric in result["metrics"]:
                found = [figure(one, metric) for one in scores]
                if any(number is None for value, bounds in found for number in (value, *(bounds or [None]))):
                    continue
                values = [value for value, _ in found]
                paper = row["paper"].get(f"{test}.{metric}", row["paper"].get(metric))
                low, high = (sum(bounds[end] for _, bounds in found) / len(found) for end in (0, 1))
                entries.append(
                    {
                        "row": row["name"],
                        "test": test,
                        "metric": metric,
                        "mean": round(100 * sum(values) / len(values), 2),
                        "lowest": round(100 * min(values), 2),
                        "highest": round(100 * max(values), 2),
                        "ci95": [round(100 * low, 2), round(100 * high, 2)],
                        "paper": paper,
                        "minutes": round(sum(row["seconds"]) / 60, 1),
                    }
                )
    references = {(one["test"], one["metric"]): one for one in entries if one["row"] == result.get("reference")}
    for one in entries:
        other = references.get((one["test"], one["metric"]))
        one["ratio"] = round(one["mean"] / other["mean"], 3) if other and other["mean"] else None
        one["paper_ratio"] = (
            round(one["paper"] / other["paper"], 3) if other and other["paper"] and one["paper"] is not None else None
        )
    return entries


def figure(scores: Mapping[str, Any], metric: str) -> tuple[float, Sequence[float]]:
    """A metric of `Scores.table` and its interval, ignoring case: `miou`, `pixel_accuracy`, a group such as `unseen`,
    or a class.
    """
    metric = metric.lower()
    if metric in ("miou", "pixel_accuracy"):
        return scores[metric], scores[f"{metric}_ci95"]
    groups = {name.lower(): group for name, group in scores["groups"].items()}
    if metric in groups:
        return groups[metric]["miou"], groups[metric]["miou_ci95"]
    classes = {name.lower(): scored for name, scored in scores["per_class"].items()}
    return classes[metric]["iou"], classes[metric]["iou_ci95"]


def fitted(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[str, float] | None:
    """A curve for tables whose rows are numbers n of images: a − b · n^(−c), which saturates at a. Without saturation
    in the figures, where c or a is at its bound: the line at_first + per_doubling · log2(n / n_first). None for other
    tables and for fewer than four rows."""
    points = [(float(row["row"]), row["mean"]) for row in rows if row["row"].isdigit() and row["metric"] == metric]
    if len(points) < 4 or len(points) < len({row["row"] for row in rows}):
        return None
    sizes, values = (np.array(one) for one in zip(*points, strict=True))
    if (constants := _power_law(sizes, values)) is not None:
        a, b, c = constants
        return {
            "a": round(a, 2),
            "b": round(b, 2),
            "c": round(c, 3),
            "largest_error": _largest(a - b * sizes ** (-c) - values),
        }
    doublings = np.log2(sizes / sizes[0])
    slope, start = map(float, np.polyfit(doublings, values, 1))
    return {
        "at_first": round(start, 2),
        "per_doubling": round(slope, 2),
        "largest_error": _largest(start + slope * doublings - values),
    }


def _power_law(sizes: np.ndarray, values: np.ndarray) -> tuple[float, float, float] | None:
    """a, b and c of a − b · n^(−c); None if no fit is found, or if a or c ends at its bound."""
    from scipy.optimize import curve_fit

    highest, slowest = 100.0, 0.01
    try:
        constants, _ = curve_fit(
            lambda n, a, b, c: a - b * n ** (-c),
            sizes,
            values,
            p0=(max(values) + 5, 100.0, 0.5),
            bounds=([0, 0, slowest], [highest, 1e4, 3]),
            maxfev=20000,
        )
    except RuntimeError:  # no fit was found
        return None
    a, b, c = map(float, constants)
    return (a, b, c) if a < 0.999 * highest and c > 1.1 * slowest else None


def _largest(errors: np.ndarray) -> float:
    return round(float(np.abs(errors).max()), 2)


def markdown(
    result: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], fit: Mapping[str, float] | None = None
) -> str:
    """The table as Markdown, with the paper's figures beside the measured ones."""
    lines = [f"# {result['title']}", ""]
    lines += [f"Paper: {result['paper']}.", ""] if result["paper"] else []
    lines += [result["note"], ""] if result["note"] else []
    several = len({(row["test"], row["metric"]) for row in rows}) > 1
    compared = any(row["ratio"] is not None for row in rows)
    columns = ["", *(["figure"] if several else []), "ours, %", "seeds", "95 % over images", "paper, %"]
    columns += ["ratio", "paper's"] if compared else []
    table = []
    for row in rows:
        numbers = (row["paper"], *([row["ratio"], row["paper_ratio"]] if compared else []))
        figures = [f"{row['test'].replace('_', ' ')}, {row['metric']}"] if several else []
        table.append(
            [row["row"], *figures, *shown(row), *("" if number is None else str(number) for number in numbers)]
        )
    lines += [
        f"| {' | '.join(columns)} |",
        *markdown_table(columns, table)[1:],
    ]  # the header as in the published tables
    tests = ", ".join(dict.fromkeys(row["test"].replace("_", " ") for row in rows))
    minutes = sum({row["row"]: row["minutes"] for row in rows}.values())
    train = ", ".join(f"{key} {value}" for key, value in result["train"].items())
    lines += [
        "",
        (
            f"Measured on {tests}; seeds {', '.join(map(str, result['seeds']))}; training: {train}; {minutes:.0f}"
            f" minutes of training and measuring in all; seediff {result['version']}."
        ),
    ]
    if compared:
        lines += ["", f"Ratios are to “{result['reference']}”."]
    if fit:
        curve = (
            f"{fit['a']} − {fit['b']} · n^−{fit['c']}"
            if "a" in fit
            else f"{fit['at_first']} at first and {fit['per_doubling']} a doubling"
        )
        lines += ["", f"Fit: {curve}, off by at most {fit['largest_error']}."]
    return "\n".join(lines) + "\n"


def shown(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """The mean, the seeds' range and the interval of an entry of `summarised`, as texts."""
    return (
        f"{row['mean']:.1f}",
        f"{row['lowest']:.1f}–{row['highest']:.1f}",
        "–".join(f"{bound:.1f}" for bound in row["ci95"]),
    )


def plot(result: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """An SVG of the first metric: a bar per row, the range over seeds as a line, and the paper's figure as a ring."""
    drawn = [row for row in rows if row["metric"] == result["metrics"][0]]
    several = len({row["test"] for row in drawn}) > 1
    height = ROW * len(drawn) + 60

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(value, 0.0), 100.0) / 100

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif"'
            ' font-size="12">'
        ),
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-size="14">{escape(result["title"])}</text>',
    ]
    for tick in range(0, 101, 20):
        parts.append(f'<line x1="{x(tick):.1f}" y1="32" x2="{x(tick):.1f}" y2="{height - 22}" stroke="#ddd"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{height - 8}" text-anchor="middle" fill="#555">{tick}</text>')
    for number, row in enumerate(drawn):
        top = 36 + number * ROW
        middle = top + ROW / 2 - 2
        name = f"{row['row']} ({row['test'].replace('_', ' ')})" if several else row["row"]
        if math.isnan(row["mean"]):
            continue
        parts += [
            f'<text x="{LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{top}" width="{x(row["mean"]) - LEFT:.1f}" height="{ROW - 6}" fill="#4c78a8"/>',
            (
                f'<line x1="{x(row["lowest"]):.1f}" y1="{middle}" x2="{x(row["highest"]):.1f}" y2="{middle}"'
                ' stroke="black" stroke-width="2"/>'
            ),
            f'<text x="{x(row["mean"]) + 8:.1f}" y="{middle + 4:.1f}">{row["mean"]:.1f}</text>',
        ]
        if row["paper"] is not None:
            parts.append(
                f'<circle cx="{x(row["paper"]):.1f}" cy="{middle:.1f}" r="5" fill="none" stroke="#e45756"'
                ' stroke-width="2"/>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"
