"""Put the constants that a study of truth found for new weights of an embedded model into the package.

    python recipes/new_weights.py constants docs/preset.json [--model mini]
    python recipes/new_weights.py constants daam/results.json     # of one method, from `recipes.studies tune`

They go into the model's preset, into the files of recipes/methods and, for mini, into the sets of masks that tables
train on. The preset's note says which method's masks are best. The preset's method stays as it is until segmenters
learn more from another method's masks. Its steps, guidance, thresholds and segments, and the images that the set draws,
stay as well.

The weights themselves are copied by hand: the folders unet, text_encoder and vae of a training's pipeline, and the
fields `samples`, `recipe` and `history` of its seediff.json.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from pprint import pformat
from typing import Any

import tomli_w
from cyclopts import App

sys.path.insert(0, str(Path(__file__).parents[1]))  # when run as a script, only this folder is on the path

from recipes.tables import definition
from seediff.files.outputs import write_atomic
from seediff.files.reading import read_json, read_toml
from seediff.models.short_names import EMBEDDED

SET = Path(definition.__file__).parent / "embedded" / "set.toml"
METHODS = Path(__file__).parent / "methods"
app = App(help=__doc__, help_format="plaintext")


@app.command
def constants(results: Path, *, model: str = "mini") -> None:
    """Write the constants from a study's results into the model's preset and, for mini, into the tables' set.

    Parameters
    ----------
    results
        results.json of a study of truth, or of a method that was tuned.
    """
    truth = read_json(results, dict[str, Any])
    about = EMBEDDED[model] / "seediff.json"
    settings = read_json(about, dict[str, Any])
    found = dict(truth["preset"])
    before = {"method": found.get("method", "seediff"), **settings["preset"]}
    if "note" in found and before["method"] != found["method"]:
        found["note"] += "; the default method stays until segmenters learn more from another one's masks"
    methods = before.get("methods", {}) | found.get("methods", {})  # a study does not measure every method
    for file in sorted(METHODS.glob("*.py")):
        if file.stem in methods:
            write_atomic(file, with_constants(file.read_text("utf-8"), model, methods.pop(file.stem)).encode())
    settings["preset"] = {**before, **found, "methods": methods, "method": before["method"]}
    write_atomic(about, (json.dumps(settings, indent=2) + "\n").encode())
    if model == "mini" and "own_best" in truth:
        tables, measured = read_toml(SET), labels(truth)
        # Every labelling takes time in each set that is drawn; those that no study finds stay as they are.
        wanted = {name: measured.get(name, known) for name, known in tables["labels"].items()}
        write_atomic(SET, tomli_w.dumps({**tables, "labels": wanted}).encode())


def with_constants(text: str, model: str, constants: Mapping[str, Any]) -> str:
    """A method's file with the constants for a model in its CONSTANTS."""
    assigned = [node for node in ast.parse(text).body if isinstance(node, ast.Assign)]
    (place,) = [node for node in assigned if ast.unparse(node.targets[0]) == "CONSTANTS"]
    stated = ast.literal_eval(place.value)
    if stated.get("models", {}).get(model) == constants:
        return text
    stated["models"] = {**stated.get("models", {}), model: constants}
    lines = text.splitlines()
    lines[place.lineno - 1 : place.end_lineno] = [f"CONSTANTS = {pformat(stated, width=108, sort_dicts=False)}"]
    return "\n".join([*lines, ""])


def labels(truth: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Name → constants of masks that tables can train on: each method at its best constants, also without PAMR, at the
    paper's constants, and CA at each level."""
    names = {"own_best": "{}", "own_best_without": "{}_without_pamr", "paper": "{}_paper", "ca_side": "ca_at_{}"}
    return {
        shown.format(name.replace("/", "")): row["setting"]
        for kind, shown in names.items()
        for name, row in truth[kind].items()
    }


if __name__ == "__main__":
    app()
