"""`seediff study segments`: DiffSeg against its baselines, at the papers' constants and each at its best constants.

The comparison is fair: the constants of every method, baselines included, are tuned on the same separate scenes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...config.constants import SegmentConfig
from ...config.fields import checked
from ...errors import UserError
from ...evaluate.floors import FLOORS, score_floors
from ...files.documents import fit, read_json
from ...files.messages import shown
from ...files.output_folders import check_writable
from ...models.registry import load_model
from .results import segment_sheet, write_segments
from .scores import Blind, Floor, Outcome, Pairs, Way, try_ways

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
STUDIED = ("k", "kl_threshold", "cut_threshold", "eigenvalue", "cut_power", "walk_steps", "weights", "refine")
"""The constants that define a way in the tables."""


def grid() -> dict[str, list[Way]]:
    """The settings that each method is tuned over."""
    diffseg = [SegmentConfig(kl_threshold=t, weights=w) for w in WEIGHTS for t in THRESHOLDS]
    diffcut = [SegmentConfig(method="diffcut", cut_threshold=t, cut_power=p) for p in POWERS for t in CUTS]
    return {
        "diffseg": list(diffseg),
        "diffseg+kmeans": [replace(config, refine=True) for config in diffseg if config.weights == "proportional"],
        "kmeans-c": [SegmentConfig(method="kmeans", k=k, weights=w) for w in WEIGHTS for k in CLUSTERS],
        "kmeans-s": [SegmentConfig(method="kmeans", k="truth", weights=w) for w in WEIGHTS],
        "diffcut": list(diffcut),
        "diffcut+pamr": [replace(config, refine=True) for config in diffcut],
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
    """Measure every way on `pairs`, at its paper's constants and at its best constants, and how far it is above the floors.
    The best constants have the highest mIoU on `tune`; without `tune` they are those in `best` (from `read_best`, may be empty). Writes
    tables and pictures to `out`."""
    check_writable(out, json_path)
    model = load_model(model_name, device=device)
    result: dict[str, Any] = {"model": model.name, "pairs": pairs.name, "images": len(pairs), "protocol": "diffseg"}
    papers, choices = PAPER, grid()
    best = dict(best)
    trials: list[dict[str, Any]] = []
    if tune is not None:
        settings = {f"{method} {number}": way for method, group in choices.items() for number, way in enumerate(group)}
        tried = try_ways(model, tune, settings, about="tuning", seed=seed, share=True)
        for method, group in choices.items():
            scores = [tried[f"{method} {number}"].miou() for number in range(len(group))]
            best[method] = group[scores.index(max(scores))]
            trials += [{"method": method, "miou": round(s, 4), **constants(w)} for s, w in zip(scores, group, strict=True)]
        result["tune"] = tune.name
    both = {f"paper {name}": way for name, way in papers.items()} | {f"best {name}": way for name, way in best.items()}
    tested = try_ways(model, pairs, with_floors(both), about="measuring", seed=seed, pictures=PICTURES)
    for kind, group in (("paper", papers), ("best", best)):
        if group:
            result.setdefault("milliseconds", {})[kind] = {name: tested[f"{kind} {name}"].milliseconds() for name in group}
            result[kind] = {name: {**tested[f"{kind} {name}"].figures(), "constants": constants(way)} for name, way in group.items()}
            methods = {name: f"{kind} {name}" for name, way in group.items() if isinstance(way, SegmentConfig)}
            colours = {name: f"{kind} {name}" for name in group if name not in methods}
            result.setdefault("ahead", {})[kind] = ahead_of_floors(tested, methods, colours)
    result["floors"] = floor_figures(tested)
    shown = {name: tested[f"{'best' if best else 'paper'} {name}"].pictures for name in papers}
    write_segments(out, result, trials, segment_sheet(pairs, shown), json_path)
    return result


def read_best(path: Path) -> dict[str, Way]:
    """The best constants in results.json of an earlier study. Raises UserError if any are missing."""
    best, papers = read_json(path, BestFile).best, PAPER
    if missing := [name for name in papers if name not in best]:
        raise UserError(f"{path}: best has no '{missing[0]}'; results.json of a `seediff study segments` that tuned has all")
    return {name: _way(paper, best[name].constants, f"{path}: best.{name}.constants") for name, paper in papers.items()}


@dataclass(frozen=True)
class BestRow:
    constants: dict[str, Any]


@dataclass(frozen=True)
class BestFile:
    """The part of results.json of `seediff study segments` that is read."""

    best: dict[str, BestRow]


def _way(paper: Way, table: Mapping[str, Any], where: str) -> Way:
    """The way that a table written by `constants` describes. paper: the same way at its paper's constants. Raises UserError."""
    if isinstance(paper, Floor):
        return fit(table, Floor, where)
    values = dict(table)
    if isinstance(listed := values.get("weights"), str) and listed not in ("proportional", "uniform"):
        try:
            values["weights"] = [float(weight) for weight in listed.split(",")]
        except ValueError as error:
            raise UserError(where, f"weights: {shown(listed)} must be numbers separated by commas") from error
    assert isinstance(paper, SegmentConfig)
    try:
        return replace(paper, **checked(SegmentConfig, values, where))
    except UserError as error:
        raise UserError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error


