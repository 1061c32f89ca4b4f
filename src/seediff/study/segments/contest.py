"""`seediff study segments`: DiffSeg against its baselines, at the papers' constants and each at its own best.

An honest contest: every method's constants are sought on the same separate scenes, the baselines' too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...config.constants import SegmentConfig
from ...config.fields import checked
from ...errors import UserError
from ...files.documents import fit, read_json
from ...files.messages import shown
from ...files.places import check_writable
from ...models.registry import load_model
from ..bars import study_progress
from .floors import ahead_of_floors, floor_figures, with_floors
from .pairs import Pairs
from .results import segment_sheet, write_segments
from .scores import Floor, Outcome, Way, try_ways

PAPER: dict[str, Way] = {
    "diffseg": SegmentConfig(),
    "diffseg+kmeans": SegmentConfig(refine=True),
    "kmeans-c": SegmentConfig(method="kmeans", k=6),
    "kmeans-s": SegmentConfig(method="kmeans", k="truth"),
    "diffcut": SegmentConfig(method="diffcut"),
    "diffcut+pamr": SegmentConfig(method="diffcut", refine=True),
    "colour-c": Floor(6),
    "colour-s": Floor("truth"),
}
"""Every method at its paper's constants; `colour` is K-Means on plain colour and position, the floor."""

THRESHOLDS = (0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.9, 1.1)
WEIGHTS: tuple[Any, ...] = ("proportional", "uniform", (1.0,), (0.0, 1.0), (0.0, 0.0, 1.0))
CUTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
POWERS = (5.0, 10.0, 15.0)
CLUSTERS = (2, 3, 4, 5, 6, 8)
PICTURES = 8
STUDIED = ("k", "kl_threshold", "cut_threshold", "cut_power", "weights", "refine")
"""The constants that define a way in the tables."""


def grid() -> dict[str, list[Way]]:
    """What each method may choose from."""
    diffseg = [SegmentConfig(kl_threshold=t, weights=w) for w in WEIGHTS for t in THRESHOLDS]
    diffcut = [SegmentConfig(method="diffcut", cut_threshold=t, cut_power=p) for p in POWERS for t in CUTS]
    return {
        "diffseg": list(diffseg),
        "diffseg+kmeans": [replace(one, refine=True) for one in diffseg if one.weights == "proportional"],
        "kmeans-c": [SegmentConfig(method="kmeans", k=k, weights=w) for w in WEIGHTS for k in CLUSTERS],
        "kmeans-s": [SegmentConfig(method="kmeans", k="truth", weights=w) for w in WEIGHTS],
        "diffcut": list(diffcut),
        "diffcut+pamr": [replace(one, refine=True) for one in diffcut],
        "colour-c": [Floor(k) for k in CLUSTERS],
        "colour-s": [Floor("truth")],
    }


def run_segment_study(
    pairs: Pairs,
    out: Path,
    *,
    tune: Pairs | None,
    best: Mapping[str, Way],
    model_name: str,
    seed: int,
    device: str | None,
    json_path: Path | None,
) -> dict[str, Any]:
    """Every method on `pairs`, at its paper's constants and at its best ones: those that do best on `tune`, or without it those of `best`
    (from `read_best`, or none); and how far each is above the floors. Tables and pictures in `out`."""
    check_writable(out, json_path)
    model = load_model(model_name, device=device)
    result: dict[str, Any] = {"model": model.name, "pairs": pairs.name, "images": len(pairs), "protocol": "diffseg"}
    with study_progress() as progress:
        best = dict(best)
        trials: list[dict[str, Any]] = []
        if tune is not None:
            ways = {f"{method} {number}": way for method, group in grid().items() for number, way in enumerate(group)}
            tried = try_ways(model, tune, ways, progress=progress, about="tuning", seed=seed)
            for method, group in grid().items():
                scores = [tried[f"{method} {number}"].miou() for number in range(len(group))]
                best[method] = group[scores.index(max(scores))]
                trials += [{"method": method, "miou": round(s, 4), **constants(w)} for s, w in zip(scores, group, strict=True)]
            result["tune"] = tune.name
        ways = {f"paper {name}": way for name, way in PAPER.items()} | {f"best {name}": way for name, way in best.items()}
        tested = try_ways(model, pairs, with_floors(ways), progress=progress, about="measuring", seed=seed, pictures=PICTURES)
    for kind, group in (("paper", PAPER), ("best", best)):
        if group:
            result[kind] = {name: _row(tested[f"{kind} {name}"], way) for name, way in group.items()}
            methods = {name: f"{kind} {name}" for name, way in group.items() if isinstance(way, SegmentConfig)}
            colours = {name: f"{kind} {name}" for name in group if name not in methods}
            result.setdefault("ahead", {})[kind] = ahead_of_floors(tested, methods, colours)
    result["floors"] = floor_figures(tested)
    shown = {name: tested[f"{'best' if best else 'paper'} {name}"].pictures for name in PAPER}
    write_segments(out, result, trials, segment_sheet(pairs, shown), json_path)
    return result


def read_best(path: Path) -> dict[str, Way]:
    """The best constants in results.json of an earlier study. Raises UserError when it holds none."""
    found = read_json(path, BestFile).best
    if missing := [name for name in PAPER if name not in found]:
        raise UserError(f"{path}: best has no '{missing[0]}'; results.json of a `seediff study segments` that tuned has all")
    return {name: _way(name, found[name].constants, f"{path}: best.{name}.constants") for name in PAPER}


@dataclass(frozen=True)
class BestRow:
    constants: dict[str, Any]


@dataclass(frozen=True)
class BestFile:
    """What is read of results.json of `seediff study segments`."""

    best: dict[str, BestRow]


def _way(name: str, table: Mapping[str, Any], where: str) -> Way:
    """The way whose `constants` this table is. Raises UserError."""
    if name.startswith("colour"):
        return fit(table, Floor, where)
    values = dict(table)
    if isinstance(listed := values.get("weights"), str) and listed not in ("proportional", "uniform"):
        try:
            values["weights"] = [float(weight) for weight in listed.split(",")]
        except ValueError as error:
            raise UserError(where, f"weights: {shown(listed)} must be numbers with commas between") from error
    paper = PAPER[name]
    assert isinstance(paper, SegmentConfig)
    try:
        return replace(paper, **checked(SegmentConfig, values, where))
    except UserError as error:
        raise UserError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error


def _row(tested: Outcome, way: Way) -> dict[str, Any]:
    return {**tested.figures(), "constants": constants(way)}


def constants(way: Way) -> dict[str, Any]:
    """What defines a way, for tables: only what its method uses."""
    if isinstance(way, Floor):
        return {"k": way.k}
    assert isinstance(way, SegmentConfig)  # no study has constants of what does not look at the picture
    values = {name: getattr(way, name) for name in STUDIED if name in way.facts.options}
    if isinstance(weights := values.get("weights"), tuple):
        values["weights"] = ",".join(f"{w:g}" for w in weights)
    return values
