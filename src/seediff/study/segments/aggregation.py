"""`seediff study aggregation`: what DiffSeg owes to each resolution of self-attention, and how its constants matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...config.constants import SegmentConfig
from ...files.outputs import check_writable
from ...models.registry import load_model
from ..bars import study_progress
from .contest import PICTURES, THRESHOLDS, constants
from .floors import ahead_of_floors, floor_figures, with_floors
from .pairs import Pairs
from .results import segment_sheet, write_segments
from .scores import Way, try_ways

WEIGHTS: dict[str, Any] = {
    "proportional": "proportional",
    "only L": (1.0,),
    "only L/2": (0.0, 1.0),
    "only L/4 + L/8": (0.0, 0.0, 2.0, 1.0),
    "uniform": "uniform",
}
"""The paper's ways to weigh the resolutions (its figure on aggregation weights); L/8 only where the model has it."""

SWEEPS: dict[str, Sequence[Any]] = {
    "kl_threshold": THRESHOLDS,
    "num_points": (4, 8, 12, 16, 24, 32),
    "timestep": (1, 50, 100, 200, 300, 400, 500, 600, 700, 800),
}


def run_aggregation_study(
    pairs: Pairs,
    out: Path,
    *,
    base: SegmentConfig,
    sweeps: Sequence[str],
    model_name: str,
    seed: int,
    device: str | None,
    json_path: Path | None,
) -> dict[str, Any]:
    """DiffSeg with each way to weigh the resolutions, at `base`'s threshold and at each one's own best on these very pairs (so the
    latter flatters all alike) beside the floors, and with one constant of `sweeps` at a time changed; tables and pictures in `out`."""
    check_writable(out, json_path)
    model = load_model(model_name, device=device)
    levels = len(model.pipe.unet.config.block_out_channels)
    weights = {name: w if isinstance(w, str) else w[:levels] for name, w in WEIGHTS.items()}
    ways: dict[str, Way] = {f"weights {name}": replace(base, weights=w) for name, w in weights.items()}
    ways |= {f"{name} at {t}": replace(base, weights=w, kl_threshold=t) for name, w in weights.items() for t in THRESHOLDS}
    for option in sweeps:
        values = [v for v in SWEEPS[option] if option != "num_points" or v <= model.latent_side]
        ways |= {f"{option} {value}": replace(base, **{option: value}) for value in values}
    with study_progress() as progress:
        tested = try_ways(model, pairs, with_floors(ways), progress=progress, about="measuring", seed=seed, pictures=PICTURES)

    def rows(names: Mapping[str, str]) -> dict[str, Any]:
        return {shown: {**tested[name].figures(), "constants": constants(ways[name])} for shown, name in names.items()}

    result: dict[str, Any] = {"model": model.name, "pairs": pairs.name, "images": len(pairs), "protocol": "diffseg"}
    result["aggregation"] = rows({name: f"weights {name}" for name in weights})
    best = {name: max((f"{name} at {t}" for t in THRESHOLDS), key=lambda way: tested[way].miou()) for name in weights}
    result["aggregation_best"] = rows(best)
    sections = {"aggregation": {name: f"weights {name}" for name in weights}, "aggregation_best": best}
    result["ahead"] = {section: ahead_of_floors(tested, names, {}) for section, names in sections.items()}
    result["floors"] = floor_figures(tested)
    for option in sweeps:
        result[option] = rows({name.removeprefix(f"{option} "): name for name in ways if name.startswith(f"{option} ")})
    shown = {name: tested[best[name]].pictures for name in weights}
    write_segments(out, result, [], segment_sheet(pairs, shown), json_path)
    return result
