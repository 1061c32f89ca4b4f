"""Take over what `seediff study truth` found: into the embedded model's preset, and into the sets of masks that the tables train on.

    seediff study truth --scenes 500 --tune-scenes 100 --out truth
    seediff study generated --images 190 --constants truth/results.json --out generated
    python benchmarks/take_constants.py truth/results.json generated/results.json

With `--model mini-dit` into the preset of that model, for which `generated` may be left out; no tables train on its masks.

The preset's note says which method's masks are best. Its method is left as it is, until segmenters learn more from another's masks
(decision 0019). Steps, guidance, thresholds and segments stay too, and so does what the set draws, with less guidance (0018) and more
steps (0014) than the preset has.
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


def told(preset: dict[str, Any], generated: dict[str, Any]) -> str:
    """The preset's note: which method's masks are best on exact scenes, and what that is on drawn images."""
    method = preset["method"]
    if method == "seediff":
        return preset["note"]
    lead = generated["ahead_of_seediff"]["own_best"][method]["iou"]
    where = f"{abs(lead):.4f} {'ahead of' if lead > 0 else 'behind'} seediff"
    return f"{preset['note']}; on {generated['images']} drawn images it is {where}; which method is the default: decision 0019"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("truth", type=Path)
    parser.add_argument("generated", type=Path, nargs="?")
    parser.add_argument("--model", choices=tuple(EMBEDDED), default="mini")
    args = parser.parse_args()
    if args.model == "mini" and not args.generated:
        parser.error("generated: the results.json of `seediff study generated` is needed, whose images say how far ahead a method is")
    truth = read_json(args.truth, dict[str, Any], limit=SETTINGS)
    note = told(truth["preset"], read_json(args.generated, dict[str, Any], limit=SETTINGS)) if args.generated else truth["preset"]["note"]
    about = EMBEDDED[args.model] / "seediff.json"
    model = read_json(about, dict[str, Any], limit=SETTINGS)
    kept = {**model["preset"], **truth["preset"], "note": note}
    model["preset"] = {**kept, "method": model["preset"].get("method", truth["preset"]["method"])}
    write_atomic(about, (json.dumps(model, indent=2) + "\n").encode())
    print(about)
    if args.model == "mini":
        drawn = {**read_toml(SET), "labels": labels(truth["settings"])}
        write_atomic(SET, tomli_w.dumps(drawn).encode())
        print(SET)


if __name__ == "__main__":
    main()
