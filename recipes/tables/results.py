"""Writes a table of trained segmenters for readers: Markdown that includes the paper's figures, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recipes.studies.markdown import table as markdown_table
from seediff.files.outputs import write_atomic


def write_table(out: Path, result: Mapping[str, Any]) -> None:
    """Write results.json and results.md to `out`, each atomically."""
    rows = summarised(result)
    write_atomic(out / "results.json", f"{json.dumps({**result, 'summary': rows})}\n".encode())
    write_atomic(out / "results.md", markdown(result, rows).encode())


def summarised(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry per row, test and metric, in percent: the mean, lowest and highest figure over seeds, the bootstrap
    interval over images averaged over seeds (None from fewer than five images), and the paper's figure (None if the
    paper has none). `ratio` and `paper_ratio` divide by the figures of the row's reference; None without one. There is
    no entry where a figure is undefined, as the IoU of a class that is neither in the truth nor predicted."""
    entries = []
    for row in result["rows"]:
        for test, scores in row["tests"].items():
            for metric in result["metrics"]:
                found = [figure(one, metric) for one in scores]
                if any(value is None for value, _ in found):
                    continue
                values = [value for value, _ in found]
                paper = row["paper"].get(f"{test}.{metric}", row["paper"].get(metric))
                ends = list(zip(*(bounds for _, bounds in found), strict=True))
                entries.append(
                    {
                        "row": row["name"],
                        "test": test,
                        "metric": metric,
                        "mean": round(100 * sum(values) / len(values), 2),
                        "lowest": round(100 * min(values), 2),
                        "highest": round(100 * max(values), 2),
                        "ci95": [None if None in end else round(100 * sum(end) / len(end), 2) for end in ends],
                        "paper": paper,
                    }
                )
    references = {row["name"]: row.get("reference") or result.get("reference") for row in result["rows"]}
    by_row = {(one["row"], one["test"], one["metric"]): one for one in entries}
    for one in entries:
        other = by_row.get((references[one["row"]], one["test"], one["metric"]))
        one["ratio"] = round(one["mean"] / other["mean"], 3) if other and other["mean"] else None
        one["paper_ratio"] = (
            round(one["paper"] / other["paper"], 3) if other and other["paper"] and one["paper"] is not None else None
        )
    return entries


def figure(scores: Mapping[str, Any], metric: str) -> tuple[float, Sequence[float]]:
    """A metric of `SemanticScores.table` and its interval, ignoring case: `miou`, `pixel_accuracy`, a group such as
    `unseen`, or a class."""
    metric = metric.lower()
    if metric in ("miou", "pixel_accuracy"):
        return scores[metric], scores[f"{metric}_ci95"]
    groups = {name.lower(): group for name, group in scores["groups"].items()}
    if metric in groups:
        return groups[metric]["miou"], groups[metric]["miou_ci95"]
    classes = {name.lower(): scored for name, scored in scores["per_class"].items()}
    return classes[metric]["iou"], classes[metric]["iou_ci95"]


def markdown(result: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as Markdown, with the paper's figures beside the measured ones."""
    lines = [f"# {result['title']}", ""]
    lines += [f"Paper: {result['paper']}.", ""] if result["paper"] else []
    lines += [result["note"], ""] if result["note"] else []
    tests, metrics = ({row[key] for row in rows} for key in ("test", "metric"))
    several = len(tests) > 1 or len(metrics) > 1
    compared = any(row["ratio"] is not None for row in rows)
    figure_of = "figure"
    if len(metrics) == 1:
        figure_of = f"{next(iter(metrics))} on"
    columns = ["", *([figure_of] if several else []), "ours, % (seeds)", "95 % over images", "paper, %"]
    numbers = ["paper"]
    if compared:
        columns += ["ratio", "paper's"]
        numbers += ["ratio", "paper_ratio"]
    table, before = [], ""
    for row in rows:
        names: list[str] = []
        if len(tests) > 1:
            names.append(row["test"].replace("_", " "))
        if len(metrics) > 1:
            names.append(row["metric"])
        figures = [", ".join(names)] if several else []
        name = "" if row["row"] == before else row["row"]  # a row's name is said once
        before = row["row"]
        table.append([name, *figures, *shown(row), *("" if row[key] is None else str(row[key]) for key in numbers)])
    lines += [
        f"| {' | '.join(columns)} |",
        *markdown_table(columns, table)[1:],
    ]  # the header as in the published tables
    for test, classes in result.get("classes", {}).items():
        lines += ["", f"IoU of classes, {test.replace('_', ' ')}, % (the paper's):", ""]
        lines += markdown_table(["", *classes], class_rows(result, test, classes))
    named = ", ".join(dict.fromkeys(row["test"].replace("_", " ") for row in rows))
    train = ", ".join(f"{key} {value}" for key, value in result["train"].items())
    seeds = ", ".join(map(str, result["seeds"]))
    lines += ["", f"{named}; seeds {seeds}; {train}; seediff {result['version']}."]
    if compared:
        lines += ["", f"Ratios are to “{result['reference']}”."]
        others: dict[str, list[str]] = {}
        for row in result["rows"]:
            if row.get("reference"):
                others.setdefault(row["reference"], []).append(row["name"])
        lines += [f"Ratios of {'; '.join(names)} are to “{other}”." for other, names in others.items()]
    return "\n".join(lines) + "\n"


def class_rows(result: Mapping[str, Any], test: str, classes: Sequence[str]) -> list[list[str]]:
    """For each row that the paper has, too, and that is measured on the test: its name, and the mean over seeds of each
    class's IoU in percent, with the paper's figure in parentheses if there is one."""
    rows = []
    for row in result["rows"]:
        cells = []
        for name in classes if row["paper"] and test in row["tests"] else ():
            values = [figure(scores, name)[0] for scores in row["tests"][test]]
            paper = row["paper"].get(f"{test}.{name}", row["paper"].get(name))
            ours = "" if None in values else f"{100 * sum(values) / len(values):.1f}"
            cells.append(ours if paper is None else f"{ours} ({paper})")
        if cells:
            rows.append([row["name"], *cells])
    return rows


def shown(row: Mapping[str, Any]) -> tuple[str, str]:
    """The mean with the seeds' range, and the interval of an entry of `summarised`, as texts."""
    return (
        f"{row['mean']:.1f} ({row['lowest']:.1f}–{row['highest']:.1f})",
        "–".join(f"{bound:.1f}" for bound in row["ci95"] if bound is not None),
    )