def constants(way: Way) -> dict[str, Any]:
    """The constants that define a way, for tables: only those that its method uses."""
    if isinstance(way, Floor):
        return {"k": way.k}
    assert isinstance(way, SegmentConfig)  # `Blind` floors have no constants to show
    values = {name: getattr(way, name) for name in STUDIED if name in way.options}
    if isinstance(weights := values.get("weights"), tuple):
        values["weights"] = ",".join(f"{w:g}" for w in weights)
    return values


AS_MANY = "grid"
"""The floor that differs between methods: it has as many segments as the method made."""


def with_floors(ways: Mapping[str, Way]) -> dict[str, Way]:
    """The ways, then every floor; the grid with as many segments as a method makes comes once per method."""
    methods = [name for name, way in ways.items() if isinstance(way, SegmentConfig)]
    fixed = {_blind(floor): Blind(floor) for floor in FLOORS if floor != AS_MANY}
    return {**ways, **fixed, **{_blind(AS_MANY, name): Blind(AS_MANY, like=name) for name in methods}}


def floor_figures(tested: Mapping[str, Outcome]) -> dict[str, Any]:
    """Scores, with intervals, of the floors that are the same for all methods, by name."""
    return {floor: tested[_blind(floor)].figures() for floor in FLOORS if floor != AS_MANY}


def ahead_of_floors(tested: Mapping[str, Outcome], methods: Mapping[str, str], colours: Mapping[str, str]) -> dict[str, Any]:
    """Method → floor → the floor's mean number of segments, acc and miou, and in `ahead` how far the method is above it.

    methods: displayed name of a method → name of its way in `tested`. colours: the same for K-Means on colour and position, which looks at
    the picture but uses no model.
    """
    ahead = {}
    for title, method in methods.items():
        outcomes = {floor: tested[_blind(floor, method if floor == AS_MANY else "")] for floor in FLOORS}
        outcomes |= {colour: tested[name] for colour, name in colours.items()}
        counts = {floor: outcome.counts() for floor, outcome in outcomes.items()}
        scores = score_floors(tested[method].counts(), counts, {floor: outcome.segments for floor, outcome in outcomes.items()})
        ahead[title] = {floor: _rounded(asdict(score)) for floor, score in scores.items()}
    return ahead


def _blind(floor: str, like: str = "") -> str:
    """The name of a floor's way among the other ways. like: the way whose number of segments the floor has."""
    return f"blind {floor} {like}".rstrip()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, tuple) else round(value, 4)
