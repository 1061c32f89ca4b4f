"""Put new weights of the embedded model, and the constants tuned for them, into the package.

    python recipes/new_weights.py ship runs/mini/pipeline
    python recipes/renew.py                                            # then remakes everything that depends on them, constants first
    python recipes/new_weights.py constants docs/preset.json generated.json [--model mini]

`constants` writes the constants found by `seediff study truth` into the model's preset and, for mini, into the sets of masks that tables
train on. With mini-dit `generated` may be left out: no tables train on its masks. The preset's note says which method's masks are best. The
preset's method stays as it is until segmenters learn more from another method's masks (decision 0019). Its steps, guidance, thresholds and
segments, and the images that the set draws, stay as well.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import tomli_w

sys.path.insert(0, str(Path(__file__).parents[1]))  # when run as a script, only this folder is on the path

from recipes.tables import definition
from seediff.files.documents import read_json, read_toml
from seediff.files.outputs import write_atomic
from seediff.files.reading import SETTINGS
from seediff.models.known import EMBEDDED

SET = Path(definition.__file__).parent / "embedded" / "set.toml"
PARTS = ("unet", "text_encoder", "vae")
WITHOUT_PAMR = ("ca", "ca_sa", "seediff")


def ship(pipeline: Path) -> None:
    """Replace mini's weights by a pipeline's. Mini keeps its scheduler, its tokenizer and, until `constants` runs, its preset."""
    about = EMBEDDED["mini"] / "seediff.json"
    old, new = (read_json(path, dict[str, Any], limit=SETTINGS) for path in (about, pipeline / "seediff.json"))
    for part in PARTS:
        for file in sorted((pipeline / part).iterdir()):
            shutil.copyfile(file, EMBEDDED["mini"] / part / file.name)
    training = {key: new[key] for key in ("samples", "recipe", "history") if key in new}
    old.pop("history", None)
    write_atomic(about, (json.dumps({**old, **training}, indent=2) + "\n").encode())
    print(f"{about.parent}: {training['samples']:,} samples; check them, and say how they came to be in docs/mini.md")


def take_constants(model: str, truth_file: Path, generated_file: Path | None) -> None:
    """Write the constants from the studies' results into the model's preset and, for mini, into the tables' set."""
    truth = read_json(truth_file, dict[str, Any], limit=SETTINGS)
    note = truth["preset"]["note"]
    if generated_file and truth["preset"]["method"] != "seediff":
        note += f"; {compared(truth['preset']['method'], read_json(generated_file, dict[str, Any], limit=SETTINGS))}"
    about = EMBEDDED[model] / "seediff.json"
    settings = read_json(about, dict[str, Any], limit=SETTINGS)
    method = settings["preset"].get("method", truth["preset"]["method"])
    methods = settings["preset"].get("methods", {}) | truth["preset"].get("methods", {})  # the study does not measure every method
    settings["preset"] = {**settings["preset"], **truth["preset"], "methods": methods, "note": note, "method": method}
    write_atomic(about, (json.dumps(settings, indent=2) + "\n").encode())
    if model == "mini":
        write_atomic(SET, tomli_w.dumps({**read_toml(SET), "labels": labels(truth["settings"])}).encode())


def compared(method: str, generated: dict[str, Any]) -> str:
    """A note on how far `method`, the best on exact scenes, is ahead of or behind seediff on drawn images."""
    lead = generated["methods"][method]["ahead_of_seediff"]["iou"]
    where = f"{abs(lead):.4f} {'ahead of' if lead > 0 else 'behind'} seediff"
    return f"on {generated['images']} drawn images it is {where}; which method is the default: decision 0019"


def labels(settings: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name → constants of the masks that tables train on: each method at its best constants, those in WITHOUT_PAMR also without PAMR,
    all at the paper's constants, and CA at each level."""
    constants = {(entry["kind"], entry["name"]): {key: entry[key] for key in ("method", "mask", "capture")} for entry in settings}
    sets: dict[str, dict[str, Any]] = {}
    for kind, name in constants:
        if kind == "own_best":
            sets[name] = constants[kind, name]
            if name in WITHOUT_PAMR:
                sets[f"{name}_without_pamr"] = constants["own_best_without", name]
            sets[f"{name}_paper"] = constants["paper", name]
    return sets | {f"ca_at_{name.replace('/', '')}": entry for (kind, name), entry in constants.items() if kind == "ca_side"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ship").add_argument("pipeline", type=Path, help="the folder that the training wrote")
    constants = commands.add_parser("constants")
    constants.add_argument("truth", type=Path, help="results.json of `seediff study truth`")
    constants.add_argument("generated", type=Path, nargs="?", help="results.json of `seediff study generated`")
    constants.add_argument("--model", choices=tuple(EMBEDDED), default="mini")
    given = parser.parse_args()
    if given.command == "ship":
        ship(given.pipeline)
        return
    if given.model == "mini" and not given.generated:
        parser.error("generated: the results.json of `seediff study generated` is needed, whose images say how far ahead a method is")
    take_constants(given.model, given.truth, given.generated)


if __name__ == "__main__":
    main()
