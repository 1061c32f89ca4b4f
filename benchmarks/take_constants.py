"""Take over what `seediff study truth` found: into the embedded model's preset, and into the sets of masks that the tables train on.

    seediff study truth --scenes 500 --tune-scenes 100 --out truth
    python benchmarks/take_constants.py truth/results.json

Steps, guidance, thresholds and segments of the preset stay, and so do the classes and prompts of the set, which is drawn with those steps
and that guidance.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import tomli_w

from seediff.files.documents import read_json, read_toml
from seediff.files.outputs import write_atomic
from seediff.files.reading import SETTINGS
from seediff.models.registry import EMBEDDED
from seediff.study.tables import definition

SET = Path(definition.__file__).parent / "embedded" / "set.toml"
WITHOUT_PAMR = ("ca", "ca_sa", "seediff")


def labels(settings: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The tables' sets of masks by name: each method at its own best, some without PAMR, all at the paper's constants, CA by level."""
    found = {(one["kind"], one["name"]): {key: one[key] for key in ("method", "mask", "capture")} for one in settings}
    made: dict[str, dict[str, Any]] = {}
    for kind, name in found:
        if kind == "own_best":
            made[name] = found[kind, name]
            if name in WITHOUT_PAMR:
                made[f"{name}_without_pamr"] = found["own_best_without", name]
            made[f"{name}_paper"] = found["paper", name]
    return made | {f"ca_at_{name.replace('/', '')}": one for (kind, name), one in found.items() if kind == "ca_side"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path)
    result = read_json(parser.parse_args().results, dict[str, Any], limit=SETTINGS)
    about = EMBEDDED / "seediff.json"
    model = read_json(about, dict[str, Any], limit=SETTINGS)
    model["preset"] = {**model["preset"], **result["preset"]}
    drawn = {**read_toml(SET), "labels": labels(result["settings"])}
    for name in ("steps", "guidance_scale"):
        drawn[name] = model["preset"][name]
    write_atomic(about, (json.dumps(model, indent=2) + "\n").encode())
    write_atomic(SET, tomli_w.dumps(drawn).encode())
    print(f"{about}\n{SET}")


if __name__ == "__main__":
    main()
